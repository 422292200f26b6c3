#include "echo.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "net.h"

struct echo_pending {
    size_t unacknowledged; /* at the last look; together with `sent` it tells progress */
    size_t sent_then;
    uint64_t progress_ns; /* when that look found some; 0: there was none yet */
    size_t sent;          /* of bytes[]; the rest waits */
    size_t length;
    unsigned char bytes[];
};

void echo_init(struct echo *echo)
{
    *echo = (struct echo){.state = ECHO_OPEN};
}

size_t echo_pending_bytes(const struct echo *echo)
{
    return echo->pending != NULL ? echo->pending->length - echo->pending->sent : 0;
}

uint64_t echo_stalled_since(struct echo *echo, int fd, uint64_t now_ns)
{
    struct echo_pending *pending = echo->pending;

    if (pending == NULL) {
        return now_ns;
    }
    size_t unacknowledged = net_unacknowledged(fd);
    if (pending->progress_ns == 0 || unacknowledged != pending->unacknowledged ||
        pending->sent != pending->sent_then) {
        pending->unacknowledged = unacknowledged;
        pending->sent_then = pending->sent;
        pending->progress_ns = now_ns;
    }
    return pending->progress_ns;
}

void echo_free(struct echo *echo)
{
    free(echo->pending);
    echo->pending = NULL;
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
    if (echo->pending != NULL) {
        return POLLOUT;
    }
    return echo->has_peer_eof ? 0 : POLLIN;
}

/* send() once: how many bytes it took, 0 if none now, -1 with errno if none ever. */
static ssize_t send_some(struct echo *echo, int fd, const unsigned char *bytes,
                         size_t length)
{
    ssize_t taken = send(fd, bytes, length, MSG_NOSIGNAL);

    if (taken == -1) {
        return is_only_later(errno) ? 0 : -1;
    }
    echo->echoed_bytes += (size_t)taken;
    return taken;
}

/* Nothing is pending: send our end of stream, and see whether all is done. */
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
    /* A connection that was reset acknowledges nothing any more. */
    int error = net_connect_result(fd);
    return error != 0 ? over(echo, error) : 0;
}

static int flush_pending(struct echo *echo, int fd)
{
    struct echo_pending *pending = echo->pending;
    ssize_t taken = send_some(echo, fd, pending->bytes + pending->sent,
                              pending->length - pending->sent);

    if (taken == -1) {
        return over(echo, errno);
    }
    pending->sent += (size_t)taken;
    if (pending->sent < pending->length) {
        return POLLOUT;
    }
    echo_free(echo);
    return echo->state == ECHO_OPEN ? POLLIN : linger(echo, fd);
}

/* Send what was just received; keep what send() does not take. */
static int send_back(struct echo *echo, int fd, const struct echo_scratch *scratch)
{
    ssize_t taken = send_some(echo, fd, scratch->bytes, scratch->length);

    if (taken == -1) {
        return over(echo, errno);
    }
    size_t rest = scratch->length - (size_t)taken;
    if (rest == 0) {
        return POLLIN;
    }
    struct echo_pending *pending = malloc(sizeof *pending + rest);
    if (pending == NULL) {
        return over(echo, ENOMEM);
    }
    *pending = (struct echo_pending){.length = rest};
    memcpy(pending->bytes, scratch->bytes + taken, rest);
    echo->pending = pending;
    return POLLOUT;
}

static int receive(struct echo *echo, int fd, struct echo_scratch *scratch)
{
    ssize_t received = recv(fd, scratch->bytes, sizeof scratch->bytes, 0);

    if (received == -1) {
        return is_only_later(errno) ? POLLIN : over(echo, errno);
    }
    if (received == 0) {
        echo->has_peer_eof = true;
        return linger(echo, fd);
    }
    if (echo->state == ECHO_LINGERING) {
        echo->has_late_bytes = true; /* read so that close() does not reset */
        return POLLIN;
    }
    scratch->length = (size_t)received;
    return send_back(echo, fd, scratch);
}

int echo_ready(struct echo *echo, int fd, short revents, struct echo_scratch *scratch)
{
    scratch->length = 0;
    /* Let recv() or send() tell the error, and read what came before a hang-up. */
    if ((revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        revents |= wanted(echo);
    }
    if (echo->pending != NULL) {
        return (revents & POLLOUT) != 0 ? flush_pending(echo, fd) : POLLOUT;
    }
    if (echo->has_peer_eof) {
        return linger(echo, fd);
    }
    return (revents & POLLIN) != 0 ? receive(echo, fd, scratch) : POLLIN;
}

int echo_end(struct echo *echo, int fd)
{
    if (echo->state == ECHO_OPEN) {
        echo->state = ECHO_FLUSHING;
    }
    return echo->pending != NULL ? POLLOUT : linger(echo, fd);
}
