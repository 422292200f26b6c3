/* The poll set in a made-up world (pollset_world.h), so that a million steps take seconds,
 * and every run is the same. */
#include "io/pollset.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "model.h"
#include "pollset_world.h"
#include "tap.h"

#define FDS 400
#ifndef STEPS
#define STEPS 1000000
#endif

/* Rounds until a descriptor was called back, at most `most`. */
static int rounds_until_event(int most)
{
    long before = world.event_calls;
    int rounds = 0;

    while (world.event_calls == before && rounds < most) {
        world_round();
        rounds++;
    }
    return rounds;
}

static void test_basics(void)
{
    group("basics");
    world_begin(FDS);
    world_add(3, POLLIN);
    world_add(4, POLLIN);
    world_become_ready(3, POLLIN | POLLOUT);
    is_int(rounds_until_event(1), 1, "a ready descriptor is called back in the same round");
    is_int(world.event_calls, 1, "it is called back once, and no other is");
    world_want(3, 0);
    world_become_ready(3, POLLIN | POLLHUP);
    world_set_deadline(4, world.now_ns + 5 * CLOCK_MS);
    world_want(4, 0);
    uint64_t start = world.now_ns;
    while (world.deadline_calls == 0 && world.now_ns - start < CLOCK_S) {
        world_round();
    }
    is_int(world.event_calls, 1,
           "a parked descriptor is not called back, not even for POLLHUP");
    is_int(world.deadline_calls, 1, "a deadline comes for a parked one, too");
    ok(world.now_ns - start >= 5 * CLOCK_MS && world.now_ns - start <= 8 * CLOCK_MS,
       "a parked one's deadline comes in time");
    ok(world.poll_calls < 20,
       "a parked one that is ready does not make the loop spin: %ld calls of poll()",
       world.poll_calls);
    world_want(3, POLLIN);
    rounds_until_event(1);
    is_int(world.event_calls, 2, "unparked, it is called back");
    world_set_deadline(3, world.now_ns + CLOCK_MS);
    world_set_deadline(3, world.now_ns + 20 * CLOCK_MS);
    start = world.now_ns;
    while (world.deadline_calls == 1 && world.now_ns - start < CLOCK_S) {
        world_round();
    }
    ok(world.now_ns - start >= 20 * CLOCK_MS,
       "a postponed deadline comes at the later time");
    world_set_deadline(3, world.now_ns + 20 * CLOCK_MS);
    world_set_deadline(3, world.now_ns + 2 * CLOCK_MS);
    start = world.now_ns;
    while (world.deadline_calls == 2 && world.now_ns - start < CLOCK_S) {
        world_round();
    }
    ok(world.now_ns - start < 6 * CLOCK_MS,
       "an advanced deadline comes at the earlier time");
    is_int(pollset_now(world.set), pollset_now(world.set), "a round has one time");
    world_remove(3);
    world_remove(4);
    world_end();
    is_int(promises_broken(), 0, "no promise was broken");
}

/* Rounds until `calls` timers were called back since world_begin(). Returns the time that
 * took. */
static uint64_t time_until_timer(long calls)
{
    uint64_t start = world.now_ns;

    while (world.timer_calls < calls && world.now_ns - start < CLOCK_S) {
        world_round();
    }
    return world.now_ns - start;
}

static void test_timers(void)
{
    enum { TICK, REST, LAST = POLLSET_TIMERS - 1 };

    group("timers");
    world_begin(FDS);
    world_add(0, POLLIN);
    world.is_resting = true;
    world_set_timer(TICK, world.now_ns + 5 * CLOCK_MS + 1);
    world_set_timer(LAST, world.now_ns + 20 * CLOCK_MS);
    uint64_t took = time_until_timer(1);
    ok(!world_has_timer(TICK) && world_has_timer(LAST), "the earlier of two timers comes");
    ok(took > 5 * CLOCK_MS && took < 7 * CLOCK_MS,
       "the earlier of two timers comes in time");
    world_set_timer(REST, world.now_ns + 2 * CLOCK_MS);
    world_clear_timer(REST);
    time_until_timer(2);
    ok(!world_has_timer(LAST), "the other comes, too; one that was cleared does not");
    is_int(world.deadline_calls, 0, "a timer is no descriptor's deadline");
    ok(world.poll_calls < 8, "waiting for them does not spin: %ld calls of poll()",
       world.poll_calls);
    world_set_timer(TICK, world.now_ns + 2 * CLOCK_MS);
    world_set_timer(TICK, world.now_ns + 9 * CLOCK_MS);
    took = time_until_timer(3);
    ok(took >= 9 * CLOCK_MS, "a timer that was postponed comes at the later time");
    world_set_timer(TICK, world.now_ns - 2 * CLOCK_MS);
    world_round();
    is_int(world.timer_calls, 4, "one whose time has passed comes in the next round");
    world_set_deadline(0, world.now_ns + 3 * CLOCK_MS);
    world_set_timer(TICK, world.now_ns + 6 * CLOCK_MS);
    took = time_until_timer(5);
    is_int(world.deadline_calls, 1, "a deadline before a timer comes, too");
    ok(took < 8 * CLOCK_MS, "a deadline before a timer does not delay that");
    world.is_resting = false;
    world_end();
    is_int(promises_broken(), 0, "no promise was broken");
}

static void test_errors(void)
{
    static const int passing[] = {EINTR, ENOMEM, EAGAIN};

    group("errors of poll()");
    world_begin(FDS);
    world_add(5, POLLIN);
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        world_become_ready(5, POLLIN);
        world.poll_errno = passing[i];
        ok(pollset_wait(world.set), "%s is lived with", strerror(passing[i]));
        ok(rounds_until_event(2) <= 2, "%s loses no event", strerror(passing[i]));
    }
    world.poll_errno = EFAULT;
    ok(!pollset_wait(world.set) && errno == EFAULT, "what will not pass is reported");
    world_end();
}

static void test_model(void)
{
    group("%d random steps", STEPS);
    world_begin(FDS);
    world.is_random = true;
    world_add(0, POLLIN); /* something can always end a wait */
    for (long step = 0; step < STEPS; step++) {
        world_random_step();
        if (below(3) == 0) {
            if (below(500) == 0) {
                world.poll_errno = EINTR;
            }
            world_keep_going();
            world_round();
            if (step % 64 == 0) {
                PROMISE(pollset_is_sound(world.set));
            }
        }
    }
    ok(world.event_calls > STEPS / 20, "there were many events: %ld", world.event_calls);
    ok(world.deadline_calls > STEPS / 500, "there were many deadlines: %ld",
       world.deadline_calls);
    ok(world.timer_calls > STEPS / 500, "there were many timers: %ld", world.timer_calls);
    struct pollset_counts counts = pollset_counts(world.set);
    ok(counts.armed > 10000 && counts.wakeups > 1000 && counts.overflows > 10,
       "both tiers were in use: %llu armed, %llu wakeups, %llu overflows",
       (unsigned long long)counts.armed, (unsigned long long)counts.wakeups,
       (unsigned long long)counts.overflows);
    ok(world.empty_calls > 0 && world.empty_calls < world.event_calls / 10,
       "few hints were no more than that: %ld of %ld calls", world.empty_calls,
       world.event_calls);
    is_int(promises_broken(), 0, "no promise was broken");
    world_end();
}

/* A world of 300 descriptors, of which one talks for a second. */
static void begin_with_300(bool can_arm)
{
    world_begin(FDS);
    world.can_arm = can_arm;
    for (int fd = 0; fd < 300; fd++) {
        world_add(fd, POLLIN);
    }
    pollset_pin(world.set, 0);
    uint64_t until = world.now_ns + CLOCK_S;
    while (world.now_ns < until) {
        world_become_ready(7, POLLIN);
        world_round();
    }
}

/* While one talks all the time, each of the others now and then. Returns how many rounds
 * one of them waited at most. */
static int talk_for_a_second(void)
{
    uint64_t until = world.now_ns + CLOCK_S;
    int most_rounds = 0;

    for (int n = 0; world.now_ns < until; n++) {
        world_become_ready(7, POLLIN);
        if (n % 20000 == 0) {
            int fd = 200 + n / 20000 % 100, rounds = 0;

            world_become_ready(fd, POLLIN);
            for (; world_is_waiting(fd) && rounds < 100; rounds++) {
                world_become_ready(7, POLLIN);
                world_round();
            }
            most_rounds = rounds > most_rounds ? rounds : most_rounds;
        }
        world_round();
    }
    return most_rounds;
}

/* Descriptor `fd` becomes ready, and a round passes. Was it served in that? */
static bool is_served_at_once(int fd)
{
    long before = world.event_calls;

    world_become_ready(fd, POLLIN);
    world_round();
    return world.event_calls == before + 1 && !world_is_waiting(fd);
}

/* Nothing happens, but that descriptor 299 has deadlines. */
static void rest(uint64_t ns)
{
    world.is_resting = true;
    for (uint64_t until = world.now_ns + ns; world.now_ns < until;) {
        world_set_deadline(299, world.now_ns + 20 * CLOCK_MS);
        world_round();
    }
    world_clear_deadline(299);
    world.is_resting = false;
}

/* Each of them now and then: none is armed or disarmed for that, and few are polled. */
static void test_sparse(void)
{
    group("300 descriptors, each talks now and then");
    begin_with_300(true);
    world_remove(0); /* which is pinned */
    world_add(0, POLLIN);
    rest(CLOCK_S);
    struct pollset_counts before = pollset_counts(world.set);
    int at_once = 0;
    size_t most_hot = 0;
    world.looks = 0;
    long polls_before = world.poll_calls;
    for (int n = 0; n < 3000; n++) {
        world.now_ns += 200 * CLOCK_US;
        at_once += is_served_at_once(1 + n % 298);
        struct pollset_counts now = pollset_counts(world.set);
        most_hot = now.hot > most_hot ? now.hot : most_hot;
    }
    is_int(at_once, 3000, "each is served in the round of its notification");
    is_int(pollset_counts(world.set).armed, before.armed, "none is armed again");
    ok(most_hot <= 4, "at most %zu are hot at a time", most_hot);
    ok(world.looks <= (size_t)(world.poll_calls - polls_before) * 4,
       "few are looked at: %zu in %ld calls of poll()", world.looks,
       world.poll_calls - polls_before);
    rest(20 * CLOCK_MS);
    polls_before = world.poll_calls;
    long waits_before = world.wait_calls;
    world_become_ready(5, POLLIN);
    world_round();
    world_round();
    is_int(pollset_counts(world.set).hot, 1,
           "a message takes two rounds, then all are cold");
    is_int(world.poll_calls - polls_before, 1, "one of them is a look");
    is_int(world.wait_calls - waits_before, 1, "the other is a wait for notifications");

    world_become_ready(5, POLLIN);
    world_round();
    world.is_resting = true;
    uint64_t start = world.now_ns;
    world.poll_errno = ENOMEM;
    world_round();
    ok(world.now_ns - start >= 5 * CLOCK_MS,
       "a look after it that fails is not tried again at once");
    world.is_resting = false;
    world_round();

    group("300 descriptors, one talks more and more often");
    rest(CLOCK_S);
    before = pollset_counts(world.set);
    for (int n = 0; n < 3; n++) {
        is_served_at_once(9);
    }
    rest(CLOCK_S);
    is_int(pollset_counts(world.set).armed, before.armed,
           "3 times at once: it stays armed");
    for (int n = 0; n < 4; n++) {
        is_served_at_once(9);
    }
    size_t hot = pollset_counts(world.set).hot;
    rest(CLOCK_S);
    is_int(pollset_counts(world.set).armed, before.armed + 1,
           "4 times at once: it was disarmed, and armed again when idle");
    is_int(hot, before.hot + 1, "4 times at once: it was hot");
    is_int(pollset_counts(world.set).hot, before.hot, "idle again, it is cold");
    is_int(promises_broken(), 0, "no promise was broken");
    world_end();
}

/* A thread whose queue of signals holds nothing: every notification is an overflow. */
static void test_overflows(void)
{
    group("300 descriptors, no room for notifications");
    begin_with_300(true);
    rest(CLOCK_S);
    world.can_queue = false;
    int at_once = 0;
    for (int n = 0; n < 300; n++) {
        at_once += is_served_at_once(1 + n % 298);
    }
    is_int(at_once, 300, "each is served in the round of the overflow");
    is_int(promises_broken(), 0, "no promise was broken");
    world_end();
}

/* The others are not looked at, yet each is heard; at rest nothing is done at all. */
static void test_tiers(void)
{
    group("300 descriptors, one talks");
    begin_with_300(true);
    struct pollset_counts counts = pollset_counts(world.set);
    is_int(counts.hot, 3, "the talker, the pinned one and the signals' descriptor are hot");
    is_int(counts.cold, 298, "all others are cold");
    world.looks = 0;
    long polls_before = world.poll_calls;
    int most_rounds = talk_for_a_second();
    long rounds = world.poll_calls - polls_before;
    ok(world.looks < (size_t)rounds * 8, "few are looked at: %zu in %ld calls of poll()",
       world.looks, rounds);
    ok(most_rounds <= 2, "a cold one waits %d rounds at most", most_rounds);
    group("300 descriptors, a minute of rest");
    world_set_deadline(9, world.now_ns + 60 * CLOCK_S);
    long events_before = world.event_calls;
    world.is_resting = true;
    polls_before = world.poll_calls;
    while (world_has_deadline(9)) {
        world_round();
    }
    world.is_resting = false;
    is_int(world.event_calls, events_before, "there is no event");
    ok(world.poll_calls - polls_before < 10, "there are few calls of poll(): %ld",
       world.poll_calls - polls_before);
    world_remove(250);
    world_add(250, POLLIN);
    world_become_ready(250, POLLIN);
    is_int(rounds_until_event(1), 1,
           "one that was cold, removed and added again is heard at once");
    is_int(promises_broken(), 0, "no promise was broken");
    world_end();

    test_sparse();

    group("300 descriptors, arming fails");
    begin_with_300(false);
    counts = pollset_counts(world.set);
    is_int(counts.cold, 0, "all stay hot");
    world_become_ready(250, POLLIN);
    events_before = world.event_calls;
    world_round();
    is_int(world.event_calls, events_before + 1,
           "one that becomes ready is heard in the same round");
    world_end();
}

int main(void)
{
    test_tiers();
    test_overflows();
    test_basics();
    test_timers();
    test_errors();
    test_model();
    return done();
}
