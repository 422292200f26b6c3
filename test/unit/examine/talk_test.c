/* One connection of an examination, against a peer that this test plays itself, over
 * loopback: what counts as right, every way to fail, and the words for it. */
#include "examine/talk.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

static const char text[] = "0123456789";
#define LENGTH (sizeof text - 1)

static int listener, peer, stop[2];
static struct talk_target target;
static struct talk talk;

static bool begin_with(struct talk_content content)
{
    struct net_address from;
    struct pollfd pfd = {.fd = listener, .events = POLLIN};

    target.deadline_ns = clock_now_ns() + 20 * CLOCK_S;
    bool is_open = talk_open(&talk, &target, content);
    if (poll(&pfd, 1, 2000) != 1 || (peer = net_accept(listener, &from)) == -1) {
        abort();
    }
    return is_open;
}

static void begin(void)
{
    ok(begin_with((struct talk_content){text, 0}), "it connects");
    ok(talk_push(&talk, LENGTH, LENGTH, CLOCK_S), "it sends");
}

static void finish(void)
{
    talk_close(&talk);
    close(peer);
}

static void says(const char *bytes, size_t length)
{
    if (write(peer, bytes, length) != (ssize_t)length) {
        abort();
    }
}

static void is_seen(const char *wanted)
{
    char seen[TALK_SEEN_TEXT];

    is_str(talk_seen(&talk, seen), wanted, "the words for it");
}

static bool run(void)
{
    return talk_run(&talk, LENGTH, LENGTH, LENGTH);
}

static void test_exact(void)
{
    group("an exact echo");
    begin();
    says(text, 4);
    says(text + 4, LENGTH - 4);
    ok(run(), "is right");
    ok(talk_quiet(&talk, CLOCK_MS), "and nothing more came");
    is_seen("10 of 10 bytes came back");
    finish();
}

static void test_differs(void)
{
    group("a wrong byte");
    begin();
    says("0123x", 5);
    ok(!run(), "fails");
    is_int(talk.outcome, PROBE_DIFFERS, "as a difference");
    is_seen("byte 4 is 0x78 (x), expected 0x34");
    ok(!run() && !talk_quiet(&talk, 0) && !talk_end(&talk), "the steps after it fail, too");
    finish();

    group("a byte that nobody sent");
    begin();
    says("0123456789\xff", 11);
    ok(!run(), "fails");
    is_seen("more than the 10 bytes sent: \\xff");
    finish();

    group("one that comes later");
    begin();
    says(text, LENGTH);
    ok(run(), "all came back");
    says("\n", 1);
    ok(!talk_quiet(&talk, CLOCK_S), "and then more");
    is_seen("more than the 10 bytes sent: \\n");
    finish();
}

static void test_ends(void)
{
    group("a peer that closes early");
    begin();
    says(text, 3);
    shutdown(peer, SHUT_WR);
    ok(!run(), "fails");
    is_int(talk.outcome, PROBE_CLOSED_EARLY, "as closed early");
    is_seen("3 of 10 bytes came back, then the server closed");
    finish();

    group("a peer that resets");
    begin();
    close(peer); /* what was sent is unread there */
    ok(!run(), "fails");
    is_int(talk.outcome, PROBE_RESET, "as a reset");
    is_seen("0 of 10 bytes came back, then the server reset the connection");
    talk_close(&talk);

    group("a peer that says nothing");
    begin();
    target.timeout_ns = 20 * CLOCK_MS;
    ok(!run(), "fails");
    is_int(talk.outcome, PROBE_TIMED_OUT, "as timed out");
    is_seen("0 of 10 bytes came back, then nothing more");
    target.timeout_ns = 5 * CLOCK_S;
    finish();

    group("a deadline that has passed");
    begin();
    target.deadline_ns = clock_now_ns();
    ok(!run(), "fails at once");
    is_int(talk.outcome, PROBE_TIMED_OUT, "as timed out");
    finish();

    group("a signal");
    begin();
    if (write(stop[1], "x", 1) != 1) {
        abort();
    }
    ok(!run(), "ends it");
    is_int(talk.outcome, PROBE_INTERRUPTED, "as interrupted");
    (void)!read(stop[0], (char[1]){0}, 1);
    finish();
}

static void test_half_close(void)
{
    char bytes[LENGTH + 1];

    group("half-close");
    begin();
    says(text, LENGTH);
    shutdown(peer, SHUT_WR);
    ok(talk_end(&talk), "all comes, and the end of the stream");
    is_int(read(peer, bytes, sizeof bytes), LENGTH, "the peer reads all");
    is_int(read(peer, bytes, sizeof bytes), 0, "and our end of the stream");
    finish();

    group("half-close, and the rest is missing");
    begin();
    says(text, LENGTH - 1);
    shutdown(peer, SHUT_WR);
    ok(!talk_end(&talk), "fails");
    is_seen("9 of 10 bytes came back, then the server closed");
    finish();

    group("half-close, and no end");
    begin();
    says(text, LENGTH);
    target.timeout_ns = 20 * CLOCK_MS;
    ok(!talk_end(&talk), "fails");
    is_seen("10 of 10 bytes came back, but no end of the stream");
    target.timeout_ns = 5 * CLOCK_S;
    finish();
}

static void test_refused(void)
{
    struct talk_target nobody = target;
    char error[NET_ERROR_TEXT];
    struct net_address own = {.length = sizeof own.storage};
    int taken = net_listen("127.0.0.1", 0, 1, 0, error);

    group("nobody there");
    getsockname(taken, (struct sockaddr *)&own.storage, &own.length);
    close(taken);
    nobody.address = own;
    ok(!talk_open(&talk, &nobody, (struct talk_content){text, 0}), "fails");
    is_int(talk.outcome, PROBE_REFUSED, "as refused");
    is_seen("no connection: Connection refused");
    talk_close(&talk);
    is_int(talk.fd, -1, "closed");
    talk_close(&talk);
}

static void test_push(void)
{
    group("a peer that reads nothing");
    ok(begin_with((struct talk_content){talk_bytes, 7}), "it connects");
    ok(talk_push(&talk, UINT64_C(1) << 30, 65536, 50 * CLOCK_MS), "sending stops");
    ok(talk.sent > 0 && talk.sent < UINT64_C(1) << 30, "in between");
    finish();
}

static void test_urgent(void)
{
    group("an urgent byte");
    ok(begin_with((struct talk_content){text, 0}), "it connects");
    ok(talk_push(&talk, 2, 2, CLOCK_S) && talk_urgent(&talk), "it is sent");
    struct pollfd pfd = {.fd = peer, .events = POLLPRI};
    is_int(poll(&pfd, 1, 2000), 1, "as an urgent one");
    is_int(talk.sent, 3, "and counts");
    says(text, 3);
    ok(talk_run(&talk, 3, 3, 1), "it is expected in its place");
    finish();
}

/* What is sent does not depend on the pieces in which it is sent. */
static void test_content(bool is_lines)
{
    const struct talk_content content = {is_lines ? talk_lines : talk_bytes, 99};
    unsigned char whole[1000], pieces[1000];
    static const size_t piece[] = {1, 7, 64, 100};

    group(is_lines ? "lines" : "bytes");
    begin_with(content);
    talk_push(&talk, sizeof whole, sizeof whole, CLOCK_S);
    is_int(recv(peer, whole, sizeof whole, MSG_WAITALL), sizeof whole, "sent in one piece");
    finish();
    for (size_t i = 0; i < sizeof piece / sizeof piece[0]; i++) {
        begin_with(content);
        talk_push(&talk, sizeof pieces, piece[i], CLOCK_S);
        size_t got = 0;
        while (got < sizeof pieces) {
            struct pollfd pfd = {.fd = peer, .events = POLLIN};
            ssize_t n = poll(&pfd, 1, 2000) == 1
                            ? read(peer, pieces + got, sizeof pieces - got)
                            : 0;
            if (n <= 0) {
                break;
            }
            got += (size_t)n;
        }
        is_mem(pieces, whole, sizeof whole, "the same in pieces of %zu", piece[i]);
        finish();
    }
    if (is_lines) {
        bool are_lines = true;
        for (size_t i = 0; i < sizeof whole; i++) {
            are_lines = are_lines && (i % TALK_LINE == TALK_LINE - 1
                                          ? whole[i] == '\n'
                                          : whole[i] >= 'a' && whole[i] <= 'z');
        }
        ok(are_lines, "letters, and a newline at the end of each");
    }
}

int main(void)
{
    char error[NET_ERROR_TEXT];

    listener = net_listen("127.0.0.1", 0, 16, 0, error);
    target.address.length = sizeof target.address.storage;
    if (listener == -1 || pipe(stop) == -1 ||
        getsockname(listener, (struct sockaddr *)&target.address.storage,
                    &target.address.length) == -1) {
        abort();
    }
    target.stop_fd = stop[0];
    target.timeout_ns = 5 * CLOCK_S;
    test_exact();
    test_differs();
    test_ends();
    test_half_close();
    test_refused();
    test_push();
    test_urgent();
    test_content(false);
    test_content(true);
    close(listener);
    return done();
}
