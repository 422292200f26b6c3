/* One echo session, its system calls made up: what is sent is at any time a beginning of
 * what was received, and all of it at a clean end. */
#include "echo.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "fuzz.h"

#define FD 5

/* The socket, as the kernel and the peer see it. */
static struct {
    uint64_t received, sent;               /* bytes of the stream, for the echo */
    uint64_t late;                         /* received after our end of stream */
    uint64_t unacknowledged;               /* of those sent */
    bool has_peer_eof, is_shut, is_broken; /* broken: an error came that does not pass */
    int recv_calls, send_calls;            /* of one step */
    bool may_end;                          /* echo_end() was called */
    bool is_out_of_memory;
} peer;

static struct echo_scratch scratch;

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);
int __wrap_shutdown(int fd, int how);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length);
void *__wrap_malloc(size_t size);
void *__real_malloc(size_t size);

/* The stream's byte at a place. */
static unsigned char byte_at(uint64_t place)
{
    return (unsigned char)((uint32_t)place * 2654435761U >> 24);
}

static int fail(int error)
{
    errno = error;
    peer.is_broken = peer.is_broken || (error != EAGAIN && error != EINTR);
    return -1;
}

/* How many of `most` (at least 1): all, one, few, or any. */
static size_t some_of(size_t most)
{
    size_t n;

    switch (below(4)) {
    case 0:
        return most;
    case 1:
        return 1;
    case 2:
        n = 1 + below(64);
        break;
    default:
        n = 1 + (size_t)below(4096) * 67;
        break;
    }
    return n < most ? n : most;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    static const int errors[] = {EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM};
    unsigned char *out = bytes;

    PROMISE(fd == FD && flags == 0 && length == ECHO_CHUNK && !peer.is_broken);
    PROMISE(++peer.recv_calls == 1 && peer.received == peer.sent);
    unsigned kind = below(8);
    if (peer.has_peer_eof || kind == 0) {
        peer.has_peer_eof = true;
        return 0;
    }
    if (kind == 1) {
        return fail(errors[below(5)]);
    }
    size_t n = some_of(kind == 2 ? length : 300);
    if (peer.is_shut) {
        peer.late += n;
        memset(out, 'L', n);
        return (ssize_t)n;
    }
    for (size_t i = 0; i < n; i++) {
        out[i] = byte_at(peer.received++);
    }
    return (ssize_t)n;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
    static const int errors[] = {EAGAIN, EINTR, EPIPE, ECONNRESET, ENOBUFS};
    const unsigned char *in = bytes;

    PROMISE(fd == FD && flags == MSG_NOSIGNAL && length > 0);
    PROMISE(++peer.send_calls == 1 && !peer.is_shut && !peer.is_broken);
    PROMISE(length == peer.received - peer.sent);
    unsigned kind = below(6);
    if (kind == 0) {
        return fail(errors[below(5)]);
    }
    size_t n = kind == 1 ? length : some_of(length);
    for (size_t i = 0; i < n; i++) {
        PROMISE(in[i] == byte_at(peer.sent++));
    }
    peer.unacknowledged += n;
    /* The control: a kernel that loses a byte. */
    return (ssize_t)(FUZZ_CONTROL && n > 1 && n < length ? n + 1 : n);
}

int __wrap_shutdown(int fd, int how)
{
    PROMISE(fd == FD && how == SHUT_WR && !peer.is_shut && !peer.is_broken);
    PROMISE(peer.sent == peer.received && (peer.has_peer_eof || peer.may_end));
    if (below(16) == 1) {
        return fail(ENOTCONN);
    }
    peer.is_shut = true;
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    (void)request;
    va_start(arguments, request);
    int *value = va_arg(arguments, int *);
    va_end(arguments);
    PROMISE(fd == FD);
    peer.unacknowledged -= below((unsigned)(peer.unacknowledged % 65535) + 1);
    if (below(3) == 1) {
        peer.unacknowledged = 0;
    }
    *value = (int)peer.unacknowledged;
    return 0;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
    int error = below(5) == 1 ? ECONNRESET : 0;

    PROMISE(fd == FD && level == SOL_SOCKET && name == SO_ERROR && *length == sizeof error);
    memcpy(value, &error, sizeof error);
    peer.is_broken = peer.is_broken || error != 0;
    return 0;
}

void *__wrap_malloc(size_t size)
{
    peer.is_out_of_memory = below(32) == 1;
    return peer.is_out_of_memory ? NULL : __real_malloc(size);
}

static int step(struct echo *echo, uint64_t *now_ns)
{
    static const short revents[] = {
        POLLIN, POLLOUT, 0, POLLHUP, POLLERR, POLLIN | POLLHUP, POLLIN | POLLOUT, POLLNVAL};

    peer.recv_calls = peer.send_calls = 0;
    switch (below(16)) {
    case 0:
        peer.may_end = true;
        return echo_end(echo, FD);
    case 1: {
        uint64_t since = echo_stalled_since(echo, FD, ++*now_ns);

        PROMISE(since <= *now_ns && since > 0);
        PROMISE(echo_pending_bytes(echo) > 0 || since == *now_ns);
        return echo->pending != NULL ? POLLOUT : -2;
    }
    case 2:
    case 3:
        return echo_ready(echo, FD, revents[below(8)], &scratch);
    default:
        return echo_ready(echo, FD, echo->pending != NULL ? POLLOUT : POLLIN, &scratch);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct echo echo;
    uint64_t now_ns = 1;
    int answer = 0;

    fuzz_bytes = bytes;
    fuzz_left = length;
    memset(&peer, 0, sizeof peer);
    echo_init(&echo);
    while (fuzz_left > 0 && answer != ECHO_OVER && peer.received < 8 * ECHO_CHUNK) {
        answer = step(&echo, &now_ns);
        size_t pending = echo_pending_bytes(&echo);

        PROMISE(echo.echoed_bytes == peer.sent);
        PROMISE(echo.has_late_bytes == (peer.late > 0));
        if (answer == ECHO_OVER) {
            PROMISE((echo.error != 0) == (peer.is_broken || peer.is_out_of_memory));
        } else {
            PROMISE(pending == peer.received - peer.sent && !peer.is_broken);
            PROMISE(pending > 0 ? answer == POLLOUT : answer != POLLOUT);
            PROMISE(answer != 0 || (peer.is_shut && peer.has_peer_eof));
        }
    }
    if (answer == ECHO_OVER && echo.error == 0) { /* a clean end */
        PROMISE(peer.sent == peer.received && peer.unacknowledged == 0);
        PROMISE(peer.has_peer_eof && peer.is_shut);
    }
    echo_free(&echo);
    return 0;
}
