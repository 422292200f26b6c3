/* Real notifications of pipes and socket pairs, in this thread and in another. What a
 * thread gets are hints, so that a number may come more often than once. */
#include "io/sigio.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "fds.h"
#include "tap.h"

#define NUMBERS 64 /* descriptors of this test are lower */
#define FLOOD   50000

static _Thread_local int sigio_fd;

/* What sigio_take() returned since the last call of take_all(). */
static struct {
    int of[NUMBERS]; /* how often which descriptor */
    int all, strange;
    bool is_overflown;
} heard;

static void take_all(void)
{
    memset(&heard, 0, sizeof heard);
    for (int n = 0; n < 2 * FLOOD; n++) {
        int numbers[SIGIO_BATCH];
        size_t count = sigio_take(sigio_fd, numbers);

        for (size_t i = 0; i < count; i++) {
            if (numbers[i] == SIGIO_OVERFLOW) {
                heard.is_overflown = true;
            } else if (numbers[i] >= 0 && numbers[i] < NUMBERS) {
                heard.of[numbers[i]]++;
                heard.all++;
            } else {
                heard.strange++;
            }
        }
        if (count < SIGIO_BATCH) {
            return;
        }
    }
    abort(); /* they must end */
}

/* Was this descriptor heard, and nothing else? */
static bool heard_only(int fd)
{
    take_all();
    return heard.of[fd] > 0 && heard.all == heard.of[fd] && heard.strange == 0 &&
           !heard.is_overflown;
}

static bool heard_nothing(void)
{
    take_all();
    return heard.all == 0 && heard.strange == 0 && !heard.is_overflown;
}

/* Two ends of a pipe or a socket pair, non-blocking; the first is read from. */
static void open_both(int ends[2], bool is_socket)
{
    int error = is_socket ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends)
                          : pipe2(ends, O_NONBLOCK);

    if (error == -1 || ends[0] >= NUMBERS || ends[1] >= NUMBERS) {
        abort();
    }
}

static void close_both(const int ends[2])
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

static bool read_byte(int fd)
{
    char byte;

    return read(fd, &byte, 1) == 1;
}

static void test_notification(bool is_socket)
{
    int ends[2], others[2];

    group("an armed %s", is_socket ? "socket" : "pipe");
    open_both(ends, is_socket);
    open_both(others, is_socket);
    ok(sigio_arm(ends[0]) && sigio_arm(others[0]), "it can be armed");
    ok(heard_nothing(), "nothing came: no notification");
    is_int(fds_poll(sigio_fd, POLLIN, 0), 0, "nothing came: poll() sees nothing");
    errno = EDOM;
    write_byte(ends[1]);
    is_int(errno, EDOM, "a byte came: errno is preserved");
    is_int(fds_poll(sigio_fd, POLLIN, 2000), POLLIN, "a byte came: poll() sees it");
    ok(heard_only(ends[0]), "a byte came: it notifies, by its number, and no other does");
    is_int(fds_poll(sigio_fd, POLLIN, 0), 0, "all taken: poll() sees nothing");
    ok(read_byte(ends[0]), "the notification takes no byte away");
    write_byte(ends[1]);
    ok(heard_only(ends[0]), "another byte came: it notifies again");
    close(ends[1]);
    ok(heard_only(ends[0]), "the other end is closed: it notifies");
    write_byte(others[1]);
    ok(heard_only(others[0]), "a byte came for another: that one notifies");
    close(ends[0]);
    close_both(others);
}

/* A connection over loopback: of room the kernel notifies there, not in a Unix socket. */
static void connect_both(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) == -1 ||
        listen(listener, 1) == -1 ||
        getsockname(listener, (struct sockaddr *)&at, &length) == -1 ||
        connect(ends[0], (struct sockaddr *)&at, sizeof at) == -1 ||
        (ends[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) == -1 ||
        fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1) {
        abort();
    }
    close(listener);
}

static void test_room(void)
{
    static char block[65536];
    int ends[2];

    group("an armed connection that is full");
    connect_both(ends);
    for (int i = 0; i < 20; i++) { /* until the peer's buffer is full, too */
        while (write(ends[0], block, sizeof block) > 0) {
        }
        poll(NULL, 0, 5);
    }
    ok(sigio_arm(ends[0]), "it can be armed");
    is_int(fds_poll(ends[0], POLLOUT, 0), 0, "poll() afterwards sees no room");
    take_all();
    for (int i = 0; i < 200 && fds_poll(sigio_fd, POLLIN, 0) == 0; i++) {
        while (read(ends[1], block, sizeof block) > 0) {
        }
        poll(NULL, 0, 5);
    }
    ok(heard_only(ends[0]), "it notifies when there is room");
    is_int(fds_poll(ends[0], POLLOUT, 0), POLLOUT, "poll() sees the room then");
    close_both(ends);
}

static void test_ready_before(void)
{
    int ends[2];

    group("ready before it is armed");
    open_both(ends, true);
    write_byte(ends[1]);
    ok(sigio_arm(ends[0]), "it can be armed");
    ok(heard_nothing(), "it does not notify");
    is_int(fds_poll(ends[0], POLLIN, 0), POLLIN, "poll() afterwards sees it");
    close_both(ends);
}

static void test_disarm(void)
{
    int ends[2];

    group("disarmed");
    open_both(ends, true);
    sigio_arm(ends[0]);
    sigio_disarm(ends[0]);
    write_byte(ends[1]);
    ok(heard_nothing(), "it does not notify");
    ok((fcntl(ends[0], F_GETFL) & O_NONBLOCK) != 0, "it is non-blocking still");
    ok(sigio_arm(ends[0]), "it can be armed again");
    write_byte(ends[1]);
    ok(heard_only(ends[0]), "armed again it notifies");
    write_byte(ends[1]);
    sigio_disarm(ends[0]);
    take_all();
    ok(heard.strange == 0 && heard.all == heard.of[ends[0]],
       "what it sent before may still come, and nothing else");
    ok(heard_nothing(), "taken, nothing comes any more");
    close_both(ends);
}

static void test_closed_number(void)
{
    int ends[2];

    group("a hint of a closed descriptor");
    open_both(ends, true);
    sigio_arm(ends[0]);
    write_byte(ends[1]);
    close_both(ends);
    take_all();
    ok(heard.strange == 0 && heard.all == heard.of[ends[0]], "no other number comes");
    open_both(ends, true);
    ok(heard_nothing(), "taken, it does not come for the next of that number");
    ok(sigio_arm(ends[0]), "the next of that number can be armed");
    write_byte(ends[1]);
    ok(heard_only(ends[0]), "the next of that number notifies");
    close_both(ends);
}

/* Many at a time, in the order in which they came. */
static void test_batch(void)
{
    enum { PAIRS = 20 };
    int ends[PAIRS][2], numbers[SIGIO_BATCH], in_order = 0;

    group("%d descriptors, twice each", PAIRS);
    for (int i = 0; i < PAIRS; i++) {
        open_both(ends[i], true);
        sigio_arm(ends[i][0]);
    }
    for (int i = 0; i < 2 * PAIRS; i++) {
        write_byte(ends[i % PAIRS][1]);
    }
    size_t count = sigio_take(sigio_fd, numbers);
    is_int(count, SIGIO_BATCH, "one call takes a whole batch");
    for (size_t i = 0; i < count; i++) {
        in_order += numbers[i] == ends[i % PAIRS][0];
    }
    is_int(in_order, SIGIO_BATCH, "they come in the order in which they notified");
    is_int(sigio_take(sigio_fd, numbers), 2 * PAIRS - SIGIO_BATCH,
           "the next takes the rest");
    is_int(sigio_take(sigio_fd, numbers), 0, "then there are none");
    for (int i = 0; i < PAIRS; i++) {
        close_both(ends[i]);
    }
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_wait(void)
{
    int ends[2];

    group("waiting");
    open_both(ends, true);
    sigio_arm(ends[0]);
    uint64_t start = now_ms();
    is_int(sigio_wait(0), SIGIO_NONE, "nothing came, no time: it returns");
    is_int(sigio_wait(30), SIGIO_NONE, "nothing came, 30 ms: it returns");
    uint64_t took = now_ms() - start;
    ok(took >= 30 && took < 5000, "30 ms take that long");
    write_byte(ends[1]);
    write_byte(ends[1]);
    is_int(sigio_wait(-1), ends[0], "two came: it returns the first number");
    ok(heard_only(ends[0]), "the other can be taken");
    is_int(sigio_wait(0), SIGIO_NONE, "then there are none");
    close_both(ends);
}

/* The kernel can queue no signal: it says that there was one, not whose. */
static void test_overflow(void)
{
    struct rlimit before, none;
    int ends[2];

    group("no room in the kernel's queue");
    open_both(ends, true);
    sigio_arm(ends[0]);
    getrlimit(RLIMIT_SIGPENDING, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_SIGPENDING, &none);
    write_byte(ends[1]);
    setrlimit(RLIMIT_SIGPENDING, &before);
    is_int(fds_poll(sigio_fd, POLLIN, 2000), POLLIN, "poll() sees it");
    take_all();
    ok(heard.is_overflown, "it is an overflow");
    is_int(fds_poll(ends[0], POLLIN, 0), POLLIN, "a look at all that are armed finds it");
    ok(heard_nothing(), "the overflow is told once");
    setrlimit(RLIMIT_SIGPENDING, &none);
    write_byte(ends[1]);
    setrlimit(RLIMIT_SIGPENDING, &before);
    is_int(sigio_wait(2000), SIGIO_OVERFLOW, "waiting, it is an overflow, too");
    write_byte(ends[1]);
    ok(heard_only(ends[0]), "with room again, numbers come");
    close_both(ends);
}

/* More notifications than anything holds, and one that comes behind them. */
static void test_flood(void)
{
    int ends[2], late[2];

    group("%d notifications that nobody takes", FLOOD);
    open_both(ends, true);
    open_both(late, true);
    sigio_arm(ends[0]);
    sigio_arm(late[0]);
    for (int i = 0; i < FLOOD; i++) {
        write_byte(ends[1]);
        read_byte(ends[0]);
    }
    write_byte(late[1]);
    take_all();
    is_int(heard.strange, 0, "only armed ones are heard");
    ok(heard.of[ends[0]] > 0 || heard.is_overflown, "the noisy one is heard: %d times",
       heard.of[ends[0]]);
    ok(heard.of[late[0]] > 0 || heard.is_overflown,
       "the last one is heard, or an overflow");
    write_byte(late[1]);
    ok(heard_only(late[0]), "taken, they go on as before");
    close_both(ends);
    close_both(late);
}

/* Another thread with its own signals: what it heard. */
struct other {
    int ends[2], own[2];
    pthread_barrier_t is_armed, is_written, is_taken;
    bool is_open, has_own, has_foreign;
};

static void *run_other(void *argument)
{
    struct other *other = argument;

    sigio_fd = sigio_open();
    other->is_open = sigio_fd != -1 && sigio_arm(other->own[0]);
    pthread_barrier_wait(&other->is_armed);
    pthread_barrier_wait(&other->is_written);
    take_all();
    other->has_own = heard.of[other->own[0]] > 0;
    other->has_foreign = heard.all != heard.of[other->own[0]] || heard.strange != 0;
    pthread_barrier_wait(&other->is_taken);
    sigio_close(sigio_fd);
    return NULL;
}

static void test_threads(void)
{
    struct other other;
    pthread_t thread;
    int before = fds_open();

    group("two threads");
    open_both(other.ends, true);
    open_both(other.own, true);
    pthread_barrier_init(&other.is_armed, NULL, 2);
    pthread_barrier_init(&other.is_written, NULL, 2);
    pthread_barrier_init(&other.is_taken, NULL, 2);
    sigio_arm(other.ends[0]);
    if (thread_start(&thread, run_other, &other) != 0) {
        abort();
    }
    pthread_barrier_wait(&other.is_armed);
    write_byte(other.ends[1]);
    write_byte(other.own[1]);
    pthread_barrier_wait(&other.is_written);
    pthread_barrier_wait(&other.is_taken);
    ok(other.is_open, "the other opens its own and arms");
    ok(other.has_own, "the other hears what it armed");
    ok(!other.has_foreign, "the other hears nothing that this one armed");
    ok(heard_only(other.ends[0]), "this one hears what it armed, and nothing else");
    pthread_join(thread, NULL);
    write_byte(other.ends[1]);
    ok(heard_only(other.ends[0]), "this one goes on when the other has closed");
    close_both(other.ends);
    close_both(other.own);
    is_int(fds_open(), before, "the other's descriptors are closed");
    pthread_barrier_destroy(&other.is_armed);
    pthread_barrier_destroy(&other.is_written);
    pthread_barrier_destroy(&other.is_taken);
}

static void test_failures(void)
{
    int before = fds_open(), ends[2];

    group("sigio_open with no descriptor left");
    fds_exhaust(true);
    errno = 0;
    int fd = sigio_open();
    int error = errno;
    fds_exhaust(false);
    is_int(fd, -1, "it fails");
    is_int(error, EMFILE, "errno is EMFILE");
    is_int(fds_open(), before, "no descriptor is left open");

    group("sigio_arm of a closed descriptor");
    open_both(ends, false);
    close_both(ends);
    errno = 0;
    ok(!sigio_arm(ends[0]), "it fails");
    is_int(errno, EBADF, "errno is EBADF");
}

int main(void)
{
    int before = fds_open();

    alarm(20); /* whatever blocks ends the test */
    test_failures();
    for (int round = 0; round < 2; round++) {
        group("sigio_open, time %d", round + 1);
        sigio_fd = sigio_open();
        if (!ok(sigio_fd != -1, "it succeeds")) {
            return done();
        }
        take_all(); /* of the time before, some may be on their way */
        ok(fds_is_careful(sigio_fd), "its descriptor is close-on-exec and non-blocking");
        ok(fds_open() - before <= SIGIO_FDS, "it opens no more than SIGIO_FDS descriptors");
        ok(heard_nothing(), "there is nothing to take");
        test_notification(false);
        test_notification(true);
        test_room();
        test_ready_before();
        test_disarm();
        test_closed_number();
        test_batch();
        test_wait();
        test_overflow();
        test_flood();
        test_threads();
        sigio_close(sigio_fd);
        group("sigio_close");
        is_int(fds_open(), before, "no descriptor is left open");
    }
    return done();
}
