#include "pollset_world.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "io/sigio.h"
#include "model.h"

struct world world;

/* Descriptors 0 to fd_count - 1 may be in the set; the next one is sigio.h's. */
static int fd_count;

/* What the world is like, and what the reference expects. */
static struct {
    bool is_member;
    short wanted; /* as the set knows it */
    short ready;  /* what poll() would find */
    bool has_deadline;
    uint64_t deadline_ns;
    uint64_t waiting_ns; /* since when it is ready for something wanted; 0: it is not */
    int waiting_rounds;  /* and for how many rounds */
    bool is_armed;       /* notifies when something becomes ready */
    bool was_told;       /* it notified, and that was taken in this round */
    bool was_overdue;    /* before this round */
} fds[WORLD_FDS_MAX + 1];

static struct {
    uint64_t when_ns;     /* or the time at which it was set, if that is later */
    long changes;         /* times that it was set, cleared or called back */
    long changes_before;  /* this round */
    bool is_set, was_due; /* due: before this round */
} timers[POLLSET_TIMERS];

/* Armed ones that notified, and whether there were too many. */
static int wakeups[4 * WORLD_FDS_MAX];
static size_t wakeup_count;
static bool is_overflown;
static int last_served; /* descriptor */

static short found(int fd)
{
    if (fd == fd_count) {
        return wakeup_count > 0 || is_overflown ? POLLIN : 0;
    }
    return fds[fd].wanted == 0
               ? 0
               : (short)(fds[fd].ready & (fds[fd].wanted | POLLERR | POLLHUP));
}

/* Keep waiting_ns true after anything changed. */
static void note(int fd)
{
    if (!fds[fd].is_member || found(fd) == 0) {
        fds[fd].waiting_ns = 0;
        fds[fd].waiting_rounds = 0;
    } else if (fds[fd].waiting_ns == 0) {
        fds[fd].waiting_ns = world.now_ns;
    }
}

/* The kernel notifies, or its queue is full. */
void world_become_ready(int fd, short events)
{
    fds[fd].ready |= events;
    note(fd);
    if (fds[fd].is_armed) {
        if (wakeup_count == 4 * (size_t)fd_count || !world.can_queue ||
            (world.is_random && below(200) == 0)) {
            is_overflown = true;
        } else {
            wakeups[wakeup_count++] = fd;
        }
    }
}

/* ---- the world -------------------------------------------------------------------------
 */

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_poll(struct pollfd *pfds, nfds_t count, int timeout_ms);
int __wrap_sigio_open(void);
bool __wrap_sigio_arm(int fd);
void __wrap_sigio_disarm(int fd);
size_t __wrap_sigio_take(int sigio_fd, int numbers[SIGIO_BATCH]);
int __wrap_sigio_wait(int timeout_ms);
void __wrap_sigio_close(int sigio_fd);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    time->tv_sec = (time_t)(world.now_ns / CLOCK_S);
    time->tv_nsec = (long)(world.now_ns % CLOCK_S);
    return 0;
}

int __wrap_sigio_open(void)
{
    return fd_count;
}

bool __wrap_sigio_arm(int fd)
{
    PROMISE(fds[fd].is_member && !fds[fd].is_armed);
    if (!world.can_arm || (world.is_random && below(20) == 0)) {
        return false;
    }
    if (world.is_random && below(4) == 0) { /* just before: there is no wakeup */
        fds[fd].ready |= POLLIN;
        note(fd);
    }
    fds[fd].is_armed = true;
    return true;
}

void __wrap_sigio_disarm(int fd)
{
    PROMISE(fds[fd].is_member && fds[fd].is_armed);
    fds[fd].is_armed = false;
}

/* Between the look of poll() and this one, another may become ready. */
size_t __wrap_sigio_take(int sigio_fd, int numbers[SIGIO_BATCH])
{
    size_t count = 0;
    int late = below(2) == 0 ? last_served : (int)below((unsigned)fd_count);

    PROMISE(sigio_fd == fd_count);
    if (world.is_random && fds[late].is_member && below(4) == 0) {
        world_become_ready(late, POLLIN);
        if (below(4) == 0 && wakeup_count > 0) {
            wakeup_count--; /* of that one, or of another */
            is_overflown = true;
        }
    }
    if (is_overflown) {
        is_overflown = false;
        numbers[count++] = SIGIO_OVERFLOW;
    }
    while (count < SIGIO_BATCH && wakeup_count > 0) {
        numbers[count] = wakeups[--wakeup_count];
        fds[numbers[count]].was_told = true;
        count++;
    }
    return count;
}

void __wrap_sigio_close(int sigio_fd)
{
    PROMISE(sigio_fd == fd_count);
}

static int look(struct pollfd *pfds, nfds_t count)
{
    int n = 0;

    for (nfds_t i = 0; i < count; i++) {
        int fd = pfds[i].fd;

        PROMISE(fd >= 0 && fd <= fd_count && (fd == fd_count || fds[fd].is_member));
        PROMISE(fd == fd_count ||
                (pfds[i].events == fds[fd].wanted && pfds[i].events != 0));
        pfds[i].revents = found(fd);
        n += pfds[i].revents != 0;
    }
    world.looks += count;
    world.now_ns += 1000 + 60 * count;
    return n;
}

/* Somewhere in the wait some member may become ready. */
static void sleep_for(int timeout_ms)
{
    int fd = (int)below((unsigned)fd_count);

    if (timeout_ms < 0) {
        while (!fds[fd].is_member || fds[fd].wanted == 0) {
            fd = (fd + 1) % fd_count;
        }
    }
    if (!world.is_resting && fds[fd].is_member && (timeout_ms < 0 || below(2) == 0)) {
        world.now_ns += timeout_ms < 0 ? CLOCK_MS : (uint64_t)timeout_ms * CLOCK_MS / 2;
        world_become_ready(fd, fds[fd].wanted);
    } else if (timeout_ms > 0) {
        world.now_ns += (uint64_t)timeout_ms * CLOCK_MS;
    }
}

static bool is_in(const struct pollfd *pfds, nfds_t count, int fd)
{
    nfds_t i = 0;

    while (i < count && pfds[i].fd != fd) {
        i++;
    }
    return i < count;
}

int __wrap_poll(struct pollfd *pfds, nfds_t count, int timeout_ms)
{
    world.poll_calls++;
    if (world.poll_errno != 0) {
        errno = world.poll_errno;
        world.poll_errno = 0;
        return -1;
    }
    if (world.is_random && count > 0 && !is_in(pfds, count, fd_count) && below(50) == 0) {
        errno = ENOMEM; /* at a look at cold ones */
        return -1;
    }
    int n = look(pfds, count);
    if (n == 0 && timeout_ms != 0) {
        sleep_for(timeout_ms);
        n = look(pfds, count);
    }
    return n;
}

int __wrap_sigio_wait(int timeout_ms)
{
    world.wait_calls++;
    for (int fd = 0; fd < fd_count; fd++) { /* nobody else can end it */
        PROMISE(!fds[fd].is_member || fds[fd].wanted == 0 || fds[fd].is_armed);
    }
    world.now_ns += CLOCK_US;
    if (wakeup_count == 0 && !is_overflown && timeout_ms != 0) {
        sleep_for(timeout_ms);
    }
    int number = SIGIO_NONE;
    if (is_overflown) {
        is_overflown = false;
        number = SIGIO_OVERFLOW;
    } else if (wakeup_count > 0 && !(world.is_random && below(500) == 0)) { /* EINTR */
        number = wakeups[--wakeup_count];
        fds[number].was_told = true;
    }
    return number;
}

/* ---- what is done to the set, and noted ------------------------------------------------
 */

void world_add(int fd, short events)
{
    fds[fd].is_member = true;
    fds[fd].wanted = events;
    fds[fd].has_deadline = false;
    if (!pollset_add(world.set, fd, events)) {
        abort();
    }
    note(fd);
}

void world_want(int fd, short events)
{
    fds[fd].wanted = events;
    pollset_want(world.set, fd, events);
    note(fd);
}

void world_remove(int fd)
{
    fds[fd].is_member = false;
    fds[fd].is_armed = false; /* as close() does */
    fds[fd].ready = 0;
    pollset_remove(world.set, fd);
    note(fd);
}

void world_set_deadline(int fd, uint64_t when_ns)
{
    fds[fd].has_deadline = true;
    fds[fd].deadline_ns = when_ns;
    pollset_deadline(world.set, fd, when_ns);
}

void world_clear_deadline(int fd)
{
    fds[fd].has_deadline = false;
    pollset_no_deadline(world.set, fd);
}

void world_set_timer(unsigned slot, uint64_t when_ns)
{
    timers[slot].is_set = true;
    timers[slot].when_ns = when_ns > world.now_ns ? when_ns : world.now_ns;
    timers[slot].changes++;
    pollset_timer(world.set, slot, when_ns);
}

void world_clear_timer(unsigned slot)
{
    timers[slot].is_set = false;
    timers[slot].changes++;
    pollset_no_timer(world.set, slot);
}

/* One of the timers, mostly set; now and then to a time that has passed. */
static void random_timer(void)
{
    unsigned slot = below(POLLSET_TIMERS), kind = below(8);

    if (kind == 0) {
        world_clear_timer(slot);
    } else if (kind == 1) {
        world_set_timer(slot, world.now_ns - below(3) * CLOCK_MS);
    } else {
        world_set_timer(slot,
                        world.now_ns + (uint64_t)below(40) * CLOCK_MS + below(1000000));
    }
}

void world_random_step(void)
{
    static const short choices[] = {0, POLLIN, POLLIN, POLLIN, POLLOUT, POLLIN | POLLOUT};
    int fd = (int)below((unsigned)fd_count);

    if (!fds[fd].is_member) {
        world_add(fd, choices[below(6)]);
        return;
    }
    switch (below(12)) {
    case 0:
        world_remove(fd);
        break;
    case 1:
        world_want(fd, choices[below(6)]);
        break;
    case 2:
        world_set_deadline(fd, world.now_ns + 1 + (uint64_t)below(40) * CLOCK_MS +
                                   below(1000000));
        break;
    case 3:
        world_clear_deadline(fd);
        break;
    case 4:
        world_become_ready(fd, POLLHUP);
        break;
    case 5:
        random_timer();
        break;
    default: /* mostly the low numbers talk, so that the others are idle for long */
        fd = (int)below(below(4) == 0 ? (unsigned)fd_count : 8);
        if (fds[fd].is_member) {
            world_become_ready(fd, below(2) == 0 ? POLLIN : POLLOUT);
        }
        break;
    }
}

static void on_event(void *context, int fd, short revents)
{
    PROMISE(context == &fds);
    PROMISE(fd >= 0 && fd < fd_count && fds[fd].is_member);
    PROMISE(revents != 0);
    if ((revents & ~found(fd)) != 0) { /* a hint only */
        PROMISE(revents == POLLIN && fds[fd].was_told);
        world.empty_calls++;
    }
    world.event_calls++;
    last_served = fd;
    if (!world.is_random || below(8) > 0) { /* else something is left to do */
        fds[fd].ready &= (short)~revents;
    }
    fds[fd].waiting_ns = 0;
    fds[fd].waiting_rounds = 0;
    note(fd);
    for (unsigned n = world.is_random ? below(4) : 0; n > 0; n--) {
        world_random_step();
    }
}

static void on_deadline(void *context, int fd)
{
    PROMISE(context == &fds);
    PROMISE(fds[fd].is_member && fds[fd].has_deadline);
    PROMISE(world.now_ns >= fds[fd].deadline_ns);
    world.deadline_calls++;
    fds[fd].has_deadline = false;
    if (world.is_random && below(2) == 0) {
        world_random_step();
    }
}

/* What a look at all descriptors takes here is the slack. */
static void on_timer(void *context, unsigned slot)
{
    PROMISE(context == &fds);
    PROMISE(slot < POLLSET_TIMERS && timers[slot].is_set);
    PROMISE(world.now_ns >= timers[slot].when_ns);
    PROMISE(world.now_ns < timers[slot].when_ns + 2 * CLOCK_MS + 200 * CLOCK_US);
    world.timer_calls++;
    timers[slot].is_set = false;
    timers[slot].changes++;
    if (world.is_random && below(2) == 0) {
        world_random_step();
    }
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline, on_timer};

void world_begin(int fds_in_all)
{
    fd_count = fds_in_all;
    memset(fds, 0, sizeof fds);
    memset(timers, 0, sizeof timers);
    wakeup_count = 0;
    is_overflown = false;
    last_served = 0;
    world = (struct world){.now_ns = 1000 * CLOCK_S, .can_arm = true, .can_queue = true};
    world.set = pollset_new(&callbacks, &fds);
    if (!pollset_use_signals(world.set)) {
        abort();
    }
}

void world_end(void)
{
    pollset_free(world.set);
    world.set = NULL;
}

void world_keep_going(void)
{
    if (!fds[0].is_member) {
        world_add(0, POLLIN);
    } else if (fds[0].wanted == 0) {
        world_want(0, POLLIN);
    }
}

void world_lose_wakeup(void)
{
    wakeup_count -= wakeup_count > 0;
}

bool world_is_waiting(int fd)
{
    return fds[fd].waiting_ns != 0;
}

bool world_has_deadline(int fd)
{
    return fds[fd].has_deadline;
}

bool world_has_timer(unsigned slot)
{
    return timers[slot].is_set;
}

/* ---- a round ---------------------------------------------------------------------------
 */

static void note_before(void)
{
    for (int fd = 0; fd < fd_count; fd++) {
        fds[fd].was_told = false;
        fds[fd].was_overdue = fds[fd].is_member && fds[fd].has_deadline &&
                              world.now_ns > fds[fd].deadline_ns + 2 * CLOCK_MS;
    }
    for (unsigned slot = 0; slot < POLLSET_TIMERS; slot++) {
        timers[slot].was_due =
            timers[slot].is_set && world.now_ns >= timers[slot].when_ns + CLOCK_MS;
        timers[slot].changes_before = timers[slot].changes;
    }
}

static void check_fd(int fd, bool is_blind)
{
    bool has_deadline = fds[fd].is_member && fds[fd].has_deadline;

    /* No lost readiness: there is a call in the round after the wakeup's. */
    if (fds[fd].waiting_ns != 0 && world.now_ns > fds[fd].waiting_ns && !is_blind) {
        fds[fd].waiting_rounds++;
    }
    PROMISE(fds[fd].waiting_rounds <= 3);
    PROMISE(!fds[fd].was_overdue || world.is_random || !has_deadline);
    PROMISE(!has_deadline || world.now_ns < fds[fd].deadline_ns + 50 * CLOCK_MS);
}

void world_round(void)
{
    bool is_blind = world.poll_errno != 0;

    note_before();
    PROMISE(pollset_wait(world.set));
    for (unsigned slot = 0; slot < POLLSET_TIMERS; slot++) {
        PROMISE(!timers[slot].was_due || is_blind ||
                timers[slot].changes != timers[slot].changes_before);
    }
    for (int fd = 0; fd < fd_count; fd++) {
        check_fd(fd, is_blind);
    }
}
