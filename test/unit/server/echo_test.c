/* Sessions are driven over a socket pair; recv(), send() and malloc() are ours (--wrap), so
 * that short writes and errors come when the test wants them. */
#include "server/echo.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "model.h"
#include "tap.h"

/* What the next calls do. */
static size_t send_limit = SIZE_MAX; /* the most bytes a send() takes; 0: EAGAIN */
static int send_error, recv_error;
static bool is_memory_gone;
static int recv_calls, send_calls;

ssize_t __real_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __real_recv(int fd, void *bytes, size_t length, int flags);
void *__real_malloc(size_t size);
ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags);
void *__wrap_malloc(size_t size);

ssize_t __wrap_send(int fd, const void *bytes, size_t length, int flags)
{
    send_calls++;
    if (send_error != 0 || send_limit == 0) {
        errno = send_error != 0 ? send_error : EAGAIN;
        return -1;
    }
    return __real_send(fd, bytes, length < send_limit ? length : send_limit, flags);
}

ssize_t __wrap_recv(int fd, void *bytes, size_t length, int flags)
{
    recv_calls++;
    if (recv_error != 0) {
        errno = recv_error;
        return -1;
    }
    return __real_recv(fd, bytes, length, flags);
}

void *__wrap_malloc(size_t size)
{
    return is_memory_gone ? NULL : __real_malloc(size);
}

static struct pending_pool pool;
static struct echo_receive_buffer received = {.pending.pool = &pool};
static struct echo echo;
static int peer, own;

static void begin(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1) {
        abort();
    }
    peer = pair[0];
    own = pair[1];
    echo_init(&echo);
    pool.left = 16 << 20;
    received.pending.spare = 0;
    send_limit = SIZE_MAX;
    send_error = recv_error = recv_calls = send_calls = 0;
}

static void finish(void)
{
    echo_free(&echo, &received);
    is_int(received.pending.held, 0, "in the end no memory is held");
    close(peer);
    close(own);
}

static void peer_says(const char *text)
{
    if (write(peer, text, strlen(text)) != (ssize_t)strlen(text)) {
        abort();
    }
}

/* What came back to the peer by now. */
static const char *heard(void)
{
    static char text[1024];
    ssize_t n = read(peer, text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    return n == 0 ? "(end)" : text;
}

static int ready(short revents)
{
    return echo_ready(&echo, own, revents, &received);
}

static void test_plain_echo(void)
{
    group("plain echo");
    begin();
    is_int(ready(POLLIN), POLLIN, "readable without bytes: wait on");
    peer_says("hello");
    is_int(ready(POLLIN), POLLIN, "bytes: echoed at once, wait for more");
    is_int(received.length, 5, "bytes: the caller can see them");
    is_str(heard(), "hello", "bytes: the peer has them");
    is_int(echo.echoed_bytes, 5, "bytes: they are counted");
    is_int(recv_calls, 2, "one recv() per call");
    is_int(send_calls, 1, "one send() per message");
    ok(echo.pending == NULL, "no buffer is kept");
    finish();
}

static void test_short_writes(void)
{
    group("short writes");
    begin();
    peer_says("abcdef");
    send_limit = 1;
    is_int(ready(POLLIN), POLLOUT, "a short send: wait for room, read no more");
    is_int(echo_pending_bytes(&echo, own), 5, "the rest is pending");
    peer_says("ghi");
    is_int(ready(POLLIN), POLLOUT, "readable while bytes are pending: nothing is read");
    is_int(recv_calls, 1, "readable while bytes are pending: no recv()");
    send_limit = 0;
    is_int(ready(POLLOUT), POLLOUT, "no room after all: wait on");
    send_limit = 2;
    is_int(ready(POLLOUT), POLLOUT, "some room: wait for more");
    is_int(ready(POLLOUT), POLLOUT, "some more room: wait for more");
    is_int(ready(POLLOUT), POLLIN, "all gone: read again");
    ok(echo.pending == NULL, "the buffer is released");
    is_int(ready(POLLIN), POLLOUT, "what came meanwhile is read now");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "what came meanwhile is sent");
    is_str(heard(), "abcdefghi", "the peer has every byte in order");
    is_int(echo.echoed_bytes, 9, "each byte is counted once");
    finish();
}

static void test_half_close(void)
{
    group("half-close");
    begin();
    peer_says("last words");
    shutdown(peer, SHUT_WR);
    send_limit = 4;
    is_int(ready(POLLIN | POLLHUP), POLLOUT, "words and the end: words first");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT | POLLHUP), POLLIN, "flushed: look for more");
    /* A socket pair counts as unacknowledged what the peer has not read yet. */
    is_int(ready(POLLIN | POLLHUP), 0,
           "the end is read: only acknowledgements are missing");
    is_int(ready(0), 0, "the peer has not read yet: acknowledgements are still missing");
    is_int(echo.end_looks, 2, "it counts how often that was so");
    for (int look = 2; look < 2 * ECHO_END_LOOKS_MAX; look++) {
        ready(0);
    }
    is_int(echo.end_looks, ECHO_END_LOOKS_MAX, "it counts that up to its limit");
    is_str(heard(), "last words", "the peer has the whole echo");
    is_str(heard(), "(end)", "the peer has our end of stream");
    is_int(ready(0), ECHO_OVER, "acknowledged: over");
    is_int(echo.error, 0, "acknowledged: no error");
    finish();
}

static void test_end(void)
{
    group("told to end, nothing pending");
    begin();
    is_int(echo_end(&echo, own), POLLIN, "it lingers");
    is_str(heard(), "(end)", "our end of stream is out");
    peer_says("too late");
    is_int(ready(POLLIN), POLLIN, "late bytes are read");
    is_int(received.length, 0, "late bytes are not echoed");
    is_int(received.late, 8, "late bytes are counted apart");
    ok(echo.has_late_bytes, "late bytes are noted");
    shutdown(peer, SHUT_WR);
    is_int(ready(POLLIN), ECHO_OVER, "the peer ends: over");
    is_int(echo.echoed_bytes, 0, "nothing is counted as echoed");
    finish();

    group("told to end, bytes pending");
    begin();
    peer_says("abc");
    send_limit = 1;
    is_int(ready(POLLIN), POLLOUT, "bytes are pending");
    is_int(echo_end(&echo, own), POLLOUT, "it flushes first");
    peer_says("more");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "flushed, it lingers");
    is_str(heard(), "abc", "what was pending went out");
    is_str(heard(), "(end)", "the end of stream went out behind it");
    is_int(ready(POLLIN), POLLIN, "what came after is read");
    is_str(heard(), "(end)", "what came after is not echoed");
    finish();
}

static void test_errors(void)
{
    group("a reset");
    begin();
    recv_error = ECONNRESET;
    is_int(ready(POLLERR | POLLHUP), ECHO_OVER, "it is over");
    is_int(echo.error, ECONNRESET, "recv() says why");
    finish();

    group("nobody to send to");
    begin();
    peer_says("x");
    send_error = EPIPE;
    is_int(ready(POLLIN), ECHO_OVER, "it is over");
    is_int(echo.error, EPIPE, "send() says why");
    finish();

    group("a reset with bytes pending");
    begin();
    peer_says("xyz");
    send_limit = 1;
    ready(POLLIN);
    send_error = ECONNRESET;
    is_int(ready(POLLERR), ECHO_OVER, "it is over");
    is_int(echo_pending_bytes(&echo, own), 2, "how many were lost is known");
    finish();

    group("EINTR");
    begin();
    recv_error = EINTR;
    is_int(ready(POLLIN), POLLIN, "in recv() it is no error");
    recv_error = 0;
    peer_says("x");
    send_error = EINTR;
    is_int(ready(POLLIN), POLLOUT, "in send() it is no error");
    send_error = 0;
    is_int(ready(POLLOUT), POLLIN, "after one in send() the byte goes out later");
    is_str(heard(), "x", "after one in send() the byte goes out once");
    finish();

    group("no memory for the rest");
    begin();
    peer_says("xyz");
    send_limit = 1;
    is_memory_gone = true;
    int wants = ready(POLLIN);
    is_memory_gone = false;
    is_int(wants, ECHO_OVER, "it is over");
    is_int(echo.error, ENOMEM, "ENOMEM says why");
    finish();
}

static void test_stalling(void)
{
    char some[2];

    group("stalling");
    begin();
    is_int(echo_stalled_since(&echo, own, 100 * CLOCK_MS), 100 * CLOCK_MS,
           "nothing pending: not stalled");
    peer_says("abcdefgh");
    send_limit = 4;
    ready(POLLIN);
    is_int(echo_stalled_since(&echo, own, 200 * CLOCK_MS), 200 * CLOCK_MS,
           "just pending: stalled since now");
    is_int(echo_stalled_since(&echo, own, 300 * CLOCK_MS), 200 * CLOCK_MS,
           "nothing taken: stalled since then");
    is_int(read(peer, some, 2), 2, "the peer takes some of what was sent");
    is_int(read(peer, some, 2), 2, "the peer takes the rest of what was sent");
    is_int(echo_stalled_since(&echo, own, 400 * CLOCK_MS), 400 * CLOCK_MS,
           "what the peer takes is progress");
    is_int(echo_stalled_since(&echo, own, 500 * CLOCK_MS), 400 * CLOCK_MS,
           "what the peer took is progress once");
    send_limit = 1;
    ready(POLLOUT);
    is_int(echo_stalled_since(&echo, own, 600 * CLOCK_MS), 600 * CLOCK_MS,
           "a byte more taken by send() is progress");
    send_limit = 0;
    ready(POLLOUT);
    is_int(echo_stalled_since(&echo, own, 700 * CLOCK_MS), 600 * CLOCK_MS,
           "a try that took none is no progress");
    finish();
}

static size_t unread(void)
{
    char some[1024];
    ssize_t n = __real_recv(own, some, sizeof some, MSG_PEEK);

    return n > 0 ? (size_t)n : 0;
}

static void test_without_memory(void)
{
    group("no pending memory");
    begin();
    pool.left = 0;
    peer_says("hello");
    is_int(ready(POLLIN), POLLIN, "what send() takes at once is echoed as always");
    is_int(received.length, 5, "the caller sees what was received");
    is_mem(received.bytes, "hello", 5, "the caller sees the bytes");
    is_str(heard(), "hello", "the peer has them");
    is_int(unread(), 0, "they are taken out of the kernel's buffer");
    is_int(ready(POLLIN), POLLIN, "readable without bytes: wait on");

    peer_says("abcdef");
    send_limit = 2;
    is_int(ready(POLLIN), POLLOUT, "a short send: wait for room");
    ok(echo_is_blocked(&echo), "the session is blocked");
    is_int(received.length, 2, "received is what send() took");
    is_int(unread(), 4, "the rest stays in the kernel");
    is_int(received.pending.held, 0, "nothing is held");
    recv_calls = 0;
    is_int(ready(POLLIN), POLLOUT, "readable while blocked: wait for room on");
    is_int(recv_calls, 0, "readable while blocked: no recv()");
    is_int(echo_stalled_since(&echo, own, 5 * CLOCK_MS), 5 * CLOCK_MS, "blocked since now");
    is_int(echo_stalled_since(&echo, own, 9 * CLOCK_MS), 5 * CLOCK_MS, "no progress");
    send_limit = 0;
    is_int(ready(POLLOUT), POLLOUT, "no room after all: wait on");
    is_int(unread(), 4, "no room after all: nothing is taken");
    send_limit = 3;
    is_int(ready(POLLOUT), POLLOUT, "some room: wait for more");
    is_int(echo_stalled_since(&echo, own, 11 * CLOCK_MS), 11 * CLOCK_MS, "progress");
    is_int(ready(POLLOUT), POLLIN, "room for the last byte: read again");
    is_str(heard(), "abcdef", "every byte came back, in order");
    ok(!echo_is_blocked(&echo), "the session is not blocked any more");
    finish();

    group("no pending memory, and the peer's end");
    begin();
    pool.left = 0;
    peer_says("xyz");
    shutdown(peer, SHUT_WR);
    send_limit = 1;
    is_int(ready(POLLIN | POLLHUP), POLLOUT, "bytes before the end are not lost");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "all sent: read on");
    ready(POLLIN);
    is_int(echo.state, ECHO_LINGERING, "the end is seen once all is sent");
    is_str(heard(), "xyz", "every byte came back");
    finish();

    group("no pending memory, told to end while blocked");
    begin();
    pool.left = 0;
    peer_says("123");
    send_limit = 1;
    ready(POLLIN);
    is_int(echo_end(&echo, own), POLLOUT, "what was looked at goes out first");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "all sent: wait for the peer's end");
    is_int(echo.state, ECHO_LINGERING, "all sent: our direction has ended");
    is_str(heard(), "123", "every byte came back");
    finish();

    group("no pending memory, a reset while blocked");
    begin();
    pool.left = 0;
    peer_says("123");
    send_limit = 1;
    ready(POLLIN);
    recv_error = ECONNRESET;
    is_int(ready(POLLERR | POLLHUP), ECHO_OVER, "it is over");
    is_int(echo.error, ECONNRESET, "the reason is known");
    finish();

    group("memory comes back while a session is blocked");
    begin();
    pool.left = 0;
    peer_says("abcdef");
    send_limit = 1;
    ready(POLLIN);
    pool.left = 16 << 20;
    is_int(ready(POLLOUT), POLLOUT, "the rest is held now");
    is_int(unread(), 0, "the kernel has nothing any more");
    ok(received.pending.held > 0, "a block is counted");
    is_int(echo_pending_bytes(&echo, own), 4, "its bytes are pending");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "room: all goes out");
    is_str(heard(), "abcdef", "every byte came back, in order");
    finish();
}

/* Our end is near: of what came, the last byte goes out with the end of stream. */
static void test_holding_back(void)
{
    group("before our end");
    begin();
    received.holds_back = true;
    peer_says("hello");
    is_int(ready(POLLIN), POLLIN, "bytes: read on");
    is_str(heard(), "hell", "the peer has all but the last one");
    is_int(echo_held_bytes(&echo), 1, "that one is held");
    is_int(received.length, 5, "the caller sees what was received");
    ok(!echo_is_blocked(&echo), "the session is not blocked");
    ok(echo_is_open(&echo), "it is open");
    is_int(received.pending.held, 0, "it needs no memory");
    peer_says("!");
    is_int(ready(POLLIN), POLLIN, "more comes");
    is_str(heard(), "o", "the byte from before goes out, the new one is held");
    send_limit = 0;
    peer_says("abc");
    is_int(ready(POLLIN), POLLOUT, "the held byte finds no room: wait for it");
    is_int(echo_end(&echo, own), POLLOUT, "the end has to wait, too");
    ok(echo_is_open(&echo), "it is open still");
    send_limit = 2;
    is_int(ready(POLLOUT), POLLIN, "room: the byte goes, and all but the last of the new");
    is_str(heard(), "!ab", "in their order");
    is_int(echo_end(&echo, own), POLLIN, "told to end, it lingers");
    is_str(heard(), "c", "the last byte goes out");
    is_str(heard(), "(end)", "and the end of stream");
    is_int(echo.echoed_bytes, 9, "each byte is counted once");
    finish();

    group("before our end, with a block");
    begin();
    send_limit = 2;
    peer_says("abcdef");
    is_int(ready(POLLIN), POLLOUT, "a short send: wait for room");
    is_int(ready(POLLOUT), POLLOUT, "some room: wait for more");
    is_int(echo_held_bytes(&echo), 2, "two bytes are held");
    is_int(ready(POLLOUT), POLLIN, "room: read on");
    is_int(received.pending.held, 0, "the block is released");
    is_str(heard(), "abcde", "the peer has all but the last one");
    shutdown(peer, SHUT_WR);
    ready(POLLIN);
    is_str(heard(), "f", "at the peer's end it goes out");
    is_str(heard(), "(end)", "and the end of stream");
    finish();

    group("before our end, without memory");
    begin();
    peer_says("xy");
    ready(POLLIN);
    pool.left = received.pending.spare = 0;
    peer_says("abc");
    is_int(ready(POLLIN), POLLIN, "read on");
    is_str(heard(), "xyabc", "nothing is held back any more");
    finish();

    group("before our end, an error");
    begin();
    peer_says("xy");
    ready(POLLIN);
    send_error = ECONNRESET;
    is_int(echo_end(&echo, own), ECHO_OVER, "it is over");
    is_int(echo.error, ECONNRESET, "the reason is known");
    is_int(echo_held_bytes(&echo), 1, "so is the byte that is lost");
    finish();
    received.holds_back = false;
}

/* Whatever the sizes, what comes back is what was sent. */
static void test_random(bool holds_back)
{
    static unsigned char sent[300000], got[sizeof sent];
    size_t out = 0, in = 0;
    short wants = POLLIN;

    group("300,000 random bytes in random pieces%s", holds_back ? ", before our end" : "");
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (unsigned char)next_random();
    }
    begin();
    received.holds_back = holds_back;
    for (long step = 0; in < sizeof sent && step < 10000000; step++) {
        size_t some = 1 + below(5000);

        if (out < sizeof sent) {
            ssize_t n = write(peer, sent + out,
                              some < sizeof sent - out ? some : sizeof sent - out);
            out += n > 0 ? (size_t)n : 0;
        }
        send_limit = below(3) == 0 ? 0 : below(4000);
        pool.left = below(2) == 0 ? 0 : below(1 << 20); /* others take and give back */
        received.pending.spare = below(2) == 0 ? 0 : received.pending.spare;
        bool is_last = holds_back && in == sizeof sent - 1;
        int next = is_last ? echo_end(&echo, own) : ready(wants);
        if (next == ECHO_OVER) {
            break;
        }
        wants = (short)next;
        if (below(2) == 0) {
            ssize_t n = read(peer, got + in, sizeof got - in);
            in += n > 0 ? (size_t)n : 0;
        }
    }
    is_int(in, sizeof sent, "all come back");
    is_mem(got, sent, in, "each comes back the same");
    finish();
}

int main(void)
{
    is_int(sizeof(struct echo), 16, "a session takes 16 bytes");
    test_plain_echo();
    test_short_writes();
    test_half_close();
    test_end();
    test_errors();
    test_stalling();
    test_without_memory();
    test_holding_back();
    test_random(false);
    test_random(true);
    return done();
}
