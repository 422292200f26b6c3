/* A world for the poll set that a test makes up: poll(2), the clock and the signals of
 * sigio.h are ours (--wrap), and a naive reference knows at any time what must happen.
 *
 * Whoever includes this has defined before: FDS, so that descriptors 0 to FDS - 1 may be in
 * the set; PROMISE(condition), which tells when it is broken; and below(n), the next
 * choice, 0 to n - 1. Descriptor 0 must be wanted for something when a round begins: it
 * ends a wait that nothing else would end. */
#ifndef ECHOLAB_POLLSET_WORLD_H
#define ECHOLAB_POLLSET_WORLD_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "pollset.h"
#include "sigio.h"

#define BELL FDS /* the pipe of sigio.h */

/* What the world is like, and what the reference expects. */
static struct {
    bool is_member;
    short wanted; /* as told to the set */
    short ready;  /* what poll() would find */
    bool has_deadline;
    uint64_t deadline_ns;
    uint64_t waiting_ns; /* since when it is ready for something wanted; 0: it is not */
    int waiting_rounds;  /* and for how many rounds */
    bool is_armed;       /* tells when something becomes ready */
} fds[FDS + 1];

/* What armed ones told, and whether something was lost. */
static int told[4 * FDS];
static size_t told_count;
static bool is_lost;
static long armed_polled; /* times that an armed one was looked at */
static bool can_arm;

static uint64_t now_ns = 1000 * CLOCK_S;
static struct pollset *set;
static bool is_random;  /* callbacks do random things */
static bool is_resting; /* nothing becomes ready by itself */
static int poll_errno;  /* the next poll() fails with it */
static long event_calls, deadline_calls, poll_calls;
static size_t polled_fds; /* looked at, in all */

static short found(int fd)
{
    if (fd == BELL) {
        return told_count > 0 || is_lost ? POLLIN : 0;
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
        fds[fd].waiting_ns = now_ns;
    }
}

/* Something becomes ready; the kernel tells of it, or loses that. */
static void become_ready(int fd, short events)
{
    fds[fd].ready |= events;
    note(fd);
    if (fds[fd].is_armed) {
        if (told_count == sizeof told / sizeof told[0] || below(200) == 0) {
            is_lost = true;
        } else {
            told[told_count++] = fd;
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
int __wrap_sigio_take(void);
void __wrap_sigio_close(void);

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    (void)clock;
    time->tv_sec = (time_t)(now_ns / CLOCK_S);
    time->tv_nsec = (long)(now_ns % CLOCK_S);
    return 0;
}

int __wrap_sigio_open(void)
{
    return BELL;
}

bool __wrap_sigio_arm(int fd)
{
    PROMISE(fds[fd].is_member && !fds[fd].is_armed);
    if (!can_arm || below(20) == 0) {
        return false;
    }
    if (is_random && below(4) == 0) { /* just before: that does not tell */
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

int __wrap_sigio_take(void)
{
    if (is_lost) {
        is_lost = false;
        return SIGIO_OVERFLOW;
    }
    return told_count > 0 ? told[--told_count] : SIGIO_NONE;
}

void __wrap_sigio_close(void)
{
}

static int look(struct pollfd *pfds, nfds_t count)
{
    int n = 0;

    for (nfds_t i = 0; i < count; i++) {
        int fd = pfds[i].fd;

        PROMISE(fd >= 0 && fd <= FDS && (fd == BELL || fds[fd].is_member));
        PROMISE(fd == BELL || (pfds[i].events == fds[fd].wanted && pfds[i].events != 0));
        pfds[i].revents = found(fd);
        n += pfds[i].revents != 0;
        armed_polled += fds[fd].is_armed;
    }
    polled_fds += count;
    now_ns += 1000 + 60 * count;
    return n;
}

int __wrap_poll(struct pollfd *pfds, nfds_t count, int timeout_ms)
{
    poll_calls++;
    if (poll_errno != 0) {
        errno = poll_errno;
        poll_errno = 0;
        return -1;
    }
    int n = look(pfds, count);
    if (n == 0 && timeout_ms != 0) {
        /* Somewhere in the wait some member may become ready. */
        int fd = (int)below(FDS);

        if (timeout_ms < 0) {
            while (!fds[fd].is_member || fds[fd].wanted == 0) {
                fd = (fd + 1) % FDS;
            }
        }
        if (!is_resting && fds[fd].is_member && (timeout_ms < 0 || below(2) == 0)) {
            now_ns += timeout_ms < 0 ? CLOCK_MS : (uint64_t)timeout_ms * CLOCK_MS / 2;
            become_ready(fd, fds[fd].wanted);
            n = look(pfds, count);
            if (n == 0 && timeout_ms < 0) { /* deaf and parked ones aside, that wakes us */
                PROMISE(fds[fd].is_armed);
            }
        } else if (timeout_ms > 0) {
            now_ns += (uint64_t)timeout_ms * CLOCK_MS;
        }
    }
    return n;
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
    fds[fd].is_armed = false; /* as close() does */
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
    PROMISE(!fds[fd].is_armed);
    event_calls++;
    fds[fd].ready &= (short)~revents;
    fds[fd].waiting_ns = 0;
    fds[fd].waiting_rounds = 0;
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
    told_count = 0;
    is_lost = false;
    set = pollset_new(&callbacks, &fds);
    if (!pollset_use_signals(set)) {
        abort();
    }
    can_arm = true;
    event_calls = deadline_calls = poll_calls = 0;
    is_random = false;
}

/* A round, and what must be true after it. */
static void round_of(void)
{
    bool is_overdue[FDS], is_blind = poll_errno != 0;

    for (int fd = 0; fd < FDS; fd++) {
        is_overdue[fd] = fds[fd].is_member && fds[fd].has_deadline &&
                         now_ns > fds[fd].deadline_ns + 2 * CLOCK_MS;
    }
    PROMISE(pollset_wait(set));
    for (int fd = 0; fd < FDS; fd++) {
        /* No lost readiness: it is heard in the round after the one that heard the bell. */
        if (fds[fd].waiting_ns != 0 && now_ns > fds[fd].waiting_ns && !is_blind) {
            fds[fd].waiting_rounds++;
        }
        PROMISE(fds[fd].waiting_rounds <= 3);
        PROMISE(!is_overdue[fd] || is_random || !fds[fd].is_member ||
                !fds[fd].has_deadline);
        PROMISE(!fds[fd].is_member || !fds[fd].has_deadline ||
                now_ns < fds[fd].deadline_ns + 50 * CLOCK_MS);
    }
}

#endif
