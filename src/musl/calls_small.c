/* calls_small: accept4(2), fcntl(2), mremap(2), open(2), pipe2(2), signalfd(2) and
 * socket(2) as plain system calls. musl's go another way on kernels before Linux 2.6.28,
 * which do not know their flags (SOCK_CLOEXEC and the like), and are cancellation points;
 * nothing here is cancelled. Its mremap() waits for other threads' shared mutexes; there
 * are none here. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library's headers use other names for the parameters, and syscall() has one type
 * for all results. */
/* NOLINTBEGIN(readability-*,performance-no-int-to-ptr) */

int accept4(int listener, struct sockaddr *restrict peer, socklen_t *restrict length,
            int flags)
{
    return (int)syscall(SYS_accept4, listener, peer, length, flags);
}

/* The argument is an int or a pointer; the kernel takes what the command needs. */
int fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* A block may move, but not to an address that is asked for (MREMAP_FIXED). */
void *mremap(void *block, size_t old_size, size_t size, int flags, ...)
{
    return (void *)syscall(SYS_mremap, block, old_size, size, flags, NULL);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int pipe2(int ends[2], int flags)
{
    return (int)syscall(SYS_pipe2, ends, flags);
}

/* The kernel's set of signals has NSIG - 1 bits, the C library's has room for more. */
int signalfd(int fd, const sigset_t *signals, int flags)
{
    return (int)syscall(SYS_signalfd4, fd, signals, (NSIG - 1) / 8, flags);
}

int socket(int family, int kind, int protocol)
{
    return (int)syscall(SYS_socket, family, kind, protocol);
}

/* NOLINTEND(readability-*,performance-no-int-to-ptr) */
