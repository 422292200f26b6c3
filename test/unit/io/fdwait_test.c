/* Waiting for one descriptor and writing all, with pipes that are empty, full, read late or
 * not read at all; and with signals that interrupt. */
#include "io/fdwait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "fds.h"
#include "tap.h"

#define LONG_NS (5 * CLOCK_S) /* much longer than anything here takes */

static volatile sig_atomic_t alarms;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

/* Signals that interrupt system calls, every `ms` from now on; 0: no more. */
static void interrupt_every(int ms)
{
    struct itimerval timer = {{0, ms * 1000}, {0, ms * 1000}};

    alarms = 0;
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) == -1) {
        abort();
    }
}

static void close_pipe(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static void write_byte(int fd)
{
    if (write(fd, "x", 1) != 1) {
        abort();
    }
}

/* ---- fdwait ----------------------------------------------------------------------------
 */

static void test_events(void)
{
    uint64_t start = clock_now_ns();
    int ends[2];

    group("fdwait");
    open_pipe(ends);
    is_int(fdwait(ends[1], POLLOUT, start + LONG_NS, -1), POLLOUT,
           "there is room: POLLOUT");
    write_byte(ends[1]);
    is_int(fdwait(ends[0], POLLIN, start + LONG_NS, -1), POLLIN, "there is a byte: POLLIN");
    is_int(fdwait(ends[0], POLLIN, 0, -1), POLLIN,
           "there is a byte: POLLIN after the deadline, too");
    close(ends[1]);
    is_int(fdwait(ends[0], POLLIN, start + LONG_NS, -1), POLLIN | POLLHUP,
           "the other end is closed: POLLHUP beside POLLIN");
    close(ends[0]);
    open_pipe(ends);
    close(ends[0]);
    is_int(fdwait(ends[1], 0, start + LONG_NS, -1), POLLERR,
           "nobody reads: POLLERR, without being asked");
    is_int(fdwait(ends[0], POLLIN, start + LONG_NS, -1), POLLNVAL,
           "a closed descriptor: POLLNVAL");
    close(ends[1]);
    ok(clock_now_ns() - start < LONG_NS, "none of these waits until the deadline");
}

static void test_deadline(void)
{
    int ends[2];

    group("fdwait, nothing comes");
    open_pipe(ends);
    uint64_t start = clock_now_ns();
    is_int(fdwait(ends[0], POLLIN, start + 50 * CLOCK_MS, -1), 0, "0 at the deadline");
    uint64_t took = clock_now_ns() - start;
    ok(took >= 50 * CLOCK_MS, "it is not before the deadline");
    ok(took < LONG_NS, "it is not long after the deadline");
    start = clock_now_ns();
    is_int(fdwait(ends[0], POLLIN, start, -1), 0, "0 when the deadline is now");
    is_int(fdwait(ends[0], POLLIN, 0, -1), 0, "0 when the deadline has passed");
    is_int(fdwait(-1, 0, 0, -1), 0, "0 for no descriptor");
    ok(clock_now_ns() - start < LONG_NS, "deadlines that have passed are not waited for");

    group("fdwait, interrupted by signals");
    start = clock_now_ns();
    interrupt_every(10);
    is_int(fdwait(ends[0], POLLIN, start + 100 * CLOCK_MS, -1), 0, "0 at the deadline");
    took = clock_now_ns() - start;
    int interruptions = alarms;
    interrupt_every(0);
    ok(took >= 100 * CLOCK_MS, "it is not before the deadline");
    ok(interruptions > 0, "there were interruptions: %d", interruptions);
    close_pipe(ends);
}

static void test_stop(void)
{
    uint64_t start = clock_now_ns();
    int ends[2], stop[2];

    group("fdwait, stop_fd");
    open_pipe(ends);
    open_pipe(stop);
    is_int(fdwait(ends[0], POLLIN, start + 20 * CLOCK_MS, stop[0]), 0,
           "neither is readable: 0 at the deadline");
    write_byte(ends[1]);
    is_int(fdwait(ends[0], POLLIN, start + LONG_NS, stop[0]), POLLIN,
           "it is not readable: the descriptor's events");
    write_byte(stop[1]);
    is_int(fdwait(ends[0], POLLIN, start + LONG_NS, stop[0]), -1,
           "both are readable: it goes first");
    is_int(fdwait(-1, 0, start + LONG_NS, stop[0]), -1, "it ends the wait for nothing");
    is_int(fdwait(-1, 0, 0, stop[0]), -1, "it counts after the deadline, too");
    is_int(fds_poll(stop[0], POLLIN, 0), POLLIN, "it is not read");
    ok(clock_now_ns() - start < LONG_NS, "none of these waits until the deadline");
    close_pipe(ends);
    close_pipe(stop);
}

static void *write_later(void *fd)
{
    poll(NULL, 0, 50);
    write_byte(*(int *)fd);
    return NULL;
}

static void test_wakeup(void)
{
    uint64_t start = clock_now_ns();
    pthread_t thread;
    int ends[2];

    group("fdwait, a byte that comes later");
    open_pipe(ends);
    if (thread_start(&thread, write_later, &ends[1]) != 0) {
        abort();
    }
    is_int(fdwait(ends[0], POLLIN, start + LONG_NS, -1), POLLIN, "it ends the wait");
    ok(clock_now_ns() - start < LONG_NS, "the deadline is not waited for");
    pthread_join(thread, NULL);
    close_pipe(ends);
}

/* ---- fdwait_write_all ------------------------------------------------------------------
 */

static char text[1 << 20], got[sizeof text];

/* A reader in a thread: begins late, reads `stop_at` bytes, and closes. */
struct reader {
    int fd;
    size_t stop_at, length;
};

static void *read_late(void *argument)
{
    struct reader *reader = argument;

    poll(NULL, 0, 50);
    while (reader->length < reader->stop_at) {
        size_t left = reader->stop_at - reader->length;
        ssize_t n = read(reader->fd, got + reader->length, left < 5000 ? left : 5000);

        if (n <= 0) {
            break;
        }
        reader->length += (size_t)n;
    }
    close(reader->fd);
    return NULL;
}

/* Write all of the text to a pipe that is read so. Returns the errno, 0 for success. */
static int write_to_reader(struct reader *reader, bool is_nonblocking)
{
    pthread_t thread;
    int ends[2];

    open_pipe(ends);
    if (is_nonblocking && fcntl(ends[1], F_SETFL, O_NONBLOCK) == -1) {
        abort();
    }
    reader->fd = ends[0];
    reader->length = 0;
    if (thread_start(&thread, read_late, reader) != 0) {
        abort();
    }
    errno = 0;
    int error = fdwait_write_all(ends[1], text, sizeof text) ? 0 : errno;
    close(ends[1]);
    pthread_join(thread, NULL);
    return error;
}

static void test_write_all(bool is_nonblocking, int interrupt_ms)
{
    struct reader all = {.stop_at = sizeof text}, some = {.stop_at = 200000};

    group("fdwait_write_all, %s pipe%s", is_nonblocking ? "a non-blocking" : "a blocking",
          interrupt_ms != 0 ? ", interrupted by signals" : "");
    memset(got, 0, sizeof got);
    interrupt_every(interrupt_ms);
    is_int(write_to_reader(&all, is_nonblocking), 0, "a late reader: it succeeds");
    is_int(all.length, sizeof text, "a late reader: all bytes come");
    is_mem(got, text, sizeof text, "a late reader: the bytes come in order");
    is_int(write_to_reader(&some, is_nonblocking), EPIPE,
           "a reader that goes after a part: EPIPE");
    interrupt_every(0);
}

static void test_write_fails(void)
{
    int ends[2], full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    group("fdwait_write_all");
    open_pipe(ends);
    ok(fdwait_write_all(ends[1], text, 0), "nothing to write: it succeeds");
    is_int(fds_poll(ends[0], POLLIN, 0), 0, "nothing to write: nothing is written");
    close(ends[0]);
    errno = 0;
    ok(!fdwait_write_all(ends[1], "x", 1), "nobody reads: it fails");
    is_int(errno, EPIPE, "nobody reads: errno is EPIPE");
    close(ends[1]);
    errno = 0;
    ok(!fdwait_write_all(ends[1], "x", 1), "a closed descriptor: it fails");
    is_int(errno, EBADF, "a closed descriptor: errno is EBADF");
    errno = 0;
    ok(!fdwait_write_all(full, "x", 1), "a full disk: it fails");
    is_int(errno, ENOSPC, "a full disk: errno is ENOSPC");
    close(full);
}

int main(void)
{
    const struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
    int before = fds_open();

    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGALRM, &action, NULL);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = (char)(i * 2654435761U >> 13);
    }
    test_events();
    test_deadline();
    test_stop();
    test_wakeup();
    test_write_all(false, 0);
    test_write_all(true, 0);
    test_write_all(false, 5);
    test_write_all(true, 5);
    test_write_fails();
    group("the end");
    is_int(fds_open(), before, "no descriptor is left open");
    return done();
}
