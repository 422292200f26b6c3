#include "pollset.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "ensure.h"
#include "clock.h"
#include "deadlines.h"

#define NOT_HERE UINT32_MAX       /* the descriptor is not in the set */
#define PARKED   (UINT32_MAX - 1) /* it is, but poll() does not look at it */

/* How long to sleep when poll() cannot wait for us. */
#define PACE_MS 10

struct pollset {
    struct pollfd *polled; /* [0, count): what poll() looks at, in no order */
    size_t count;
    uint32_t *places; /* by descriptor: its index in `polled`, PARKED or NOT_HERE */
    size_t capacity;  /* descriptors below this have room in every table */
    struct deadlines deadlines; /* in ms since start_ns, wrapping */
    uint64_t start_ns;
    uint64_t now_ns;
    const struct pollset_callbacks *callbacks;
    void *context;
};

struct pollset *pollset_new(const struct pollset_callbacks *callbacks, void *context)
{
    struct pollset *set = calloc(1, sizeof *set);

    if (set != NULL) {
        set->callbacks = callbacks;
        set->context = context;
        set->start_ns = set->now_ns = clock_now_ns();
    }
    return set;
}

void pollset_free(struct pollset *set)
{
    if (set != NULL) {
        deadlines_free(&set->deadlines);
        free(set->places);
        free(set->polled);
        free(set);
    }
}

uint64_t pollset_now(const struct pollset *set)
{
    return set->now_ns;
}

static bool is_member(const struct pollset *set, int fd)
{
    return fd >= 0 && (size_t)fd < set->capacity && set->places[fd] != NOT_HERE;
}

/* Room for `fd` in every table. Pages that are never touched cost nothing, so growing by
 * half is cheap. */
static bool reserve(struct pollset *set, int fd)
{
    size_t need = (size_t)fd + 1;

    if (need <= set->capacity) {
        return true;
    }
    size_t capacity = need + need / 2 + 16;
    struct pollfd *polled = realloc(set->polled, capacity * sizeof *polled);
    if (polled == NULL) {
        return false;
    }
    set->polled = polled;
    uint32_t *places = realloc(set->places, capacity * sizeof *places);
    if (places == NULL) {
        return false;
    }
    set->places = places;
    if (!deadlines_reserve(&set->deadlines, capacity)) {
        return false;
    }
    for (size_t i = set->capacity; i < capacity; i++) {
        places[i] = NOT_HERE;
    }
    set->capacity = capacity;
    return true;
}

static void enter_polled(struct pollset *set, int fd, short events)
{
    set->polled[set->count] = (struct pollfd){.fd = fd, .events = events};
    set->places[fd] = (uint32_t)set->count++;
}

/* The last one takes the free place. While a round is dispatched from the end to the start,
 * the last one was already served, and its revents are 0: nobody is served twice or missed.
 */
static void leave_polled(struct pollset *set, int fd)
{
    uint32_t place = set->places[fd];

    set->polled[place] = set->polled[--set->count];
    set->places[set->polled[place].fd] = place;
    set->places[fd] = PARKED;
}

bool pollset_add(struct pollset *set, int fd, short events)
{
    ensure(fd >= 0 && !is_member(set, fd));
    if (!reserve(set, fd)) {
        return false;
    }
    set->places[fd] = PARKED;
    pollset_want(set, fd, events);
    return true;
}

void pollset_want(struct pollset *set, int fd, short events)
{
    ensure(is_member(set, fd));
    bool is_parked = set->places[fd] == PARKED;

    if (events == 0 && !is_parked) {
        leave_polled(set, fd);
    } else if (events != 0 && is_parked) {
        enter_polled(set, fd, events);
    } else if (events != 0) {
        set->polled[set->places[fd]].events = events;
    }
}

/* Rounded up, so that no deadline comes early. */
static uint32_t tick_of(const struct pollset *set, uint64_t ns)
{
    return (uint32_t)((ns - set->start_ns + CLOCK_MS - 1) / CLOCK_MS);
}

void pollset_deadline(struct pollset *set, int fd, uint64_t when_ns)
{
    ensure(is_member(set, fd));
    deadlines_set(&set->deadlines, fd, tick_of(set, when_ns));
}

void pollset_no_deadline(struct pollset *set, int fd)
{
    ensure(is_member(set, fd));
    deadlines_clear(&set->deadlines, fd);
}

void pollset_remove(struct pollset *set, int fd)
{
    ensure(is_member(set, fd));
    if (set->places[fd] != PARKED) {
        leave_polled(set, fd);
    }
    deadlines_clear(&set->deadlines, fd);
    set->places[fd] = NOT_HERE;
}

/* Milliseconds that poll() may sleep: to the next deadline, or for ever (-1). */
static int patience_ms(const struct pollset *set)
{
    uint32_t next;

    if (!deadlines_next(&set->deadlines, &next)) {
        return -1;
    }
    uint64_t elapsed_ms = (clock_now_ns() - set->start_ns) / CLOCK_MS;
    int32_t left_ms = (int32_t)(next - (uint32_t)elapsed_ms);
    return left_ms > 0 ? left_ms : 0;
}

/* poll() refuses more descriptors than RLIMIT_NOFILE (EINVAL), even if they are open
 * because the limit was lowered later (prlimit(2)): look at them piece by piece. */
static int poll_in_pieces(struct pollset *set, int timeout_ms)
{
    struct rlimit limit;
    int found = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur == 0 || limit.rlim_cur >= set->count) {
        errno = EINVAL; /* not the reason, or no way out */
        return -1;
    }
    for (size_t first = 0; first < set->count; first += limit.rlim_cur) {
        size_t piece = set->count - first;

        if (piece > limit.rlim_cur) {
            piece = limit.rlim_cur;
        }
        int n = poll(set->polled + first, piece, 0);
        found += n > 0 ? n : 0;
    }
    if (found == 0 && timeout_ms != 0) {
        poll(NULL, 0, timeout_ms > 0 && timeout_ms < PACE_MS ? timeout_ms : PACE_MS);
    }
    return found;
}

/* poll(2) with the failures that pass, or that we can live with, turned into 0. */
static int poll_once(struct pollset *set)
{
    int timeout_ms = patience_ms(set);
    int found = poll(set->polled, set->count, timeout_ms);

    if (found == -1 && errno == EINVAL) {
        found = poll_in_pieces(set, timeout_ms);
    }
    if (found == -1 && (errno == ENOMEM || errno == EAGAIN)) {
        poll(NULL, 0, PACE_MS);
        found = 0;
    }
    if (found == -1 && errno == EINTR) {
        found = 0;
    }
    return found;
}

static void dispatch_events(struct pollset *set, int found)
{
    for (size_t i = set->count; i-- > 0 && found > 0;) {
        if (i >= set->count) { /* a handler removed some: the rest moved down */
            continue;
        }
        short revents = set->polled[i].revents;

        if (revents == 0) {
            continue;
        }
        found--;
        set->polled[i].revents = 0;
        /* A callback before may have changed what is wanted. */
        revents &= (short)(set->polled[i].events | POLLERR | POLLHUP | POLLNVAL);
        if (revents != 0) {
            set->callbacks->on_event(set->context, set->polled[i].fd, revents);
        }
    }
}

static void dispatch_deadlines(struct pollset *set)
{
    uint32_t now = (uint32_t)((set->now_ns - set->start_ns) / CLOCK_MS);
    /* A callback may set a deadline that has passed already: that one is for the next
     * round. */
    for (size_t most = set->deadlines.count; most > 0; most--) {
        int fd = deadlines_take(&set->deadlines, now);

        if (fd == -1) {
            break;
        }
        set->callbacks->on_deadline(set->context, fd);
    }
}

bool pollset_wait(struct pollset *set)
{
    int found = poll_once(set);

    if (found == -1) {
        return false;
    }
    set->now_ns = clock_now_ns();
    dispatch_events(set, found);
    dispatch_deadlines(set);
    return true;
}
