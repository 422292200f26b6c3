#include "io/probe.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "io/fdwait.h"
#include "io/net.h"

const char *const probe_outcome_names[PROBE_OUTCOMES + 1] = {
    [PROBE_ECHOED] = "echoed",
    [PROBE_NOT_RESOLVED] = "not resolved",
    [PROBE_REFUSED] = "refused",
    [PROBE_UNREACHABLE] = "unreachable",
    [PROBE_TIMED_OUT] = "timed out",
    [PROBE_DIFFERS] = "differs",
    [PROBE_CLOSED_EARLY] = "closed early",
    [PROBE_RESET] = "reset",
    [PROBE_INTERRUPTED] = "interrupted",
    [PROBE_OUTCOMES] = NULL,
};

void probe_start(struct probe *probe, const void *message, size_t length, bool verify,
                 uint64_t timeout_ns)
{
    *probe = (struct probe){
        .state = PROBE_CONNECTING,
        .message = message,
        .length = length,
        .verify = verify,
        .timeout_ns = timeout_ns,
        .start_ns = clock_now_ns(),
    };
    probe->deadline_ns = probe->start_ns + timeout_ns;
}

short probe_wants(const struct probe *probe)
{
    if (probe->state == PROBE_CONNECTING) {
        return POLLOUT;
    }
    return probe->sent < probe->length ? POLLIN | POLLOUT : POLLIN;
}

static bool finish(struct probe *probe, enum probe_outcome outcome, int error)
{
    probe->state = PROBE_FINISHED;
    probe->outcome = outcome;
    probe->error = error;
    probe->end_ns = clock_now_ns();
    return true;
}

void probe_fail(struct probe *probe, enum probe_outcome outcome, int error)
{
    finish(probe, outcome, error);
}

enum probe_outcome probe_outcome_of(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return PROBE_REFUSED;
    case ETIMEDOUT:
        return PROBE_TIMED_OUT;
    case ECONNRESET:
    case EPIPE:
        return PROBE_RESET;
    default:
        return PROBE_UNREACHABLE;
    }
}

bool probe_is_own_want(int error)
{
    static const unsigned char wants[] = {EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM};

    return memchr(wants, error, sizeof wants) != NULL;
}

/* Finish with an error, unless that only means: try again later. */
static bool fail_unless_later(struct probe *probe, int error)
{
    if (error == EAGAIN || error == EINTR) {
        return false;
    }
    return finish(probe, probe_outcome_of(error), error);
}

static void keep_reply(struct probe *probe, const unsigned char *bytes, size_t length)
{
    size_t room = sizeof probe->reply - probe->reply_length;
    size_t kept = length < room ? length : room;

    memcpy(probe->reply + probe->reply_length, bytes, kept);
    probe->reply_length += kept;
}

/* Compare received bytes with the message. Returns true when the probe is finished. */
static bool compare(struct probe *probe, const unsigned char *bytes, size_t length)
{
    size_t left = probe->length - probe->received;
    size_t common = length < left ? length : left;
    const unsigned char *expected = probe->message + probe->received;

    if (memcmp(bytes, expected, common) != 0) {
        size_t i = 0;

        while (bytes[i] == expected[i]) {
            i++;
        }
        probe->differs_at = probe->received + i;
        probe->expected = expected[i];
        probe->got = bytes[i];
        probe->received += length;
        return finish(probe, PROBE_DIFFERS, 0);
    }
    probe->received += length;
    if (length > left) {
        probe->differs_at = probe->length;
        probe->got = bytes[left];
        return finish(probe, PROBE_DIFFERS, 0);
    }
    return probe->received == probe->length && finish(probe, PROBE_ECHOED, 0);
}

static bool receive(struct probe *probe, int fd)
{
    unsigned char bytes[16 * 1024];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);

    if (n == -1) {
        return fail_unless_later(probe, errno);
    }
    if (n == 0) {
        return finish(probe, PROBE_CLOSED_EARLY, 0);
    }
    if (probe->first_byte_ns == 0) {
        probe->first_byte_ns = clock_now_ns();
    }
    keep_reply(probe, bytes, (size_t)n);
    if (probe->verify) {
        return compare(probe, bytes, (size_t)n);
    }
    probe->received += (size_t)n;
    return memchr(bytes, '\n', (size_t)n) != NULL && finish(probe, PROBE_ECHOED, 0);
}

static bool send_rest(struct probe *probe, int fd)
{
    ssize_t n =
        send(fd, probe->message + probe->sent, probe->length - probe->sent, MSG_NOSIGNAL);

    if (n == -1) {
        /* After EPIPE go on: the bytes that the peer sent before it closed explain more. */
        return errno != EPIPE && fail_unless_later(probe, errno);
    }
    probe->sent += (size_t)n;
    return false;
}

static bool exchange(struct probe *probe, int fd, short revents)
{
    if ((revents & POLLOUT) != 0 && probe->sent < probe->length && send_rest(probe, fd)) {
        return true;
    }
    return (revents & (POLLIN | POLLERR | POLLHUP)) != 0 && receive(probe, fd);
}

static bool establish(struct probe *probe, int fd)
{
    int error = net_connect_result(fd);

    if (error != 0) {
        /* A reset in answer to our SYN is a refusal: the kernel reports ECONNREFUSED. */
        return finish(probe, probe_outcome_of(error), error);
    }
    probe->connected_ns = clock_now_ns();
    probe->deadline_ns = probe->connected_ns + probe->timeout_ns;
    probe->state = PROBE_EXCHANGING;
    return exchange(probe, fd, POLLOUT);
}

bool probe_ready(struct probe *probe, int fd, short revents)
{
    bool is_finished = probe->state == PROBE_FINISHED;

    if (revents != 0 && !is_finished) {
        is_finished = probe->state == PROBE_CONNECTING ? establish(probe, fd)
                                                       : exchange(probe, fd, revents);
    }
    if (!is_finished && clock_now_ns() >= probe->deadline_ns) {
        is_finished = finish(probe, PROBE_TIMED_OUT, 0);
    }
    return is_finished;
}

void probe_wait(struct probe *probe, int fd, int stop_fd)
{
    bool is_finished = probe->state == PROBE_FINISHED;

    while (!is_finished) {
        int revents = fdwait(fd, probe_wants(probe), probe->deadline_ns, stop_fd);

        if (revents == -1) {
            is_finished = finish(probe, PROBE_INTERRUPTED, 0);
        } else {
            is_finished = probe_ready(probe, fd, (short)revents);
        }
    }
}
