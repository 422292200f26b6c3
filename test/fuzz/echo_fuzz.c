/* One echo session, its system calls made up: what is sent is at any time a beginning of
 * what was received, and all of it at a clean end. In a drain the last byte is held back,
 * and no other. */
#include "server/echo.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "fuzz.h"

#define FD 5

/* The socket, as the kernel and the peer see it. */
static struct {
    uint64_t received, sent;     /* bytes of the stream, for the echo */
    uint64_t unread;             /* behind those received, in the kernel's buffer */
    uint64_t looked_at, to_drop; /* of the unread, by the last MSG_PEEK and send() */
    uint64_t late;               /* received after our end of stream */
    uint64_t unacknowledged;     /* of those sent */
    bool has_peer_eof, is_shut, is_broken; /* broken: an error came that does not pass */
    int recv_calls, send_calls;            /* of one step */
    bool may_end;                          /* echo_end() was called */
    bool has_held;                         /* a byte was held back when the step began */
    bool is_out_of_memory;
} peer;

static struct pending_pool pool;
static struct echo_receive_buffer received = {.pending.pool = &pool};

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

/* Bytes that were sent already are taken out of the kernel's buffer, in one or more pieces.
 */
static ssize_t drop(size_t length)
{
    PROMISE(length == peer.to_drop);
    if (below(8) == 1) {
        errno = EINTR;
        return -1;
    }
    size_t n = some_of(length);
    peer.to_drop -= n;
    peer.unread -= n;
    peer.received += n;
    return (ssize_t)n;
}

/* Bytes of the stream, beginning with those that were looked at before. */
static size_t arrive(unsigned char *out, size_t most)
{
    size_t n = peer.unread + some_of(300);

    n = n < most ? n : most;
    for (size_t i = 0; i < n; i++) {
        out[i] = byte_at(peer.received + i);
    }
    peer.unread = peer.unread > n ? peer.unread : n;
    return n;
}

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    static const int errors[] = {EAGAIN, EINTR, ECONNRESET, ETIMEDOUT, ENOMEM};

    PROMISE(fd == FD);
    if (flags == (MSG_PEEK | MSG_TRUNC)) {
        return (ssize_t)(peer.unread < length ? peer.unread : length);
    }
    PROMISE(!peer.is_broken);
    if (flags == MSG_TRUNC) {
        return drop(length);
    }
    PROMISE(flags == 0 || flags == MSG_PEEK);
    PROMISE(length > 0 && length <= ECHO_CHUNK);
    PROMISE(++peer.recv_calls == 1 && peer.received == peer.sent);
    unsigned kind = below(8);
    if (peer.unread == 0 && (peer.has_peer_eof || kind == 0)) {
        peer.has_peer_eof = true;
        return 0;
    }
    if (kind == 1) {
        int error = errors[below(5)];

        return fail(error == EAGAIN && peer.unread > 0 ? EINTR : error);
    }
    if (peer.is_shut) {
        size_t n = some_of(kind == 2 ? length : 300);

        peer.late += n;
        memset(bytes, 'L', n);
        return (ssize_t)n;
    }
    size_t n = arrive(bytes, kind == 2                    ? length
                             : 300 + peer.unread < length ? 300 + peer.unread
                                                          : length);
    peer.looked_at = flags == MSG_PEEK ? n : 0;
    if (flags == 0) {
        peer.received += n;
        peer.unread -= n;
    }
    return (ssize_t)n;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
    static const int errors[] = {EAGAIN, EINTR, EPIPE, ECONNRESET, ENOBUFS};
    const unsigned char *in = bytes;

    uint64_t due = peer.received - peer.sent + peer.looked_at;
    bool is_release = peer.has_held && peer.send_calls == 0;

    PROMISE(fd == FD && length > 0);
    PROMISE(flags == MSG_NOSIGNAL ||
            (flags == (MSG_NOSIGNAL | MSG_MORE) && (is_release || peer.may_end)));
    PROMISE(++peer.send_calls <= 1 + peer.has_held && !peer.is_shut && !peer.is_broken);
    PROMISE(is_release ? length == 1 && due == 1
                       : length == due || (received.holds_back && length == due - 1));
    unsigned kind = below(6);
    if (kind == 0) {
        return fail(errors[below(5)]);
    }
    size_t n = kind == 1 ? length : some_of(length);
    for (size_t i = 0; i < n; i++) {
        PROMISE(in[i] == byte_at(peer.sent++));
    }
    peer.unacknowledged += n;
    peer.to_drop = peer.looked_at > 0 ? n : 0;
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
    peer.looked_at = 0;
    peer.has_held = echo->state == ECHO_HOLDING;
    received.holds_back = received.holds_back || below(16) == 1;
    if (below(8) == 1) { /* other sessions and workers take memory, or give it back */
        pool.left = (size_t)below(3) * 80 * 1024;
        received.pending.spare = 0;
        received.budget = (size_t)below(3) * ECHO_CHUNK;
    }
    switch (below(16)) {
    case 0:
        peer.may_end = true;
        return echo_end(echo, FD);
    case 1: {
        uint64_t since = echo_stalled_since(echo, FD, *now_ns += CLOCK_MS);

        PROMISE(since <= *now_ns && since > 0);
        PROMISE(echo_is_blocked(echo) || since == *now_ns);
        return echo_is_blocked(echo) ? POLLOUT : -2;
    }
    case 2:
    case 3:
        return echo_ready(echo, FD, revents[below(8)], &received);
    default:
        return echo_ready(echo, FD, echo_is_blocked(echo) ? POLLOUT : POLLIN, &received);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct echo echo;
    uint64_t now_ns = 1;
    int answer = 0;
    unsigned looks = 0;

    fuzz_bytes = bytes;
    fuzz_left = length;
    memset(&peer, 0, sizeof peer);
    echo_init(&echo);
    pool.left = 16 << 20;
    received.pending.spare = 0;
    received.budget = 0;
    received.holds_back = false;
    while (fuzz_left > 0 && answer != ECHO_OVER && peer.received < 8 * ECHO_CHUNK) {
        answer = step(&echo, &now_ns);
        size_t pending = echo_pending_bytes(&echo, FD);

        looks += answer == 0 && looks < ECHO_END_LOOKS_MAX;
        PROMISE(echo.end_looks == looks);
        PROMISE(echo.echoed_bytes == peer.sent);
        PROMISE(echo.has_late_bytes == (peer.late > 0));
        if (answer == ECHO_OVER) {
            PROMISE((echo.error != 0) == (peer.is_broken || peer.is_out_of_memory));
        } else {
            bool is_held = echo.state == ECHO_HOLDING;

            PROMISE(pending ==
                    peer.received - peer.sent + (echo.is_unread ? peer.unread : 0));
            PROMISE(!is_held || (received.holds_back && pending == 1 && answer != 0));
            PROMISE(peer.to_drop == 0 && !peer.is_broken);
            PROMISE(is_held || (pending > 0) == (answer == POLLOUT));
            PROMISE(answer != 0 || (peer.is_shut && peer.has_peer_eof));
        }
    }
    if (answer == ECHO_OVER && echo.error == 0) { /* a clean end */
        PROMISE(peer.sent == peer.received && peer.unacknowledged == 0);
        PROMISE(peer.has_peer_eof && peer.is_shut);
    }
    echo_free(&echo, &received);
    PROMISE(received.pending.held == 0);
    return 0;
}
