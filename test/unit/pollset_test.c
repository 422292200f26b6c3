/* The poll set in a made-up world (pollset_world.h), so that a million steps take seconds,
 * and every run is the same. */
#include "pollset.h"

#include "tap.h"

#define FDS   400
#define STEPS 1000000

static long wrong;

#define PROMISE(condition)                                                                 \
    do {                                                                                   \
        if (!(condition) && wrong++ < 10) {                                                \
            printf("# line %d: broken: %s\n", __LINE__, #condition);                       \
        }                                                                                  \
    } while (0)

static unsigned below(unsigned n)
{
    static uint64_t state = 88172645463325252U; /* xorshift64 */

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 33) % n;
}

#include "pollset_world.h"

/* Rounds until `fd` was called back, at most `most`. */
static int rounds_until_event(int most)
{
    long before = event_calls;
    int rounds = 0;

    while (event_calls == before && rounds < most) {
        round_of();
        rounds++;
    }
    return rounds;
}

static void test_basics(void)
{
    begin();
    add(3, POLLIN);
    add(4, POLLIN);
    become_ready(3, POLLIN | POLLOUT);
    is_int(rounds_until_event(1), 1, "a ready descriptor is called back in the same round");
    is_int(event_calls, 1, "... once, and no other");
    want(3, 0);
    become_ready(3, POLLIN | POLLHUP);
    set_deadline(4, now_ns + 5 * CLOCK_MS);
    fds[4].wanted = 0;
    pollset_want(set, 4, 0);
    uint64_t start = now_ns;
    while (deadline_calls == 0 && now_ns - start < CLOCK_S) {
        round_of();
    }
    is_int(event_calls, 1, "a parked descriptor is not called back, not even for POLLHUP");
    is_int(deadline_calls, 1, "a deadline comes for a parked one, too");
    ok(now_ns - start >= 5 * CLOCK_MS && now_ns - start <= 8 * CLOCK_MS, "... in time");
    ok(poll_calls < 20, "... and without spinning");
    want(3, POLLIN);
    rounds_until_event(1);
    is_int(event_calls, 2, "unparked, it is called back");
    set_deadline(3, now_ns + CLOCK_MS);
    set_deadline(3, now_ns + 20 * CLOCK_MS);
    start = now_ns;
    while (deadline_calls == 1 && now_ns - start < CLOCK_S) {
        round_of();
    }
    ok(now_ns - start >= 20 * CLOCK_MS, "a postponed deadline comes at the later time");
    set_deadline(3, now_ns + 20 * CLOCK_MS);
    set_deadline(3, now_ns + 2 * CLOCK_MS);
    start = now_ns;
    while (deadline_calls == 2 && now_ns - start < CLOCK_S) {
        round_of();
    }
    ok(now_ns - start < 6 * CLOCK_MS, "an advanced one at the earlier");
    is_int(pollset_now(set), pollset_now(set), "a round has one time");
    take_out(3);
    take_out(4);
    pollset_free(set);
    is_int(wrong, 0, "no promise was broken");
}

static void test_errors(void)
{
    static const int passing[] = {EINTR, ENOMEM, EAGAIN};

    begin();
    add(5, POLLIN);
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        become_ready(5, POLLIN);
        poll_errno = passing[i];
        ok(pollset_wait(set), "%s of poll() is lived with", strerror(passing[i]));
        ok(rounds_until_event(2) <= 2, "... and nothing is lost");
    }
    poll_errno = EFAULT;
    ok(!pollset_wait(set) && errno == EFAULT, "what will not pass is reported");
    pollset_free(set);
}

static void test_model(void)
{
    begin();
    is_random = true;
    add(0, POLLIN); /* something can always end a wait */
    for (long step = 0; step < STEPS; step++) {
        random_step();
        if (below(3) == 0) {
            if (below(500) == 0) {
                poll_errno = EINTR;
            }
            if (!fds[0].is_member) {
                add(0, POLLIN);
            } else if (fds[0].wanted == 0) {
                want(0, POLLIN);
            }
            round_of();
            if (step % 64 == 0) {
                PROMISE(pollset_is_sound(set));
            }
        }
    }
    ok(event_calls > STEPS / 20, "%d random steps: %ld events", STEPS, event_calls);
    ok(deadline_calls > STEPS / 500, "... %ld deadlines", deadline_calls);
    struct pollset_counts counts = pollset_counts(set);
    ok(counts.armed > 10000 && counts.told > 1000 && counts.lost > 10,
       "... both tiers: %llu armed, %llu told, %llu lost", (unsigned long long)counts.armed,
       (unsigned long long)counts.told, (unsigned long long)counts.lost);
    is_int(wrong, 0, "... no promise was broken");
    pollset_free(set);
}

/* 300 descriptors, of which one talks all the time: the others are not looked at, yet each
 * is heard; at rest nothing is done at all. */
static void test_tiers(void)
{
    begin();
    for (int fd = 0; fd < 300; fd++) {
        add(fd, POLLIN);
    }
    pollset_pin(set, 0);
    uint64_t until = now_ns + CLOCK_S;
    while (now_ns < until) {
        become_ready(7, POLLIN);
        round_of();
    }
    struct pollset_counts counts = pollset_counts(set);
    is_int(counts.hot, 3, "the talker, the pinned one and the bell are hot");
    is_int(counts.cold, 298, "... all others are cold");
    polled_fds = 0;
    armed_polled = 0;
    long polls_before = poll_calls;
    int most_rounds = 0;
    until = now_ns + CLOCK_S;
    for (int n = 0; now_ns < until; n++) {
        become_ready(7, POLLIN);
        if (n % 20000 == 0) {
            int fd = 200 + n / 20000 % 100, rounds = 0;

            become_ready(fd, POLLIN);
            for (; fds[fd].waiting_ns != 0 && rounds < 100; rounds++) {
                become_ready(7, POLLIN);
                round_of();
            }
            most_rounds = rounds > most_rounds ? rounds : most_rounds;
        }
        round_of();
    }
    long rounds = poll_calls - polls_before;
    ok(polled_fds < (size_t)rounds * 8, "%zu looked at in %ld polls, not 300 in each",
       polled_fds, rounds);
    ok(most_rounds <= 2, "a cold one waits %d rounds at most", most_rounds);
    set_deadline(9, now_ns + 60 * CLOCK_S);
    long events_before = event_calls;
    is_resting = true;
    polls_before = poll_calls;
    while (fds[9].has_deadline) {
        round_of();
    }
    is_resting = false;
    is_int(event_calls, events_before, "a minute of rest: no event");
    ok(poll_calls - polls_before < 10, "... and %ld calls of poll()",
       poll_calls - polls_before);
    take_out(250);
    add(250, POLLIN);
    become_ready(250, POLLIN);
    is_int(rounds_until_event(1), 1,
           "one that was cold, removed and added again is heard at once");
    is_int(wrong, 0, "no promise was broken");
    pollset_free(set);

    begin();
    can_arm = false;
    for (int fd = 0; fd < 300; fd++) {
        add(fd, POLLIN);
    }
    until = now_ns + CLOCK_S;
    while (now_ns < until) {
        become_ready(7, POLLIN);
        round_of();
    }
    counts = pollset_counts(set);
    is_int(counts.cold, 0, "where arming fails, all stay hot");
    become_ready(250, POLLIN);
    events_before = event_calls;
    round_of();
    is_int(event_calls, events_before + 1, "... and are heard in the same round");
    pollset_free(set);
}

int main(void)
{
    test_tiers();
    test_basics();
    test_errors();
    test_model();
    return done();
}
