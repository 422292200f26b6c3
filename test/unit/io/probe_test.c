/* Probes against a peer that this test plays itself, over loopback. */
#include "io/probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/fdwait.h"
#include "io/net.h"
#include "tap.h"

static const char message[] = "0123456789\n";
#define LENGTH (sizeof message - 1)

static int listener, own, peer;
static struct net_address where;
static struct probe probe;

static void begin_with(const char *text, size_t length, bool verify, uint64_t timeout_ns)
{
    struct net_address from;

    probe_start(&probe, text, length, verify, timeout_ns);
    own = net_connect(&where, NULL);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    if (own == -1 || poll(&pfd, 1, 2000) != 1 ||
        (peer = net_accept(listener, &from)) == -1) {
        abort();
    }
}

static void begin(void)
{
    begin_with(message, LENGTH, true, CLOCK_S);
}

/* Let the probe do what it can; true once it is finished. */
static bool go_on(void)
{
    struct pollfd pfd = {.fd = own, .events = probe_wants(&probe)};

    if (poll(&pfd, 1, 100) <= 0) {
        return probe_ready(&probe, own, 0);
    }
    return probe_ready(&probe, own, pfd.revents);
}

static void peer_says(const char *text, size_t length)
{
    if (write(peer, text, length) != (ssize_t)length) {
        abort();
    }
}

static void finish(void)
{
    close(own);
    close(peer);
}

/* Run to the end, a bounded number of rounds. */
static enum probe_outcome outcome(void)
{
    for (int i = 0; i < 50; i++) {
        if (go_on()) {
            return probe.outcome;
        }
    }
    return PROBE_OUTCOMES;
}

static void test_exact(void)
{
    char got[64];

    group("an exact echo");
    begin();
    is_int(probe_wants(&probe), POLLOUT, "connecting: it waits for POLLOUT");
    ok(!go_on(), "connected and sent: not finished");
    is_int(probe.state, PROBE_EXCHANGING, "connected and sent: its state is exchanging");
    is_int(probe_wants(&probe), POLLIN, "sent: only the reply is waited for");
    struct pollfd pfd = {.fd = peer, .events = POLLIN};
    is_int(poll(&pfd, 1, 1000), 1, "the peer hears something");
    is_int(read(peer, got, sizeof got), LENGTH, "the peer has the message");
    is_mem(got, message, LENGTH, "the peer has exactly the message");
    peer_says(message, 4);
    ok(!go_on(), "a part of the reply: not finished");
    peer_says(message + 4, LENGTH - 4);
    ok(go_on(), "the rest of the reply: finished");
    is_int(probe.outcome, PROBE_ECHOED, "its outcome is echoed");
    ok(probe.start_ns <= probe.connected_ns && probe.connected_ns <= probe.first_byte_ns &&
           probe.first_byte_ns <= probe.end_ns,
       "the times are in order");
    finish();
}

static void test_differences(void)
{
    group("a wrong byte");
    begin();
    go_on();
    peer_says("0123X56789\n", LENGTH);
    is_int(outcome(), PROBE_DIFFERS, "the reply differs");
    is_int(probe.differs_at, 4, "its offset is known");
    is_int(probe.expected, '4', "what was expected is known");
    is_int(probe.got, 'X', "what came is known");
    finish();

    group("more than was sent");
    begin();
    go_on();
    peer_says("0123456789\n+", LENGTH + 1);
    is_int(outcome(), PROBE_DIFFERS, "the reply differs");
    is_int(probe.differs_at, LENGTH, "it differs behind the message");
    finish();

    group("a missing byte");
    begin();
    go_on();
    peer_says("0123", 4);
    go_on();
    peer_says("5", 1);
    is_int(outcome(), PROBE_DIFFERS, "the reply differs");
    is_int(probe.differs_at, 4, "its offset counts from the message's begin");
    finish();
}

static void test_ends(void)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    group("an end before the whole reply");
    begin();
    go_on();
    peer_says("0123", 4);
    shutdown(peer, SHUT_WR);
    is_int(outcome(), PROBE_CLOSED_EARLY, "closed early");
    is_int(probe.received, 4, "how much came is known");
    finish();

    group("a reset");
    begin();
    go_on();
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(peer);
    is_int(outcome(), PROBE_RESET, "its outcome is reset");
    is_int(probe.error, ECONNRESET, "its errno is known");
    close(own);

    group("no reply in time");
    begin_with(message, LENGTH, true, 150 * CLOCK_MS);
    is_int(outcome(), PROBE_TIMED_OUT, "timed out");
    ok(probe.end_ns - probe.connected_ns >= 150 * CLOCK_MS,
       "it does not end before the time");
    finish();
}

static void test_without_verifying(void)
{
    group("without verifying");
    begin_with(message, LENGTH, false, CLOCK_S);
    go_on();
    peer_says("anything ", 9);
    ok(!go_on(), "no newline yet: not finished");
    peer_says("else\n", 5);
    is_int(outcome(), PROBE_ECHOED, "a newline ends the reply");
    is_mem(probe.reply, "anything else\n", 14, "the reply is kept");
    is_int(probe.reply_length, 14, "the reply is kept whole");
    finish();
}

/* A message larger than all buffers: sending and receiving must go on at once. */
static void test_large(void)
{
    static char big[8 * 1024 * 1024], piece[64 * 1024];
    bool is_finished = false;
    size_t from = 0, to = 0;

    for (size_t i = 0; i < sizeof big; i++) {
        big[i] = (char)(i * 2654435761U >> 13);
    }
    group("8 MiB");
    begin_with(big, sizeof big, true, 10 * CLOCK_S);
    for (long step = 0; !is_finished && step < 1000000; step++) {
        struct pollfd pfds[2] = {{.fd = own, .events = probe_wants(&probe)},
                                 {.fd = peer, .events = from > to ? POLLOUT : POLLIN}};

        poll(pfds, 2, 1000);
        is_finished = probe_ready(&probe, own, pfds[0].revents);
        if (from == to && (pfds[1].revents & POLLIN) != 0) {
            ssize_t n = read(peer, piece, sizeof piece);
            from += n > 0 ? (size_t)n : 0;
        } else if ((pfds[1].revents & POLLOUT) != 0) {
            ssize_t n = write(peer, big + to, from - to);
            to += n > 0 ? (size_t)n : 0;
        }
    }
    is_int(probe.outcome, PROBE_ECHOED, "they are echoed");
    is_int(probe.received, sizeof big, "all of them came");
    is_int(probe.reply_length, PROBE_REPLY_MAX, "a bounded part of the reply is kept");
    finish();
}

static void test_failures(void)
{
    struct net_address nobody;
    int stop[2];

    group("probe_outcome_of");
    is_int(probe_outcome_of(ECONNREFUSED), PROBE_REFUSED, "ECONNREFUSED: refused");
    is_int(probe_outcome_of(EHOSTUNREACH), PROBE_UNREACHABLE, "EHOSTUNREACH: unreachable");
    is_int(probe_outcome_of(ENETUNREACH), PROBE_UNREACHABLE, "ENETUNREACH: unreachable");
    is_int(probe_outcome_of(ETIMEDOUT), PROBE_TIMED_OUT, "ETIMEDOUT: timed out");
    is_int(probe_outcome_of(ECONNRESET), PROBE_RESET, "ECONNRESET: reset");

    group("nobody listens");
    net_numeric("127.0.0.1", 1, &nobody);
    probe_start(&probe, message, LENGTH, true, CLOCK_S);
    own = net_connect(&nobody, NULL);
    if (own == -1) {
        probe_fail(&probe, probe_outcome_of(errno), errno);
    } else {
        probe_wait(&probe, own, -1);
        close(own);
    }
    is_int(probe.outcome, PROBE_REFUSED, "refused");
    is_int(probe.connected_ns, 0, "it was never connected");

    group("told to stop");
    begin_with(message, LENGTH, true, 5 * CLOCK_S);
    if (pipe(stop) == -1 || write(stop[1], "x", 1) != 1) {
        abort();
    }
    uint64_t start = clock_now_ns();
    probe_wait(&probe, own, stop[0]);
    is_int(probe.outcome, PROBE_INTERRUPTED, "interrupted");
    ok(clock_now_ns() - start < CLOCK_S, "it ends at once");
    group("fdwait");
    is_int(fdwait(-1, 0, clock_now_ns() + 20 * CLOCK_MS, -1), 0,
           "waiting for nothing ends at the deadline");
    finish();
}

int main(void)
{
    char error[NET_ERROR_TEXT];

    listener = net_listen("127.0.0.1", 0, 8, 0, error);
    where.length = sizeof where.storage;
    if (listener == -1 ||
        getsockname(listener, (struct sockaddr *)&where.storage, &where.length) == -1) {
        abort();
    }
    test_exact();
    test_differences();
    test_ends();
    test_without_verifying();
    test_large();
    test_failures();
    group("probe_outcome_names");
    for (int i = 0; i < PROBE_OUTCOMES; i++) {
        ok(probe_outcome_names[i] != NULL, "outcome %d has a name", i);
    }
    return done();
}
