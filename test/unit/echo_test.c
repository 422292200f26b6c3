/* Sessions are driven over a socket pair; recv(), send() and malloc() are ours (--wrap), so
 * that short writes and errors come when the test wants them. */
#include "echo.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

static struct echo_scratch scratch;
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
    send_limit = SIZE_MAX;
    send_error = recv_error = recv_calls = send_calls = 0;
}

static void finish(void)
{
    echo_free(&echo);
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
    return echo_ready(&echo, own, revents, &scratch);
}

static void test_plain_echo(void)
{
    begin();
    is_int(ready(POLLIN), POLLIN, "readable without bytes: wait on");
    peer_says("hello");
    is_int(ready(POLLIN), POLLIN, "bytes: echoed at once, wait for more");
    is_int(scratch.length, 5, "... and the caller can see them");
    is_str(heard(), "hello", "... and the peer has them");
    is_int(echo.echoed_bytes, 5, "... and they are counted");
    is_int(recv_calls, 2, "one recv() per call");
    is_int(send_calls, 1, "one send() per message");
    ok(echo.pending == NULL, "no buffer is kept");
    finish();
}

static void test_short_writes(void)
{
    begin();
    peer_says("abcdef");
    send_limit = 1;
    is_int(ready(POLLIN), POLLOUT, "a short send: wait for room, read no more");
    is_int(echo_pending_bytes(&echo), 5, "the rest is pending");
    peer_says("ghi");
    is_int(ready(POLLIN), POLLOUT, "readable while bytes are pending: nothing is read");
    is_int(recv_calls, 1, "... no recv()");
    send_limit = 0;
    is_int(ready(POLLOUT), POLLOUT, "no room after all: wait on");
    send_limit = 2;
    is_int(ready(POLLOUT), POLLOUT, "some room");
    is_int(ready(POLLOUT), POLLOUT, "some more");
    is_int(ready(POLLOUT), POLLIN, "all gone: read again");
    ok(echo.pending == NULL, "the buffer is released");
    is_int(ready(POLLIN), POLLOUT, "what came meanwhile is read now");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "and sent");
    is_str(heard(), "abcdefghi", "every byte in order");
    is_int(echo.echoed_bytes, 9, "each counted once");
    finish();
}

static void test_half_close(void)
{
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
    is_int(ready(0), 0, "... still");
    is_str(heard(), "last words", "the peer has the whole echo");
    is_str(heard(), "(end)", "... and our end of stream");
    is_int(ready(0), ECHO_OVER, "acknowledged: over");
    is_int(echo.error, 0, "... without error");
    finish();
}

static void test_end(void)
{
    begin();
    is_int(echo_end(&echo, own), POLLIN, "told to end with nothing pending: linger");
    is_str(heard(), "(end)", "our end of stream is out");
    peer_says("too late");
    is_int(ready(POLLIN), POLLIN, "late bytes are read");
    is_int(scratch.length, 0, "... and not echoed");
    ok(echo.has_late_bytes, "... but noted");
    shutdown(peer, SHUT_WR);
    is_int(ready(POLLIN), ECHO_OVER, "the peer ends: over");
    is_int(echo.echoed_bytes, 0, "nothing counted as echoed");
    finish();

    begin();
    peer_says("abc");
    send_limit = 1;
    is_int(ready(POLLIN), POLLOUT, "something pending");
    is_int(echo_end(&echo, own), POLLOUT, "told to end: flush first");
    peer_says("more");
    send_limit = SIZE_MAX;
    is_int(ready(POLLOUT), POLLIN, "flushed: linger");
    is_str(heard(), "abc", "what was pending went out");
    is_str(heard(), "(end)", "... and the end");
    is_int(ready(POLLIN), POLLIN, "what came after is not echoed");
    is_str(heard(), "(end)", "... nor is anything else");
    finish();
}

static void test_errors(void)
{
    begin();
    recv_error = ECONNRESET;
    is_int(ready(POLLERR | POLLHUP), ECHO_OVER, "a reset: over");
    is_int(echo.error, ECONNRESET, "... recv() tells why");
    finish();

    begin();
    peer_says("x");
    send_error = EPIPE;
    is_int(ready(POLLIN), ECHO_OVER, "nobody to send to: over");
    is_int(echo.error, EPIPE, "... send() tells why");
    finish();

    begin();
    peer_says("xyz");
    send_limit = 1;
    ready(POLLIN);
    send_error = ECONNRESET;
    is_int(ready(POLLERR), ECHO_OVER, "a reset with bytes pending: over");
    is_int(echo_pending_bytes(&echo), 2, "... and how many were lost is known");
    finish();

    begin();
    recv_error = EINTR;
    is_int(ready(POLLIN), POLLIN, "EINTR in recv() is no error");
    recv_error = 0;
    peer_says("x");
    send_error = EINTR;
    is_int(ready(POLLIN), POLLOUT, "EINTR in send() is no error");
    send_error = 0;
    is_int(ready(POLLOUT), POLLIN, "... the byte goes out later");
    is_str(heard(), "x", "... and once");
    finish();

    begin();
    peer_says("xyz");
    send_limit = 1;
    is_memory_gone = true;
    int wants = ready(POLLIN);
    is_memory_gone = false;
    is_int(wants, ECHO_OVER, "no memory for the rest: over");
    is_int(echo.error, ENOMEM, "... and it says so");
    finish();
}

static void test_stalling(void)
{
    char some[2];

    begin();
    is_int(echo_stalled_since(&echo, own, 100), 100, "nothing pending: not stalled");
    peer_says("abcdefgh");
    send_limit = 4;
    ready(POLLIN);
    is_int(echo_stalled_since(&echo, own, 200), 200, "pending since now");
    is_int(echo_stalled_since(&echo, own, 300), 200, "nothing taken: stalled since then");
    is_int(read(peer, some, 2), 2, "the peer takes some of what was sent");
    is_int(read(peer, some, 2), 2, "... all of it");
    is_int(echo_stalled_since(&echo, own, 400), 400, "that is progress");
    is_int(echo_stalled_since(&echo, own, 500), 400, "... once");
    send_limit = 1;
    ready(POLLOUT);
    is_int(echo_stalled_since(&echo, own, 600), 600,
           "a byte more taken by send() is progress");
    send_limit = 0;
    ready(POLLOUT);
    is_int(echo_stalled_since(&echo, own, 700), 600, "a try that took none is not");
    finish();
}

/* Whatever the sizes, what comes back is what was sent. */
static void test_random(void)
{
    static unsigned char sent[300000], got[sizeof sent];
    size_t out = 0, in = 0;
    short wants = POLLIN;

    srand(7);
    for (size_t i = 0; i < sizeof sent; i++) {
        sent[i] = (unsigned char)rand();
    }
    begin();
    for (long step = 0; in < sizeof sent && step < 10000000; step++) {
        size_t some = 1 + (size_t)rand() % 5000;

        if (out < sizeof sent) {
            ssize_t n = write(peer, sent + out,
                              some < sizeof sent - out ? some : sizeof sent - out);
            out += n > 0 ? (size_t)n : 0;
        }
        send_limit = (size_t)rand() % 3 == 0 ? 0 : (size_t)rand() % 4000;
        int next = ready(wants);
        if (next == ECHO_OVER) {
            break;
        }
        wants = (short)next;
        if (rand() % 2 == 0) {
            ssize_t n = read(peer, got + in, sizeof got - in);
            in += n > 0 ? (size_t)n : 0;
        }
    }
    is_int(in, sizeof sent, "300,000 random bytes in random pieces come back");
    is_mem(got, sent, in, "... each the same");
    finish();
}

int main(void)
{
    is_int(sizeof(struct echo), 20, "a session takes 20 bytes");
    test_plain_echo();
    test_short_writes();
    test_half_close();
    test_end();
    test_errors();
    test_stalling();
    test_random();
    return done();
}
