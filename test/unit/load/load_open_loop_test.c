#include "load/load_open_loop.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "model.h"
#include "tap.h"

enum { COUNT = 5 };

/* The number of the next free connection; -1: none is free. */
static int taken(struct load_open_loop *loop)
{
    uint32_t connection;

    return load_open_loop_take(loop, &connection) ? (int)connection : -1;
}

static void test_ring(void)
{
    struct load_open_loop loop;

    group("ring");
    ok(load_open_loop_open(&loop, COUNT), "there is memory for one of five connections");
    is_int(taken(&loop), -1, "a new one is empty");
    load_open_loop_add(&loop, 3);
    load_open_loop_add(&loop, 0);
    load_open_loop_add(&loop, 4);
    is_int(taken(&loop), 3, "the one that is free for the longest comes first");
    load_open_loop_add(&loop, 0);
    load_open_loop_add(&loop, 3);
    is_int(taken(&loop), 0, "one that is added again keeps its place");
    is_int(taken(&loop), 4, "then the next in turn comes");
    is_int(taken(&loop), 3, "one that was taken and added again is the last");
    is_int(taken(&loop), -1, "nothing is in it twice");
    load_open_loop_add(&loop, 2);
    load_open_loop_add(&loop, 2);
    is_int(taken(&loop), 2, "the only one, added twice, comes");
    is_int(taken(&loop), -1, "the only one comes once");
    load_open_loop_close(&loop);
}

/* The ring against a queue that is moved by hand, with random orders. */
static void test_random(void)
{
    struct load_open_loop loop;
    uint32_t queue[COUNT], length = 0, takes = 0;
    bool is_right = load_open_loop_open(&loop, COUNT);

    for (int step = 0; is_right && step < 100000; step++) {
        uint32_t connection = below(COUNT);

        if (below(2) == 0) {
            bool is_new = true;

            for (uint32_t i = 0; i < length; i++) {
                is_new = is_new && queue[i] != connection;
            }
            if (is_new) {
                queue[length++] = connection;
            }
            load_open_loop_add(&loop, connection);
        } else {
            is_right = taken(&loop) == (length == 0 ? -1 : (int)queue[0]);
            takes += length > 0 ? 1 : 0;
            length -= length > 0 ? 1 : 0;
            memmove(queue, queue + 1, length * sizeof queue[0]);
        }
    }
    group("100,000 random steps");
    ok(is_right, "the ring does what a queue without doubles does");
    ok(takes > 10000, "many connections were taken: %u", (unsigned)takes);
    load_open_loop_close(&loop);
}

/* With ticks of 50 us. */
static struct load_open_loop started(uint64_t rate, uint64_t start_ns, uint64_t end_ns)
{
    struct load_open_loop loop;
    const struct load_schedule schedule = {.rate = rate,
                                           .rate_ns = CLOCK_S,
                                           .threads = 1,
                                           .start_ns = start_ns,
                                           .end_ns = end_ns};

    ok(load_open_loop_open(&loop, 1) &&
           load_open_loop_start(&loop, &schedule, 50 * CLOCK_US),
       "a loop of %u messages per second can be started", (unsigned)rate);
    return loop;
}

static void test_due(void)
{
    const uint64_t start = 5 * CLOCK_S;
    struct load_open_loop loop = started(1000, start, start + 3 * CLOCK_MS);
    uint64_t due = 0;

    group("due");
    ok(!load_open_loop_is_due(&loop, start - 1, &due), "nothing is due before the start");
    ok(load_open_loop_is_due(&loop, start, &due), "the first is due at the start");
    is_int(load_open_loop_late(&loop, start + CLOCK_MS + 1), 2,
           "two were due, and none began");
    load_open_loop_begun(&loop);
    is_int(load_open_loop_late(&loop, start + CLOCK_MS + 1), 1,
           "two were due, and one began");
    ok(!load_open_loop_is_due(&loop, start + CLOCK_MS - 1, &due),
       "the second is not due before 1 ms");
    ok(load_open_loop_is_due(&loop, start + 500 * CLOCK_MS, &due),
       "the second is due still, however late it is");
    is_int(due, (start + CLOCK_MS), "a late message was due when the schedule says");
    load_open_loop_begun(&loop);
    load_open_loop_begun(&loop);
    ok(!load_open_loop_is_due(&loop, start + CLOCK_S, &due),
       "at the end of the schedule nothing is due any more");
    is_int(load_open_loop_late(&loop, UINT64_MAX), 0, "three of three began: none is late");
    load_open_loop_close(&loop);
}

/* Begin all messages that have to go at `now_ns`. Returns their number, and checks that
 * each was due when the schedule says. */
static unsigned begin_due(struct load_open_loop *loop, uint64_t now_ns)
{
    unsigned count = 0;
    uint64_t due;

    while (load_open_loop_is_due(loop, now_ns, &due)) {
        if (due != load_schedule_due(&loop->schedule, loop->begun)) {
            return 0;
        }
        load_open_loop_begun(loop);
        count++;
    }
    return count;
}

/* 100,000 per second: one every 10 us, five in a tick. */
static void test_group(void)
{
    const uint64_t start = 5 * CLOCK_S, us = CLOCK_US;
    struct load_open_loop loop = started(100000, start, start + 73 * us);

    group("messages that go together");
    is_int(begin_due(&loop, start + 40 * us - 1), 0,
           "before the last of five is due none goes");
    is_int(load_open_loop_late(&loop, start + 40 * us), 0, "none of them is late then");
    is_int(begin_due(&loop, start + 40 * us), 5,
           "then all five go, each with a due time of its own");
    is_int(load_open_loop_late(&loop, start + 49 * us), 0, "none of the next is late");
    is_int(begin_due(&loop, start + 73 * us - 1), 0, "three more wait for their group");
    is_int(load_open_loop_late(&loop, start + 73 * us), 3, "at the end they are late");
    is_int(begin_due(&loop, start + 73 * us), 3, "at the end of the schedule they go");
    is_int(load_open_loop_late(&loop, UINT64_MAX), 0, "eight of eight began");
    load_open_loop_close(&loop);

    loop = started(39900, start, UINT64_MAX);
    is_int(begin_due(&loop, start), 1,
           "where fewer than two are due in a tick each goes when it is due");
    is_int(begin_due(&loop, start + 25 * us), 0, "the next not before");
    is_int(begin_due(&loop, start + 26 * us), 1, "the next then");
    load_open_loop_close(&loop);
}

static bool is_readable(const struct load_open_loop *loop, int wait_ms)
{
    struct pollfd timer = {.fd = loop->timer, .events = POLLIN};

    return poll(&timer, 1, wait_ms) == 1;
}

/* The time that is left, by the kernel's account; 0: the timer waits for nothing. */
static uint64_t left_ns(const struct load_open_loop *loop)
{
    struct itimerspec left;

    timerfd_gettime(loop->timer, &left);
    return (uint64_t)left.it_value.tv_sec * CLOCK_S + (uint64_t)left.it_value.tv_nsec;
}

static void test_timer(void)
{
    uint64_t due, now = clock_now_ns(), later = now + 3600 * CLOCK_S;
    struct load_open_loop loop = started(1000, later, UINT64_MAX);

    group("timer");
    ok(!is_readable(&loop, 20), "it waits for the start");
    ok(load_open_loop_wait(&loop, now), "it can be told to wait");
    ok(left_ns(&loop) > 3500 * CLOCK_S, "it still waits for the start");
    load_open_loop_close(&loop);

    loop = started(1000, now, UINT64_MAX);
    ok(is_readable(&loop, 5000), "it comes at once for a start that has passed");
    ok(load_open_loop_wait(&loop, now), "no connection is free: wait");
    ok(!is_readable(&loop, 20) && left_ns(&loop) == 0,
       "it does not come for a message that waits for a connection");
    while (load_open_loop_is_due(&loop, now + CLOCK_S, &due)) {
        load_open_loop_begun(&loop);
    }
    ok(load_open_loop_wait(&loop, clock_now_ns()) && left_ns(&loop) > 0,
       "when messages began it waits for the next one");
    ok(is_readable(&loop, 5000), "and comes for it");
    ok(clock_now_ns() >= load_schedule_due(&loop.schedule, loop.begun), "not too early");
    load_open_loop_close(&loop);
}

/* A rate whose interval is no whole number of ns: the timer is set to the very time of the
 * message after an hour, too. */
static void test_drift(void)
{
    struct load_open_loop loop = started(30000, clock_now_ns(), UINT64_MAX);

    group("30,000 per second");
    loop.begun = UINT64_C(30000) * 3600 + 1;
    ok(load_open_loop_wait(&loop, loop.timer_ns), "wait for a message in an hour");
    is_int(loop.timer_ns, (loop.schedule.start_ns + 3600 * CLOCK_S + 33333),
           "its time is exact");
    load_open_loop_close(&loop);

    loop = started(1000, clock_now_ns(), clock_now_ns() + CLOCK_MS / 2);
    load_open_loop_begun(&loop);
    ok(load_open_loop_wait(&loop, loop.timer_ns) && left_ns(&loop) == 0,
       "after the last message it waits for nothing");
    load_open_loop_close(&loop);
}

int main(void)
{
    test_ring();
    test_random();
    test_due();
    test_group();
    test_timer();
    test_drift();
    return done();
}
