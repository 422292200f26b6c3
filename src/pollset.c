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

/* Sets up to this size have one tier: looking at all costs little more than deciding not
 * to. (A build with a huge value here has plain poll(), for comparison.) */
#ifndef POLLSET_ONE_TIER_MAX
#define POLLSET_ONE_TIER_MAX 64
#endif

/* Looking at cold descriptors may take one part of the time in so many. */
#define COLD_SHARE 16

/* At least so long between two slices: a system call for a few descriptors is a waste. */
#define SLICE_INTERVAL_NS (100 * CLOCK_US)

/* A hot descriptor without event in one whole epoch turns cold. */
#define EPOCH_NS (16 * CLOCK_MS)

/* What poll() takes per cold descriptor, until it was measured. */
#define COST_GUESS_NS 150

/* How long to sleep when poll() cannot wait for us. */
#define PACE_MS 10

#define NOT_HERE UINT32_MAX       /* the descriptor is not in the set */
#define PARKED   (UINT32_MAX - 1) /* it is, but poll() does not look at it */

/* How a descriptor stands with the hot tier. */
enum warmth {
    QUIET,  /* no event in this epoch */
    LIVELY, /* one, or it is new */
    PINNED, /* always hot */
};

/*  polled:   0                  hot                cursor                   count
 *            | looked at in     | cold, looked at  | cold, not yet looked   |
 *            | every round      | in this sweep    | at in this sweep       |
 */
struct pollset {
    struct pollfd *polled; /* what poll() looks at */
    size_t hot, cursor, count;
    uint32_t *places; /* by descriptor: its index in `polled`, PARKED or NOT_HERE */
    uint8_t *warmth;  /* by descriptor: enum warmth */
    size_t capacity;  /* descriptors below this have room in every table */
    struct deadlines deadlines; /* in ms since start_ns, wrapping */
    uint64_t start_ns;
    uint64_t now_ns;      /* when this round's waiting ended */
    uint64_t event_ns;    /* the last event */
    uint64_t epoch_ns;    /* the present epoch's begin */
    uint64_t slice_ns;    /* the last slice's end */
    uint64_t interval_ns; /* at least so long from there to the next */
    uint64_t cost_ps;     /* of looking at one cold descriptor; measured, in picoseconds */
    struct pollset_counts counts;
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
        set->event_ns = set->epoch_ns = set->slice_ns = set->start_ns;
        set->interval_ns = SLICE_INTERVAL_NS;
        set->cost_ps = COST_GUESS_NS * 1000;
    }
    return set;
}

void pollset_free(struct pollset *set)
{
    if (set != NULL) {
        deadlines_free(&set->deadlines);
        free(set->warmth);
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
    uint8_t *warmth = realloc(set->warmth, capacity * sizeof *warmth);
    if (warmth == NULL) {
        return false;
    }
    set->warmth = warmth;
    if (!deadlines_reserve(&set->deadlines, capacity)) {
        return false;
    }
    for (size_t i = set->capacity; i < capacity; i++) {
        places[i] = NOT_HERE;
    }
    set->capacity = capacity;
    return true;
}

/* ---- the partition ---------------------------------------------------------------------
 */

static void put(struct pollset *set, size_t place, struct pollfd entry)
{
    set->polled[place] = entry;
    set->places[entry.fd] = (uint32_t)place;
}

static void swap(struct pollset *set, size_t a, size_t b)
{
    struct pollfd entry = set->polled[a];

    put(set, a, set->polled[b]);
    put(set, b, entry);
}

/* A new entry goes to the hot end: the first entry of each part behind it makes room by
 * moving to its part's end. */
static void enter_polled(struct pollset *set, int fd, short events)
{
    if (set->cursor < set->count) {
        put(set, set->count, set->polled[set->cursor]);
    }
    if (set->hot < set->cursor) {
        put(set, set->cursor, set->polled[set->hot]);
    }
    put(set, set->hot, (struct pollfd){.fd = fd, .events = events});
    set->hot++;
    set->cursor++;
    set->count++;
    if (set->warmth[fd] != PINNED) {
        set->warmth[fd] = LIVELY;
    }
}

/* Fill the gap with the last entry of a part, which ends at `last`: that is the gap now. */
static size_t fill_gap(struct pollset *set, size_t gap, size_t last)
{
    if (gap != last) {
        put(set, gap, set->polled[last]);
    }
    return last;
}

/* The gap is filled by the last entry of its part, that one's by the last of the next. */
static void leave_polled(struct pollset *set, int fd)
{
    size_t gap = set->places[fd];

    if (gap < set->hot) {
        gap = fill_gap(set, gap, --set->hot);
    }
    if (gap < set->cursor) {
        gap = fill_gap(set, gap, --set->cursor);
    }
    fill_gap(set, gap, --set->count);
    set->places[fd] = PARKED;
}

/* A cold entry had an event. The one that makes room for it was looked at, if `place` was.
 */
static void turn_hot(struct pollset *set, size_t place)
{
    if (place >= set->cursor) {
        swap(set, place, set->cursor);
        place = set->cursor++;
    }
    swap(set, place, set->hot++);
}

/* A hot entry was quiet: it counts as looked at. */
static void turn_cold(struct pollset *set, size_t place)
{
    swap(set, place, --set->hot);
}

static void all_hot(struct pollset *set)
{
    set->hot = set->cursor = set->count;
}

/* At an epoch's end those that were quiet leave the hot tier; a small set has only that. */
static void end_epoch(struct pollset *set)
{
    set->epoch_ns = set->now_ns;
    if (set->count <= POLLSET_ONE_TIER_MAX) {
        all_hot(set);
        return;
    }
    for (size_t i = set->hot; i-- > 0;) {
        uint8_t *warmth = &set->warmth[set->polled[i].fd];

        if (*warmth == QUIET) {
            turn_cold(set, i);
        } else if (*warmth == LIVELY) {
            *warmth = QUIET;
        }
    }
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
    set->warmth[fd] = PINNED;
    if (set->places[fd] != PARKED && set->places[fd] >= set->hot) {
        turn_hot(set, set->places[fd]);
    }
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

struct pollset_counts pollset_counts(const struct pollset *set)
{
    struct pollset_counts counts = set->counts;

    counts.hot = set->hot;
    counts.cold = set->count - set->hot;
    return counts;
}

bool pollset_is_sound(const struct pollset *set)
{
    size_t polled = 0;

    for (size_t fd = 0; fd < set->capacity; fd++) {
        uint32_t place = set->places[fd];

        if (place == NOT_HERE || place == PARKED) {
            continue;
        }
        if (place >= set->count || set->polled[place].fd != (int)fd ||
            set->polled[place].events == 0 ||
            (set->warmth[fd] == PINNED && place >= set->hot)) {
            return false;
        }
        polled++;
    }
    return polled == set->count && set->hot <= set->cursor && set->cursor <= set->count;
}

/* ---- waiting ---------------------------------------------------------------------------
 */

#define FOR_EVER UINT64_MAX

/* Nanoseconds from `now` to the next deadline, or FOR_EVER. */
static uint64_t patience(const struct pollset *set, uint64_t now)
{
    uint32_t next;

    if (!deadlines_next(&set->deadlines, &next)) {
        return FOR_EVER;
    }
    uint64_t elapsed = now - set->start_ns;
    int32_t left_ms = (int32_t)(next - (uint32_t)(elapsed / CLOCK_MS));
    return left_ms > 0 ? (uint64_t)left_ms * CLOCK_MS - elapsed % CLOCK_MS : 0;
}

/* poll() with a finer timeout. */
static int poll_for(struct pollfd *pfds, size_t count, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / CLOCK_S),
                               .tv_nsec = (long)(timeout_ns % CLOCK_S)};

    if (timeout_ns == 0 || timeout_ns == FOR_EVER) {
        return poll(pfds, count, timeout_ns == 0 ? 0 : -1);
    }
    return ppoll(pfds, count, &timeout, NULL);
}

static void pace(uint64_t timeout_ns)
{
    poll_for(NULL, 0, timeout_ns < PACE_MS * CLOCK_MS ? timeout_ns : PACE_MS * CLOCK_MS);
}

/* poll() refuses more descriptors than RLIMIT_NOFILE (EINVAL), even if they are open
 * because the limit was lowered later (prlimit(2)): look at them piece by piece. */
static int poll_in_pieces(struct pollfd *pfds, size_t count, uint64_t timeout_ns)
{
    struct rlimit limit;
    int found = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
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
        pace(timeout_ns);
    }
    return found;
}

/* Look at the entries [first, first + count), waiting if nothing is ready. Failures that
 * pass, or that we can live with, count as nothing found. */
static int look(struct pollset *set, size_t first, size_t count, uint64_t timeout_ns)
{
    struct pollfd *pfds = set->polled + first;
    int found = poll_for(pfds, count, timeout_ns);

    if (found == -1 && errno == EINVAL) {
        found = poll_in_pieces(pfds, count, timeout_ns);
    }
    if (found == -1 && (errno == ENOMEM || errno == EAGAIN)) {
        pace(timeout_ns);
        found = 0;
    }
    if (found == -1 && errno == EINTR) {
        found = 0;
    }
    return found;
}

/* Those of the cold entries [first, end) that have an event turn hot. */
static void warm_up(struct pollset *set, size_t first, size_t end, int found)
{
    for (size_t i = first; i < end && found > 0; i++) {
        if (set->polled[i].revents != 0) {
            found--;
            turn_hot(set, i);
        }
    }
}

/* How many cold entries may be looked at now that `elapsed_ns` passed since the last time.
 */
static size_t slice_length(const struct pollset *set, uint64_t elapsed_ns)
{
    uint64_t length = elapsed_ns * 1000 / (COLD_SHARE * set->cost_ps);
    size_t left = set->count - set->cursor;

    if (length < 8) {
        length = 8;
    }
    return length < left ? (size_t)length : left;
}

/* Look at the next slice of the cold entries. */
static int look_at_slice(struct pollset *set, uint64_t now)
{
    if (set->cursor == set->count) {
        set->cursor = set->hot;
        set->counts.sweeps++;
    }
    size_t first = set->cursor;
    size_t length = slice_length(set, now - set->slice_ns);
    int found = look(set, first, length, 0);

    if (found == -1) {
        return -1;
    }
    set->cursor += length;
    set->counts.slices++;
    set->slice_ns = clock_now_ns();
    uint64_t cost_ps = (set->slice_ns - now) * 1000 / length + 1;
    set->cost_ps += (cost_ps >> 3) - (set->cost_ps >> 3);
    warm_up(set, first, first + length, found);
    return found;
}

/* Sleep over everything. */
static int look_at_all(struct pollset *set, uint64_t timeout_ns)
{
    int found = look(set, 0, set->count, timeout_ns);

    set->counts.sleeps++;
    if (found > 0) {
        warm_up(set, set->hot, set->count, found);
    }
    set->slice_ns = clock_now_ns();
    set->interval_ns = SLICE_INTERVAL_NS;
    return found;
}

/* Look at the hot entries, until a slice of the cold ones is due; then at that. While
 * nothing happens slices come less often, and so are longer. */
static int look_at_tiers(struct pollset *set, uint64_t now, uint64_t timeout_ns)
{
    uint64_t due_ns = set->slice_ns + set->interval_ns;
    uint64_t until_due_ns = due_ns > now ? due_ns - now : 0;
    int found =
        look(set, 0, set->hot, until_due_ns < timeout_ns ? until_due_ns : timeout_ns);

    set->interval_ns = found > 0 ? SLICE_INTERVAL_NS : set->interval_ns;
    now = clock_now_ns();
    if (found == -1 || now < due_ns) {
        return found;
    }
    int more = look_at_slice(set, now);
    set->interval_ns = found > 0 || more > 0 ? SLICE_INTERVAL_NS : 2 * set->interval_ns;
    return more == -1 ? -1 : found + more;
}

/* Has it been quiet for so long that looking at everything costs little in comparison? */
static bool is_quiet(const struct pollset *set, uint64_t now)
{
    uint64_t full_cost_ns = (set->count - set->hot) * set->cost_ps / 1000;

    return now - set->event_ns >= COLD_SHARE * full_cost_ns;
}

static int wait_for_events(struct pollset *set)
{
    if (set->hot == set->count && set->deadlines.count == 0) {
        return look(set, 0, set->count, FOR_EVER);
    }
    uint64_t now = clock_now_ns();
    uint64_t timeout_ns = patience(set, now);

    if (set->hot == set->count) {
        return look(set, 0, set->count, timeout_ns);
    }
    return is_quiet(set, now) ? look_at_all(set, timeout_ns)
                              : look_at_tiers(set, now, timeout_ns);
}

/* Every entry with an event is in the hot part by now. From its end to its start: entries
 * move when callbacks add and remove, but those not yet served only move downwards, and
 * those served have revents 0. */
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
        if (set->warmth[entry->fd] != PINNED) {
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
    int found = wait_for_events(set);

    if (found == -1) {
        return false;
    }
    set->counts.rounds++;
    set->now_ns = clock_now_ns();
    if (found > 0) {
        set->event_ns = set->now_ns;
        dispatch_events(set);
    }
    dispatch_deadlines(set);
    if (set->now_ns - set->epoch_ns >= EPOCH_NS) {
        end_epoch(set);
    }
    return true;
}
