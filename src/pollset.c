#include "pollset.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "clock.h"
#include "deadlines.h"
#include "ensure.h"
#include "sigio.h"
#include "table.h"

/* Sets up to this size have one tier: looking at all costs less than arming and disarming.
 * (A build with a huge value here has plain poll(), for comparison.) */
#ifndef POLLSET_ONE_TIER_MAX
#define POLLSET_ONE_TIER_MAX 64
#endif

/* A hot descriptor without event in one whole epoch turns cold. */
#define EPOCH_NS (16 * CLOCK_MS)

/* How long to sleep when poll() cannot wait for us. */
#define PACE_MS 10

/* What the table of places says of a descriptor: its index in `polled` plus FIRST_PLACE, or
 * one of the others. Zero, so that fresh memory is right as it is, and stays untouched. */
enum {
    NOT_HERE = 0,
    PARKED = 1, /* in the set, but poll() does not look at it */
    FIRST_PLACE = 2,
};

/* How a descriptor stands with the hot tier. */
enum warmth {
    QUIET,  /* hot, no event in this epoch */
    LIVELY, /* hot, one in this epoch; or it is new */
    PINNED, /* always hot */
    ARMED,  /* cold: tells by itself */
};

/*  polled:   0                          hot                       count
 *            | looked at in every round | armed: not looked at    |
 */
struct pollset {
    struct pollfd *polled;
    size_t hot, count;
    uint32_t *places; /* by descriptor */
    uint8_t *warmth;  /* by descriptor: enum warmth */
    size_t capacity;  /* descriptors below this have room in every table */
    int bell;         /* readable when armed ones told; -1: there is one tier only */
    struct deadlines deadlines; /* in ms since start_ns, wrapping */
    uint64_t start_ns;
    uint64_t now_ns;   /* when this round's waiting ended */
    uint64_t epoch_ns; /* the present epoch's begin */
    struct pollset_counts counts;
    const struct pollset_callbacks *callbacks;
    void *context;
};

struct pollset *pollset_new(const struct pollset_callbacks *callbacks, void *context)
{
    struct pollset *set = calloc(1, sizeof *set);

    if (set != NULL) {
        set->bell = -1;
        set->callbacks = callbacks;
        set->context = context;
        set->start_ns = set->now_ns = set->epoch_ns = clock_now_ns();
    }
    return set;
}

void pollset_free(struct pollset *set)
{
    if (set != NULL) {
        if (set->bell != -1) {
            sigio_close();
        }
        deadlines_free(&set->deadlines);
        table_free(&set->warmth, set->capacity, sizeof *set->warmth);
        table_free(&set->places, set->capacity, sizeof *set->places);
        table_free(&set->polled, set->capacity, sizeof *set->polled);
        free(set);
    }
}

uint64_t pollset_now(const struct pollset *set)
{
    return set->now_ns;
}

/* Room for `fd` in every table. */
static bool reserve(struct pollset *set, int fd)
{
    size_t old = set->capacity, capacity = table_capacity((size_t)fd);

    if ((size_t)fd < old) {
        return true;
    }
    if (!table_grow(&set->polled, old, capacity, sizeof *set->polled) ||
        !table_grow(&set->places, old, capacity, sizeof *set->places) ||
        !table_grow(&set->warmth, old, capacity, sizeof *set->warmth) ||
        !deadlines_reserve(&set->deadlines, capacity)) {
        return false;
    }
    set->capacity = capacity;
    return true;
}

/* ---- the partition ---------------------------------------------------------------------
 */

static bool is_member(const struct pollset *set, int fd)
{
    return fd >= 0 && (size_t)fd < set->capacity && set->places[fd] != NOT_HERE;
}

static bool is_polled(const struct pollset *set, int fd)
{
    return set->places[fd] >= FIRST_PLACE;
}

static size_t place_of(const struct pollset *set, int fd)
{
    return set->places[fd] - FIRST_PLACE;
}

static bool is_cold(const struct pollset *set, int fd)
{
    return is_polled(set, fd) && place_of(set, fd) >= set->hot;
}

static void put(struct pollset *set, size_t place, struct pollfd entry)
{
    set->polled[place] = entry;
    set->places[entry.fd] = (uint32_t)place + FIRST_PLACE;
}

static void swap(struct pollset *set, size_t a, size_t b)
{
    struct pollfd entry = set->polled[a];

    put(set, a, set->polled[b]);
    put(set, b, entry);
}

/* A new entry is hot: the first cold one makes room by moving to the end. */
static void enter_polled(struct pollset *set, int fd, short events)
{
    if (set->hot < set->count) {
        put(set, set->count, set->polled[set->hot]);
    }
    put(set, set->hot, (struct pollfd){.fd = fd, .events = events});
    set->hot++;
    set->count++;
}

/* The gap is filled by the last hot entry, and that one's by the last of all. */
static void leave_polled(struct pollset *set, int fd)
{
    size_t gap = place_of(set, fd);

    if (gap < set->hot) {
        swap(set, gap, --set->hot);
        gap = set->hot;
    }
    swap(set, gap, --set->count);
    set->places[fd] = PARKED;
}

static void turn_hot(struct pollset *set, int fd)
{
    sigio_disarm(fd);
    set->warmth[fd] = LIVELY;
    swap(set, place_of(set, fd), set->hot++);
}

static void turn_cold(struct pollset *set, int fd)
{
    if (sigio_arm(fd)) {
        set->warmth[fd] = ARMED;
        set->counts.armed++;
        swap(set, place_of(set, fd), --set->hot);
    }
}

bool pollset_is_sound(const struct pollset *set)
{
    size_t polled = 0;

    for (size_t fd = 0; fd < set->capacity; fd++) {
        if (set->places[fd] < FIRST_PLACE) {
            continue;
        }
        size_t place = place_of(set, (int)fd);
        if (place >= set->count || set->polled[place].fd != (int)fd ||
            set->polled[place].events == 0 ||
            (set->warmth[fd] == ARMED) != (place >= set->hot)) {
            return false;
        }
        polled++;
    }
    return polled == set->count && set->hot <= set->count;
}

/* ---- members ---------------------------------------------------------------------------
 */

bool pollset_add(struct pollset *set, int fd, short events)
{
    ensure(fd >= 0 && !is_member(set, fd));
    if (!reserve(set, fd)) {
        return false;
    }
    set->places[fd] = PARKED;
    set->warmth[fd] = LIVELY;
    pollset_want(set, fd, events);
    return true;
}

void pollset_pin(struct pollset *set, int fd)
{
    ensure(is_member(set, fd));
    if (is_cold(set, fd)) {
        turn_hot(set, fd);
    }
    set->warmth[fd] = PINNED;
}

void pollset_want(struct pollset *set, int fd, short events)
{
    ensure(is_member(set, fd));
    if (is_cold(set, fd) && events != set->polled[place_of(set, fd)].events) {
        turn_hot(set, fd); /* what is wanted now may be there already */
    }
    if (!is_polled(set, fd)) {
        if (events != 0) {
            enter_polled(set, fd, events);
        }
    } else if (events == 0) {
        leave_polled(set, fd);
    } else {
        set->polled[place_of(set, fd)].events = events;
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
    if (is_polled(set, fd)) { /* an armed one is not disarmed: close() does that */
        leave_polled(set, fd);
    }
    deadlines_clear(&set->deadlines, fd);
    set->places[fd] = NOT_HERE;
}

struct pollset_counts pollset_counts(const struct pollset *set)
{
    struct pollset_counts counts = set->counts;

    counts.hot = set->hot;
    counts.cold = set->count - set->hot;
    return counts;
}

/* ---- waiting ---------------------------------------------------------------------------
 */

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

static void pace(int timeout_ms)
{
    poll(NULL, 0, timeout_ms >= 0 && timeout_ms < PACE_MS ? timeout_ms : PACE_MS);
}

/* poll() refuses more descriptors than RLIMIT_NOFILE (EINVAL), even if they are open
 * because the limit was lowered later (prlimit(2)): look at them piece by piece. */
static int poll_in_pieces(struct pollfd *pfds, size_t count, int timeout_ms)
{
    struct rlimit limit;
    int found = 0;

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    if (limit.rlim_cur == 0 || limit.rlim_cur >= count) {
        errno = EINVAL; /* not the reason, or no way out */
        return -1;
    }
    for (size_t first = 0; first < count; first += limit.rlim_cur) {
        size_t piece = count - first < limit.rlim_cur ? count - first : limit.rlim_cur;
        int n = poll(pfds + first, piece, 0);

        found += n > 0 ? n : 0;
    }
    if (found == 0) {
        pace(timeout_ms);
    }
    return found;
}

/* Look at the entries [first, end), waiting if nothing is ready. Failures that pass, or
 * that we can live with, count as nothing found. */
static int look(struct pollset *set, size_t first, size_t end, int timeout_ms)
{
    struct pollfd *pfds = set->polled + first;
    int found = poll(pfds, end - first, timeout_ms);

    if (found == -1 && errno == EINVAL) {
        found = poll_in_pieces(pfds, end - first, timeout_ms);
    }
    if (found == -1 && (errno == ENOMEM || errno == EAGAIN)) {
        pace(timeout_ms);
        found = 0;
    }
    if (found == -1 && errno == EINTR) {
        found = 0;
    }
    return found;
}

/* Look at the cold entries [first, end) once; those that have an event turn hot, and all if
 * that cannot be found out. Each swap puts a cold entry that was looked at where the hot
 * one was. */
static void look_at_cold(struct pollset *set, size_t first, size_t end)
{
    int found = poll(set->polled + first, end - first, 0);

    for (size_t i = first; i < end && found != 0; i++) {
        if (found == -1) {
            set->polled[i].revents = 0;
            turn_hot(set, set->polled[i].fd);
        } else if (set->polled[i].revents != 0) {
            found--;
            turn_hot(set, set->polled[i].fd);
        }
    }
}

/* Cold ones told: they turn hot, and the next round looks at them. */
static void hear_bell(struct pollset *set)
{
    int fd;

    while ((fd = sigio_take()) != SIGIO_NONE) {
        if (fd == SIGIO_OVERFLOW) {
            set->counts.lost++;
            look_at_cold(set, set->hot, set->count);
        } else if (is_member(set, fd) && is_cold(set, fd)) {
            set->counts.told++;
            turn_hot(set, fd);
        }
    }
}

/* Those that were quiet for an epoch turn cold. */
static void end_epoch(struct pollset *set)
{
    size_t hot_before = set->hot;

    set->epoch_ns = set->now_ns;
    if (set->bell == -1 || set->count <= POLLSET_ONE_TIER_MAX) {
        return;
    }
    for (size_t i = set->hot; i-- > 0;) {
        int fd = set->polled[i].fd;

        if (set->warmth[fd] == QUIET) {
            turn_cold(set, fd);
        } else if (set->warmth[fd] == LIVELY) {
            set->warmth[fd] = QUIET;
        }
    }
    /* What became ready before it was armed does not tell. */
    look_at_cold(set, set->hot, hot_before);
}

/* From the end to the start: entries move when callbacks add and remove, but those not yet
 * served only move downwards, and those served have revents 0. */
static void dispatch_events(struct pollset *set)
{
    for (size_t i = set->hot; i-- > 0;) {
        if (i >= set->hot) { /* a callback removed some */
            continue;
        }
        struct pollfd *entry = &set->polled[i];
        short revents = entry->revents;

        if (revents == 0) {
            continue;
        }
        entry->revents = 0;
        if (entry->fd == set->bell) {
            hear_bell(set);
            continue;
        }
        if (set->warmth[entry->fd] == QUIET) {
            set->warmth[entry->fd] = LIVELY;
        }
        /* A callback before may have changed what is wanted. */
        revents &= (short)(entry->events | POLLERR | POLLHUP | POLLNVAL);
        if (revents != 0) {
            set->callbacks->on_event(set->context, entry->fd, revents);
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
    int found = look(set, 0, set->hot, patience_ms(set));

    if (found == -1) {
        return false;
    }
    set->counts.rounds++;
    set->now_ns = clock_now_ns();
    if (found > 0) {
        dispatch_events(set);
    }
    dispatch_deadlines(set);
    if (set->now_ns - set->epoch_ns >= EPOCH_NS) {
        end_epoch(set);
    }
    return true;
}

bool pollset_use_signals(struct pollset *set)
{
    int bell = sigio_open();

    if (bell == -1) {
        return false;
    }
    if (!pollset_add(set, bell, POLLIN)) {
        sigio_close();
        errno = ENOMEM;
        return false;
    }
    pollset_pin(set, bell);
    set->bell = bell;
    return true;
}
