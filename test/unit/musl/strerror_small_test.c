/* strerror() of the shipped programs: which errors have a text, and that it is musl's. */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "tap.h"

/* What calls give, by their manual pages; behind sockets, ICMP and VPNs, too. */
static const struct {
    const char *calls;
    uint8_t errors[32]; /* 0 at the end */
} cases[] = {
    {"open, read, fstat",
     {EACCES, EAGAIN,    EBADF,  EBADMSG,     EBUSY,  EFAULT, EINTR,
      EINVAL, EIO,       EISDIR, EKEYEXPIRED, ELOOP,  EMFILE, ENAMETOOLONG,
      ENFILE, ENODATA,   ENODEV, ENOENT,      ENOKEY, ENOMEM, ENOTDIR,
      ENXIO,  EOVERFLOW, EPERM,  EREMOTEIO,   ESTALE}},
    {"write",
     {EAGAIN, EBADF, ECONNRESET, EDESTADDRREQ, EDQUOT, EFAULT, EFBIG, EINTR, EINVAL, EIO,
      ENOSPC, EPERM, EPIPE, EROFS, ESPIPE}},
    {"pipe2, dup, fcntl, ioctl",
     {EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EMFILE, ENFILE, ENOTTY, EPERM}},
    {"mmap, mremap, munmap",
     {EACCES, EAGAIN, EBADF, EFAULT, EINVAL, ENFILE, ENODEV, ENOMEM, EPERM}},
    {"poll, signalfd, sigtimedwait, timerfd",
     {EAGAIN, EBADF, ECANCELED, EFAULT, EINTR, EINVAL, EMFILE, ENFILE, ENODEV, ENOMEM}},
    {"threads", {EAGAIN, EINVAL, ENOMEM, EPERM, ESRCH}},
    {"socket, setsockopt, getsockopt",
     {EACCES, EAFNOSUPPORT, EBADF, EFAULT, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM,
      ENOPROTOOPT, ENOTSOCK, EOPNOTSUPP, EPERM, EPROTONOSUPPORT, EPROTOTYPE,
      ESOCKTNOSUPPORT}},
    {"bind, listen",
     {EACCES, EADDRINUSE, EADDRNOTAVAIL, EBADF, EINVAL, ENODEV, ENOTSOCK, EOPNOTSUPP,
      EPERM}},
    {"accept4",
     {EAGAIN,  EBADF,  ECONNABORTED,    EFAULT,          EHOSTDOWN,   EHOSTUNREACH,
      EINTR,   EINVAL, EMFILE,          ENETDOWN,        ENETUNREACH, ENFILE,
      ENOBUFS, ENOMEM, ENOPROTOOPT,     ENOSR,           ENOTSOCK,    EOPNOTSUPP,
      EPERM,   EPROTO, EPROTONOSUPPORT, ESOCKTNOSUPPORT, ETIMEDOUT}},
    {"connect",
     {EACCES,       EADDRINUSE,   EADDRNOTAVAIL, EAFNOSUPPORT, EAGAIN,   EALREADY,
      EBADF,        ECONNREFUSED, ECONNRESET,    EDESTADDRREQ, EFAULT,   EHOSTDOWN,
      EHOSTUNREACH, EINPROGRESS,  EINTR,         EINVAL,       EISCONN,  ENETDOWN,
      ENETUNREACH,  ENOBUFS,      ENODEV,        ENOKEY,       ENOTSOCK, EPERM,
      EPROTOTYPE,   ETIMEDOUT}},
    {"send, recv, shutdown",
     {EACCES,     EAGAIN,       EBADF,   ECONNREFUSED, ECONNRESET,  EDESTADDRREQ, EFAULT,
      EHOSTDOWN,  EHOSTUNREACH, EINTR,   EINVAL,       EISCONN,     EMSGSIZE,     ENETDOWN,
      ENETRESET,  ENETUNREACH,  ENOBUFS, ENOMEM,       ENOPROTOOPT, ENOTCONN,     ENOTSOCK,
      EOPNOTSUPP, EPERM,        EPIPE,   EPROTO,       ETIMEDOUT}},
    {"prctl, seccomp, Landlock",
     {E2BIG, EACCES, EBADF, EBADFD, EBUSY, ECANCELED, EFAULT, EINVAL, ENOMEM, ENOMSG,
      ENOSYS, EOPNOTSUPP, EPERM, ESRCH}},
};

/* All texts of musl 1.2.3 but those of errors that no call here gives. */
static const char *const texts[] = {
    [EPERM] = "Operation not permitted",
    [ENOENT] = "No such file or directory",
    [ESRCH] = "No such process",
    [EINTR] = "Interrupted system call",
    [EIO] = "I/O error",
    [ENXIO] = "No such device or address",
    [E2BIG] = "Argument list too long",
    [EBADF] = "Bad file descriptor",
    [EAGAIN] = "Resource temporarily unavailable",
    [ENOMEM] = "Out of memory",
    [EACCES] = "Permission denied",
    [EFAULT] = "Bad address",
    [EBUSY] = "Resource busy",
    [ENODEV] = "No such device",
    [ENOTDIR] = "Not a directory",
    [EISDIR] = "Is a directory",
    [EINVAL] = "Invalid argument",
    [ENFILE] = "Too many open files in system",
    [EMFILE] = "No file descriptors available",
    [ENOTTY] = "Not a tty",
    [EFBIG] = "File too large",
    [ENOSPC] = "No space left on device",
    [ESPIPE] = "Invalid seek",
    [EROFS] = "Read-only file system",
    [EPIPE] = "Broken pipe",
    [ENAMETOOLONG] = "Filename too long",
    [ENOSYS] = "Function not implemented",
    [ELOOP] = "Symbolic link loop",
    [ENOMSG] = "No message of desired type",
    [ENODATA] = "No data available",
    [ENOSR] = "Out of streams resources",
    [EPROTO] = "Protocol error",
    [EBADMSG] = "Bad message",
    [EOVERFLOW] = "Value too large for data type",
    [EBADFD] = "File descriptor in bad state",
    [ENOTSOCK] = "Not a socket",
    [EDESTADDRREQ] = "Destination address required",
    [EMSGSIZE] = "Message too large",
    [EPROTOTYPE] = "Protocol wrong type for socket",
    [ENOPROTOOPT] = "Protocol not available",
    [EPROTONOSUPPORT] = "Protocol not supported",
    [ESOCKTNOSUPPORT] = "Socket type not supported",
    [EOPNOTSUPP] = "Not supported",
    [EAFNOSUPPORT] = "Address family not supported by protocol",
    [EADDRINUSE] = "Address in use",
    [EADDRNOTAVAIL] = "Address not available",
    [ENETDOWN] = "Network is down",
    [ENETUNREACH] = "Network unreachable",
    [ENETRESET] = "Connection reset by network",
    [ECONNABORTED] = "Connection aborted",
    [ECONNRESET] = "Connection reset by peer",
    [ENOBUFS] = "No buffer space available",
    [EISCONN] = "Socket is connected",
    [ENOTCONN] = "Socket not connected",
    [ETIMEDOUT] = "Operation timed out",
    [ECONNREFUSED] = "Connection refused",
    [EHOSTDOWN] = "Host is down",
    [EHOSTUNREACH] = "Host is unreachable",
    [EALREADY] = "Operation already in progress",
    [EINPROGRESS] = "Operation in progress",
    [ESTALE] = "Stale file handle",
    [EREMOTEIO] = "Remote I/O error",
    [EDQUOT] = "Quota exceeded",
    [ECANCELED] = "Operation canceled",
    [ENOKEY] = "Required key not available",
    [EKEYEXPIRED] = "Key has expired",
};

#define TEXTS ((int)(sizeof texts / sizeof texts[0]))

static void test_texts(void)
{
    char wanted[24];

    group("texts");
    for (int error = 0; error < 200; error++) {
        bool is_known = error < TEXTS && texts[error] != NULL;

        snprintf(wanted, sizeof wanted, "error %d", error);
        is_str(strerror(error), is_known ? texts[error] : wanted, "that of %d", error);
    }
    is_str(strerror(INT32_MAX), "error 2147483647", "that of the largest number");
}

static void test_calls(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        group("%s", cases[i].calls);
        for (const uint8_t *error = cases[i].errors; *error != 0; error++) {
            ok(strncmp(strerror(*error), "error ", 6) != 0, "%d has a text", *error);
        }
    }
}

int main(void)
{
    test_texts();
    test_calls();
    return done();
}
