/* strerror_small: strerror(3) with the texts of those errors that the programs' calls can
 * give, in musl's words; any other is "error 71". musl's has those of all of Linux.
 *
 * The calls: files and descriptors (open, read, write, fstat, mmap, ioctl, fcntl), sockets
 * (socket(2), ip(7), tcp(7), and what ICMP and a VPN add to them), poll(2), signalfd(2),
 * timers, threads, and those of the sandbox (landlock(7), seccomp(2), prctl(2)). */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#define ERRORS(ROW)                                                                        \
    ROW(EPERM, "Operation not permitted")                                                  \
    ROW(ENOENT, "No such file or directory")                                               \
    ROW(ESRCH, "No such process")                                                          \
    ROW(EINTR, "Interrupted system call")                                                  \
    ROW(EIO, "I/O error")                                                                  \
    ROW(ENXIO, "No such device or address")                                                \
    ROW(E2BIG, "Argument list too long")                                                   \
    ROW(EBADF, "Bad file descriptor")                                                      \
    ROW(EAGAIN, "Resource temporarily unavailable")                                        \
    ROW(ENOMEM, "Out of memory")                                                           \
    ROW(EACCES, "Permission denied")                                                       \
    ROW(EFAULT, "Bad address")                                                             \
    ROW(EBUSY, "Resource busy")                                                            \
    ROW(ENODEV, "No such device")                                                          \
    ROW(ENOTDIR, "Not a directory")                                                        \
    ROW(EISDIR, "Is a directory")                                                          \
    ROW(EINVAL, "Invalid argument")                                                        \
    ROW(ENFILE, "Too many open files in system")                                           \
    ROW(EMFILE, "No file descriptors available")                                           \
    ROW(ENOTTY, "Not a tty")                                                               \
    ROW(EFBIG, "File too large")                                                           \
    ROW(ENOSPC, "No space left on device")                                                 \
    ROW(ESPIPE, "Invalid seek")                                                            \
    ROW(EROFS, "Read-only file system")                                                    \
    ROW(EPIPE, "Broken pipe")                                                              \
    ROW(ENAMETOOLONG, "Filename too long")                                                 \
    ROW(ENOSYS, "Function not implemented")                                                \
    ROW(ELOOP, "Symbolic link loop")                                                       \
    ROW(ENOMSG, "No message of desired type")                                              \
    ROW(ENODATA, "No data available")                                                      \
    ROW(ENOSR, "Out of streams resources")                                                 \
    ROW(EPROTO, "Protocol error")                                                          \
    ROW(EBADMSG, "Bad message")                                                            \
    ROW(EOVERFLOW, "Value too large for data type")                                        \
    ROW(EBADFD, "File descriptor in bad state")                                            \
    ROW(ENOTSOCK, "Not a socket")                                                          \
    ROW(EDESTADDRREQ, "Destination address required")                                      \
    ROW(EMSGSIZE, "Message too large")                                                     \
    ROW(EPROTOTYPE, "Protocol wrong type for socket")                                      \
    ROW(ENOPROTOOPT, "Protocol not available")                                             \
    ROW(EPROTONOSUPPORT, "Protocol not supported")                                         \
    ROW(ESOCKTNOSUPPORT, "Socket type not supported")                                      \
    ROW(EOPNOTSUPP, "Not supported")                                                       \
    ROW(EAFNOSUPPORT, "Address family not supported by protocol")                          \
    ROW(EADDRINUSE, "Address in use")                                                      \
    ROW(EADDRNOTAVAIL, "Address not available")                                            \
    ROW(ENETDOWN, "Network is down")                                                       \
    ROW(ENETUNREACH, "Network unreachable")                                                \
    ROW(ENETRESET, "Connection reset by network")                                          \
    ROW(ECONNABORTED, "Connection aborted")                                                \
    ROW(ECONNRESET, "Connection reset by peer")                                            \
    ROW(ENOBUFS, "No buffer space available")                                              \
    ROW(EISCONN, "Socket is connected")                                                    \
    ROW(ENOTCONN, "Socket not connected")                                                  \
    ROW(ETIMEDOUT, "Operation timed out")                                                  \
    ROW(ECONNREFUSED, "Connection refused")                                                \
    ROW(EHOSTDOWN, "Host is down")                                                         \
    ROW(EHOSTUNREACH, "Host is unreachable")                                               \
    ROW(EALREADY, "Operation already in progress")                                         \
    ROW(EINPROGRESS, "Operation in progress")                                              \
    ROW(ESTALE, "Stale file handle")                                                       \
    ROW(EREMOTEIO, "Remote I/O error")                                                     \
    ROW(EDQUOT, "Quota exceeded")                                                          \
    ROW(ECANCELED, "Operation canceled")                                                   \
    ROW(ENOKEY, "Required key not available")                                              \
    ROW(EKEYEXPIRED, "Key has expired")

#define NUMBER(number, text) number,
#define TEXT(number, text)   text "\0"

static const unsigned char numbers[] = {ERRORS(NUMBER)};
static const char texts[] = ERRORS(TEXT); /* one after the other, in the same order */

/* "error 71", in a buffer of the thread's own, which is zero at first. */
static char *unknown(unsigned error)
{
    static _Thread_local char text[24];
    char *at = text + sizeof text - 1;

    do {
        *--at = (char)('0' + error % 10);
        error /= 10;
    } while (error != 0);
    return memcpy(at - strlen("error "), "error ", strlen("error "));
}

/* The C library's header has another name for the parameter; the result has no const. */
/* NOLINTBEGIN(readability-*,performance-*) */

char *strerror(int error)
{
    const char *text = texts;

    for (size_t i = 0; i < sizeof numbers; i++) {
        if (numbers[i] == error) {
            return (char *)(size_t)text; /* as the standard says: without a const */
        }
        text += strlen(text) + 1;
    }
    return unknown((unsigned)error);
}

/* NOLINTEND(readability-*,performance-*) */
