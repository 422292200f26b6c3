/* The poll set against a world that this test makes up: poll(2), ppoll(2) and the clock are
 * ours (--wrap), so that a million steps take seconds, every run is the same, and a naive
 * reference knows at any time what must happen. */
#include "pollset.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "clock.h"
#include "tap.h"

#define FDS   400 /* descriptors 0 to FDS - 1 may be in the set */
#define STEPS 1000000

/* A ready descriptor is called back within this time of the world's clock. */
#define PATIENCE_NS (50 * CLOCK_MS)

/* What the world is like, and what the reference expects. */
static struct {
    bool is_member;
    short wanted; /* as told to the set */
    short ready;  /* what poll() would find */
    bool has_deadline;
    uint64_t deadline_ns;
    uint64_t waiting_ns; /* since when it is ready for something wanted; 0: it is not */
} fds[FDS];

static uint64_t now_ns = 1000 * CLOCK_S;
static struct pollset *set;
static bool is_random;  /* callbacks do random things */
static bool is_resting; /* nothing becomes ready by itself */
static int poll_errno;  /* the next poll() fails with it */
static long event_calls, deadline_calls, poll_calls, wrong;
static size_t polled_fds; /* looked at, in all */

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

static short found(int fd)
{
    return fds[fd].wanted == 0
               ? 0
               : (short)(fds[fd].ready & (fds[fd].wanted | POLLERR | POLLHUP));
}

/* Keep waiting_ns true after anything changed. */
static void note(int fd)
{
    if (!fds[fd].is_member || found(fd) == 0) {
        fds[fd].waiting_ns = 0;
    } else if (fds[fd].waiting_ns == 0) {
        fds[fd].waiting_ns = now_ns;
    }
}

/* ---- the world -------------------------------------------------------------------------
 */

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_poll(struct pollfd *pfds, nfds_t count, int timeout_ms);
int __wrap_ppoll(struct pollfd *pfds, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    time->tv_sec = (time_t)(now_ns / CLOCK_S);
    time->tv_nsec = (long)(now_ns % CLOCK_S);
    return 0;
}

static int look(struct pollfd *pfds, nfds_t count)
{
    int n = 0;

    for (nfds_t i = 0; i < count; i++) {
        PROMISE(pfds[i].fd >= 0 && pfds[i].fd < FDS && fds[pfds[i].fd].is_member);
        PROMISE(pfds[i].events == fds[pfds[i].fd].wanted && pfds[i].events != 0);
        pfds[i].revents = found(pfds[i].fd);
        n += pfds[i].revents != 0;
    }
    polled_fds += count;
    now_ns += 1000 + 60 * count;
    return n;
}

static int poll_for(struct pollfd *pfds, nfds_t count, uint64_t timeout_ns)
{
    poll_calls++;
    if (poll_errno != 0) {
        errno = poll_errno;
        poll_errno = 0;
        return -1;
    }
    int n = look(pfds, count);
    if (n == 0 && timeout_ns != 0) {
        /* Somewhere in the wait one of them may become ready. */
        if (count > 0 && !is_resting && (timeout_ns == UINT64_MAX || below(2) == 0)) {
            int fd = pfds[below((unsigned)count)].fd;

            now_ns += timeout_ns == UINT64_MAX ? CLOCK_MS : timeout_ns / 2;
            fds[fd].ready |= fds[fd].wanted;
            note(fd);
            n = look(pfds, count);
        } else if (timeout_ns != UINT64_MAX) {
            now_ns += timeout_ns;
        }
    }
    return n;
}

int __wrap_poll(struct pollfd *pfds, nfds_t count, int timeout_ms)
{
    return poll_for(pfds, count,
                    timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * CLOCK_MS);
}

int __wrap_ppoll(struct pollfd *pfds, nfds_t count, const struct timespec *timeout,
                 const sigset_t *mask)
{
    (void)mask;
    return poll_for(pfds, count,
                    timeout == NULL
                        ? UINT64_MAX
                        : (uint64_t)timeout->tv_sec * CLOCK_S + (uint64_t)timeout->tv_nsec);
}

/* ---- what is done to the set, and noted ------------------------------------------------
 */

static void add(int fd, short events)
{
    fds[fd].is_member = true;
    fds[fd].wanted = events;
    fds[fd].has_deadline = false;
    if (!pollset_add(set, fd, events)) {
        abort();
    }
    note(fd);
}

static void want(int fd, short events)
{
    fds[fd].wanted = events;
    pollset_want(set, fd, events);
    note(fd);
}

static void take_out(int fd)
{
    fds[fd].is_member = false;
    fds[fd].ready = 0;
    pollset_remove(set, fd);
    note(fd);
}

static void set_deadline(int fd, uint64_t when_ns)
{
    fds[fd].has_deadline = true;
    fds[fd].deadline_ns = when_ns;
    pollset_deadline(set, fd, when_ns);
}

static void clear_deadline(int fd)
{
    fds[fd].has_deadline = false;
    pollset_no_deadline(set, fd);
}

static void become_ready(int fd, short events)
{
    fds[fd].ready |= events;
    note(fd);
}

/* One random thing to one random descriptor. */
static void random_step(void)
{
    static const short choices[] = {0, POLLIN, POLLIN, POLLIN, POLLOUT, POLLIN | POLLOUT};
    int fd = (int)below(FDS);

    if (!fds[fd].is_member) {
        add(fd, choices[below(6)]);
        return;
    }
    switch (below(12)) {
    case 0:
        take_out(fd);
        break;
    case 1:
        want(fd, choices[below(6)]);
        break;
    case 2:
        set_deadline(fd, now_ns + 1 + (uint64_t)below(40) * CLOCK_MS + below(1000000));
        break;
    case 3:
        clear_deadline(fd);
        break;
    case 4:
        become_ready(fd, POLLHUP);
        break;
    default: /* mostly the low numbers talk, so that the others are quiet for long */
        fd = (int)below(below(4) == 0 ? FDS : 8);
        if (fds[fd].is_member) {
            become_ready(fd, below(2) == 0 ? POLLIN : POLLOUT);
        }
        break;
    }
}

static void on_event(void *context, int fd, short revents)
{
    PROMISE(context == &fds);
    PROMISE(fd >= 0 && fd < FDS && fds[fd].is_member);
    PROMISE(revents != 0 && (revents & ~found(fd)) == 0);
    event_calls++;
    fds[fd].ready &= (short)~revents;
    fds[fd].waiting_ns = 0;
    note(fd);
    for (unsigned n = is_random ? below(4) : 0; n > 0; n--) {
        random_step();
    }
}

static void on_deadline(void *context, int fd)
{
    PROMISE(context == &fds);
    PROMISE(fds[fd].is_member && fds[fd].has_deadline);
    PROMISE(now_ns >= fds[fd].deadline_ns);
    deadline_calls++;
    fds[fd].has_deadline = false;
    if (is_random && below(2) == 0) {
        random_step();
    }
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline};

static void begin(void)
{
    memset(fds, 0, sizeof fds);
    set = pollset_new(&callbacks, &fds);
    event_calls = deadline_calls = poll_calls = 0;
    is_random = false;
}

/* A round, and what must be true after it. */
static void round_of(void)
{
    bool is_overdue[FDS];

    for (int fd = 0; fd < FDS; fd++) {
        is_overdue[fd] = fds[fd].is_member && fds[fd].has_deadline &&
                         now_ns > fds[fd].deadline_ns + 2 * CLOCK_MS;
    }
    PROMISE(pollset_wait(set));
    for (int fd = 0; fd < FDS; fd++) {
        /* No lost readiness, no lost deadline. */
        PROMISE(fds[fd].waiting_ns == 0 || now_ns - fds[fd].waiting_ns < PATIENCE_NS);
        PROMISE(!is_overdue[fd] || !fds[fd].is_member || !fds[fd].has_deadline ||
                now_ns <= fds[fd].deadline_ns + 2 * CLOCK_MS || is_random);
        PROMISE(!fds[fd].is_member || !fds[fd].has_deadline ||
                now_ns < fds[fd].deadline_ns + PATIENCE_NS);
    }
}

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
    ok(counts.slices > 1000 && counts.sweeps > 100 && counts.sleeps > 100,
       "... both tiers: %llu slices, %llu sweeps, %llu sleeps over all",
       (unsigned long long)counts.slices, (unsigned long long)counts.sweeps,
       (unsigned long long)counts.sleeps);
    is_int(wrong, 0, "... no promise was broken");
    pollset_free(set);
}

/* 300 descriptors, of which one talks all the time: the others are looked at rarely, but
 * each is heard in time; at rest nothing is done at all. */
static void test_tiers(void)
{
    uint64_t worst = 0;

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
    is_int(counts.hot, 2, "the talker and the pinned one are hot");
    is_int(counts.cold, 298, "... all others are cold");
    polled_fds = 0;
    long polls_before = poll_calls;
    until = now_ns + CLOCK_S;
    for (int n = 0; now_ns < until; n++) {
        become_ready(7, POLLIN);
        if (n % 20000 == 0) {
            become_ready(200 + n / 20000 % 100, POLLIN);
        }
        uint64_t start = fds[200 + n / 20000 % 100].waiting_ns;
        round_of();
        if (start != 0 && fds[200 + n / 20000 % 100].waiting_ns == 0 &&
            now_ns - start > worst) {
            worst = now_ns - start;
        }
    }
    long rounds = poll_calls - polls_before;
    ok(polled_fds < (size_t)rounds * 20, "%zu looked at in %ld polls, not 300 in each",
       polled_fds, rounds);
    ok(worst < 20 * CLOCK_MS, "a cold one waits %llu us at most",
       (unsigned long long)(worst / CLOCK_US));
    set_deadline(9, now_ns + 60 * CLOCK_S);
    long events_before = event_calls;
    is_resting = true;
    polls_before = poll_calls;
    while (fds[9].has_deadline) {
        round_of();
    }
    is_resting = false;
    is_int(event_calls, events_before, "a minute of rest: no event");
    ok(poll_calls - polls_before < 40, "... and %ld calls of poll()",
       poll_calls - polls_before);
    become_ready(250, POLLIN);
    is_int(rounds_until_event(1), 1, "after a rest a cold one is heard at once");
    is_int(wrong, 0, "no promise was broken");
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
