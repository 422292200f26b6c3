#include "server/echo.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "io/net.h"

struct echo_pending {
    struct echo_progress progress;
    size_t sent; /* of bytes[]; the rest waits */
    size_t length;
    unsigned char bytes[];
};
_Static_assert(sizeof(struct echo_pending) + ECHO_CHUNK <= PENDING_MAX,
               "a whole read fits");

/* The most bytes of one peek: a short send() leaves most of them to be peeked at again. */
#define LOOK_MAX ((size_t)64 * 1024)

void echo_init(struct echo *echo)
{
    *echo = (struct echo){.state = ECHO_OPEN};
}

void echo_await(struct echo *echo, struct preamble preamble)
{
    *echo = (struct echo){.state = ECHO_PREAMBLE, .is_unread = true, .preamble = preamble};
}

/* The session's pending block; NULL: it has none. */
static struct echo_pending *block_of(const struct echo *echo)
{
    return echo->is_unread || echo->state == ECHO_HOLDING ? NULL : echo->pending;
}

bool echo_is_blocked(const struct echo *echo)
{
    return echo->is_unread || block_of(echo) != NULL;
}

size_t echo_held_bytes(const struct echo *echo)
{
    const struct echo_pending *pending = block_of(echo);

    if (echo->state == ECHO_HOLDING) {
        return 1;
    }
    return pending == NULL ? 0 : pending->length - pending->sent;
}

size_t echo_pending_bytes(const struct echo *echo, int fd)
{
    if (echo->is_unread) {
        /* On TCP it returns the length and copies nothing (tcp(7)). */
        ssize_t waiting = recv(fd, NULL, ECHO_CHUNK, MSG_PEEK | MSG_TRUNC);

        return waiting > 0 ? (size_t)waiting : 0;
    }
    return echo_held_bytes(echo);
}

uint64_t echo_stalled_since(struct echo *echo, int fd, uint64_t now_ns)
{
    uint64_t now_ms = now_ns / CLOCK_MS;

    if (!echo_is_blocked(echo)) {
        return now_ns;
    }
    struct echo_progress *last =
        echo->is_unread ? &echo->of_unread : &echo->pending->progress;
    /* Bytes taken plus bytes acknowledged: both only grow, so the sum stays only if both
     * do. */
    uint32_t mark = (uint32_t)(2 * echo->echoed_bytes - net_unacknowledged(fd));
    if (last->time_ms == 0 || mark != last->mark) {
        last->mark = mark;
        last->time_ms = (uint32_t)now_ms != 0 ? (uint32_t)now_ms : 1;
        return now_ns;
    }
    return now_ns - (uint32_t)((uint32_t)now_ms - last->time_ms) * CLOCK_MS;
}

static size_t block_size(size_t length)
{
    return sizeof(struct echo_pending) + length;
}

static void nothing_is_held(struct echo *echo)
{
    echo->is_unread = false;
    echo->pending = NULL;
}

void echo_free(struct echo *echo, struct echo_receive_buffer *buffer)
{
    struct echo_pending *pending = block_of(echo);

    if (pending != NULL) {
        pending_free(&buffer->pending, pending, block_size(pending->length));
    }
    nothing_is_held(echo);
}

static int over(struct echo *echo, int error)
{
    echo->error = (unsigned)error & 0xff;
    return ECHO_OVER;
}

static bool is_only_later(int error)
{
    return error == EAGAIN || error == EINTR;
}

/* The events the session waits for in its present state. */
static short wanted(const struct echo *echo)
{
    if (echo_is_blocked(echo)) {
        return POLLOUT;
    }
    return echo->has_peer_eof ? 0 : POLLIN;
}

/* send() once. Returns the number of bytes taken; 0: none now; -1 with errno: none any
 * more. */
static ssize_t send_some(struct echo *echo, int fd, const unsigned char *bytes,
                         size_t length, int flags)
{
    if (length == 0) { /* the only byte is held back */
        return 0;
    }
    ssize_t taken = send(fd, bytes, length, MSG_NOSIGNAL | flags);

    if (taken == -1) {
        return is_only_later(errno) ? 0 : -1;
    }
    echo->echoed_bytes += (size_t)taken;
    return taken;
}

/* If a byte is held back, send it, in one segment with what follows. Returns POLLIN; or
 * POLLOUT: send() does not take it yet; or ECHO_OVER. */
static int release(struct echo *echo, int fd)
{
    if (echo->state != ECHO_HOLDING) {
        return POLLIN;
    }
    ssize_t taken = send_some(echo, fd, &echo->held_back, 1, MSG_MORE);

    if (taken == -1) {
        return over(echo, errno);
    }
    if (taken == 0) {
        return POLLOUT;
    }
    echo->state = ECHO_OPEN;
    nothing_is_held(echo);
    return POLLIN;
}

/* All bytes but this one, the last that was received, are sent. */
static int hold_back(struct echo *echo, unsigned char byte)
{
    nothing_is_held(echo);
    echo->state = ECHO_HOLDING;
    echo->held_back = byte;
    return POLLIN;
}

/* With nothing pending, send our end of stream and check whether the session is over. */
static int linger(struct echo *echo, int fd)
{
    if (echo->state != ECHO_LINGERING) {
        if (shutdown(fd, SHUT_WR) == -1) {
            return over(echo, errno);
        }
        echo->state = ECHO_LINGERING;
    }
    if (!echo->has_peer_eof) {
        return POLLIN;
    }
    if (net_unacknowledged(fd) == 0) {
        return ECHO_OVER;
    }
    /* A reset connection acknowledges nothing more. */
    int error = net_error(fd);
    if (error != 0) {
        return over(echo, error);
    }
    if (echo->end_looks < ECHO_END_LOOKS_MAX) {
        echo->end_looks++;
    }
    return 0;
}

/* All received bytes are sent: read on, or end. */
static int go_on(struct echo *echo, int fd)
{
    return echo->state == ECHO_OPEN ? POLLIN : linger(echo, fd);
}

/* How many bytes at the end of those at hand are held back. */
static size_t held_back(const struct echo *echo, const struct echo_receive_buffer *buffer)
{
    return buffer->holds_back && echo->state == ECHO_OPEN ? 1 : 0;
}

static int flush_pending(struct echo *echo, int fd, struct echo_receive_buffer *buffer)
{
    struct echo_pending *pending = echo->pending;
    size_t last = held_back(echo, buffer);
    ssize_t taken = send_some(echo, fd, pending->bytes + pending->sent,
                              pending->length - last - pending->sent,
                              echo->state == ECHO_FLUSHING ? MSG_MORE : 0);

    if (taken == -1) {
        return over(echo, errno);
    }
    pending->sent += (size_t)taken;
    if (pending->sent < pending->length - last) {
        return POLLOUT;
    }
    unsigned char byte = pending->bytes[pending->length - 1];
    echo_free(echo, buffer);
    return last > 0 ? hold_back(echo, byte) : go_on(echo, fd);
}

/* Send the bytes just received; keep those that send() does not take. */
static int send_back(struct echo *echo, int fd, struct echo_receive_buffer *buffer)
{
    size_t last = held_back(echo, buffer);
    ssize_t taken = send_some(echo, fd, buffer->bytes, buffer->length - last, 0);

    if (taken == -1) {
        return over(echo, errno);
    }
    size_t rest = buffer->length - (size_t)taken;
    if (rest == last) {
        return last > 0 ? hold_back(echo, buffer->bytes[buffer->length - 1])
                        : go_on(echo, fd);
    }
    struct echo_pending *pending = pending_alloc(&buffer->pending, block_size(rest));
    if (pending == NULL) {
        return over(echo, ENOMEM);
    }
    *pending = (struct echo_pending){.length = rest};
    memcpy(pending->bytes, buffer->bytes + taken, rest);
    echo->pending = pending;
    return POLLOUT;
}

/* Send the bytes just peeked at and remove those that send() took; the rest stays in the
 * kernel. */
static int send_peeked(struct echo *echo, int fd, struct echo_receive_buffer *buffer,
                       size_t length)
{
    ssize_t taken = send_some(echo, fd, buffer->bytes, length, 0);

    if (taken == -1) {
        return over(echo, errno);
    }
    buffer->length = (size_t)taken;
    if (!net_drop(fd, buffer->bytes, buffer->length)) {
        return over(echo, errno);
    }
    if (buffer->length == length) {
        nothing_is_held(echo);
        return go_on(echo, fd);
    }
    if (!echo->is_unread) {
        echo->is_unread = true;
        echo->of_unread = (struct echo_progress){0};
    }
    return POLLOUT;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The most bytes that may be read, since all may have to be kept; 0: too few, only peek. */
static size_t readable(const struct echo *echo, struct echo_receive_buffer *buffer)
{
    if (echo->state == ECHO_LINGERING) {
        return ECHO_CHUNK; /* none of these bytes are kept */
    }
    size_t room = pending_room(&buffer->pending);
    if (room < block_size(ECHO_SMALL_CHUNK)) {
        return 0;
    }
    return smaller(room - block_size(0), ECHO_CHUNK);
}

/* recv() returned no bytes: none yet, an error, or the peer's end of stream. */
static int received_none(struct echo *echo, int fd, ssize_t received)
{
    if (received == -1 && !is_only_later(errno)) {
        return over(echo, errno);
    }
    if (received == -1 && errno == EINTR) {
        return wanted(echo);
    }
    nothing_is_held(echo);
    if (received == -1) {
        return go_on(echo, fd);
    }
    echo->has_peer_eof = true;
    return linger(echo, fd);
}

/* Receive and send back; without room to keep bytes, peek and send. */
static int receive(struct echo *echo, int fd, struct echo_receive_buffer *buffer)
{
    size_t most = readable(echo, buffer);
    bool is_look = most == 0;

    int wants = release(echo, fd);
    if (wants != POLLIN) {
        return wants;
    }
    most = is_look ? LOOK_MAX : most;
    most = buffer->budget >= most ? most : smaller(most, ECHO_SMALL_CHUNK);
    ssize_t received = recv(fd, buffer->bytes, most, is_look ? MSG_PEEK : 0);
    if (received <= 0) {
        return received_none(echo, fd, received);
    }
    buffer->budget -= smaller(buffer->budget, (size_t)received);
    if (echo->state == ECHO_LINGERING) {
        echo->has_late_bytes = true; /* read, so that close() sends no reset */
        buffer->late = (size_t)received;
        return POLLIN;
    }
    buffer->may_have_more = (size_t)received == most;
    if (is_look) {
        return send_peeked(echo, fd, buffer, (size_t)received);
    }
    nothing_is_held(echo);
    buffer->length = (size_t)received;
    return send_back(echo, fd, buffer);
}

int echo_ready(struct echo *echo, int fd, short revents, struct echo_receive_buffer *buffer)
{
    buffer->length = 0;
    buffer->late = 0;
    buffer->may_have_more = false;
    /* recv() or send() reports the error; bytes from before a hang-up are still read. */
    if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        revents |= wanted(echo);
    }
    if (echo_is_blocked(echo)) {
        if ((revents & POLLOUT) == 0) {
            return POLLOUT;
        }
        return echo->is_unread ? receive(echo, fd, buffer)
                               : flush_pending(echo, fd, buffer);
    }
    if (echo->has_peer_eof) {
        return linger(echo, fd);
    }
    if (echo->state == ECHO_HOLDING && (revents & POLLOUT) != 0) {
        revents |= POLLIN; /* what could not be released can be now */
    }
    return (revents & POLLIN) != 0 ? receive(echo, fd, buffer) : POLLIN;
}

int echo_end(struct echo *echo, int fd)
{
    int wants = release(echo, fd);

    if (wants != POLLIN) {
        return wants;
    }
    if (echo->state == ECHO_OPEN) {
        echo->state = ECHO_FLUSHING;
    }
    return echo_is_blocked(echo) ? POLLOUT : linger(echo, fd);
}
