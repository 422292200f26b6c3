#include "io/pollset.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/table.h"
#include "io/deadlines.h"
#include "io/sigio.h"

/* A build with 1 has plain poll(), for comparison. */
#ifndef POLLSET_ONE_TIER
#define POLLSET_ONE_TIER 0
#endif

/* A hot descriptor without an event in one whole epoch turns cold. */
#define EPOCH_MS 16

/* An armed descriptor that is served more often than this in an epoch turns hot: to be
 * looked at in every round is cheaper then than so many signals. */
#define REPORTS_MAX 3

/* In `revents`, beside those of poll(2): not known to be unready, so the next round looks
 * again. Between two rounds every armed descriptor that is hot has it, or an event: so a
 * poll() that fails turns none cold. */
#define LOOK_AGAIN 0x4000

/* The sleep of a round in which poll() cannot wait itself, so that the loop does not
 * spin. */
#define PACE_MS 10

/* An entry of the table of places: the descriptor's index in `polled` plus FIRST_PLACE, or
 * one of the other values. NOT_HERE is 0, so that zeroed memory is valid and stays
 * untouched. */
enum {
    NOT_HERE = 0,
    PARKED = 1, /* in the set, but not in `polled` */
    FIRST_PLACE = 2,
};

/* A descriptor's activity: one of these, or ARMED with a count. */
enum activity {
    IDLE,         /* hot, no event in this epoch */
    ACTIVE,       /* hot, an event in this epoch, or new in the set */
    PINNED,       /* always hot */
    ARMED = 0x80, /* the kernel notifies when it becomes ready */
    /* and, if armed: */
    REPORTS = 0x03, /* how often it was served in the epoch with these low bits */
    EPOCH = 0x7c,
    ONE_EPOCH = 0x04,
};
_Static_assert(REPORTS_MAX <= REPORTS, "the count has room");

_Static_assert(sizeof(struct pollfd) + sizeof(uint32_t) + sizeof(uint8_t) <= 13,
               "a part of the 49 bytes of an idle connection");

/*  polled:   0                               hot                    count
 *            | hot: polled in every round    | cold: not polled,    |
 *            |                               | each one armed       |
 *
 * A cold descriptor that notifies is served in the same round and stays armed. It is hot
 * for the next look of poll(), which tells whether its callback left anything, and cold
 * again when that finds nothing: no system call is needed for that. While nothing is hot
 * the thread sleeps in sigio_wait(). */
struct pollset {
    struct pollfd *polled;
    size_t hot, count;
    uint32_t *places;  /* by descriptor */
    uint8_t *activity; /* by descriptor: enum activity */
    size_t capacity;   /* descriptors below this have room in every table */
    size_t armed;      /* all cold ones, and those hot ones that stay armed */
    size_t pinned;     /* always hot */
    int sigio_fd;      /* readable when an armed descriptor notified; -1: one tier only */
    uint8_t epoch;     /* counts epochs, in the bits of EPOCH */
    struct deadlines deadlines; /* in ms since start_ns, wrapping: first those of the
                                   timers, by slot, then those of the descriptors */
    uint64_t start_ns;
    uint64_t now_ns;   /* when this round's waiting ended */
    uint64_t epoch_ns; /* when the present epoch began */
    struct pollset_counts counts;
    const struct pollset_callbacks *callbacks;
    void *context;
};

struct pollset *pollset_new(const struct pollset_callbacks *callbacks, void *context)
{
    struct pollset *set = calloc(1, sizeof *set);

    if (set == NULL || !deadlines_reserve(&set->deadlines, POLLSET_TIMERS)) {
        free(set);
        return NULL;
    }
    set->sigio_fd = -1;
    set->callbacks = callbacks;
    set->context = context;
    set->start_ns = set->now_ns = set->epoch_ns = clock_now_ns();
    return set;
}

void pollset_free(struct pollset *set)
{
    if (set != NULL) {
        if (set->sigio_fd != -1) {
            sigio_close(set->sigio_fd);
        }
        deadlines_free(&set->deadlines);
        table_free(&set->activity, set->capacity, sizeof *set->activity);
        table_free(&set->places, set->capacity, sizeof *set->places);
        table_free(&set->polled, set->capacity, sizeof *set->polled);
        free(set);
    }
}

uint64_t pollset_now(const struct pollset *set)
{
    return set->now_ns;
}

/* Make room for `fd` in every table. */
static bool reserve(struct pollset *set, int fd)
{
    size_t old = set->capacity, capacity = table_capacity((size_t)fd);

    if ((size_t)fd < old) {
        return true;
    }
    const struct table_part parts[] = {{&set->polled, sizeof *set->polled},
                                       {&set->places, sizeof *set->places},
                                       {&set->activity, sizeof *set->activity}};
    if (!deadlines_reserve(&set->deadlines, POLLSET_TIMERS + capacity) ||
        !table_grow_all(parts, 3, old, capacity)) {
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

/* A new entry is hot: the first cold entry makes room by moving to the end. */
static void enter_polled(struct pollset *set, int fd, short events)
{
    if (set->hot < set->count) {
        put(set, set->count, set->polled[set->hot]);
    }
    put(set, set->hot, (struct pollfd){.fd = fd, .events = events});
    set->hot++;
    set->count++;
}

/* The last hot entry fills the gap, and the last entry of all fills the place of that
 * one. */
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

static bool is_armed(const struct pollset *set, int fd)
{
    return (set->activity[fd] & ARMED) != 0;
}

static void enter_hot(struct pollset *set, int fd, short revents)
{
    set->polled[place_of(set, fd)].revents = revents;
    swap(set, place_of(set, fd), set->hot++);
}

static void enter_cold(struct pollset *set, int fd)
{
    swap(set, place_of(set, fd), --set->hot);
}

static void arm(struct pollset *set, int fd)
{
    if (sigio_arm(fd)) {
        set->activity[fd] = ARMED;
        set->armed++;
        set->counts.armed++;
        enter_cold(set, fd);
    } else {
        pollset_pin(set, fd);
    }
}

static void disarm(struct pollset *set, int fd)
{
    sigio_disarm(fd);
    set->activity[fd] = ACTIVE;
    set->armed--;
    if (is_cold(set, fd)) {
        enter_hot(set, fd, 0);
    }
}

bool pollset_is_sound(const struct pollset *set)
{
    size_t polled = 0, armed = 0, pinned = 0;

    for (size_t fd = 0; fd < set->capacity; fd++) {
        if (set->places[fd] == NOT_HERE) {
            continue;
        }
        armed += is_armed(set, (int)fd);
        pinned += set->activity[fd] == PINNED;
        if (set->places[fd] == PARKED) {
            continue;
        }
        size_t place = place_of(set, (int)fd);
        if (place >= set->count || set->polled[place].fd != (int)fd ||
            set->polled[place].events == 0 ||
            (place >= set->hot && !is_armed(set, (int)fd))) {
            return false;
        }
        polled++;
    }
    return polled == set->count && set->hot <= set->count && armed == set->armed &&
           pinned == set->pinned;
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
    set->activity[fd] = ACTIVE;
    pollset_want(set, fd, events);
    return true;
}

void pollset_pin(struct pollset *set, int fd)
{
    ensure(is_member(set, fd));
    if (is_armed(set, fd)) {
        disarm(set, fd);
    }
    set->pinned += set->activity[fd] != PINNED;
    set->activity[fd] = PINNED;
}

void pollset_want(struct pollset *set, int fd, short events)
{
    ensure(is_member(set, fd));
    if (is_armed(set, fd) && events != set->polled[place_of(set, fd)].events) {
        disarm(set, fd); /* the events wanted now may have occurred already */
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

/* Rounded up, so that no deadline passes early. */
static uint32_t tick_of(const struct pollset *set, uint64_t ns)
{
    return (uint32_t)((ns - set->start_ns + CLOCK_MS - 1) / CLOCK_MS);
}

void pollset_deadline(struct pollset *set, int fd, uint64_t when_ns)
{
    ensure(is_member(set, fd));
    deadlines_set(&set->deadlines, POLLSET_TIMERS + fd, tick_of(set, when_ns));
}

void pollset_no_deadline(struct pollset *set, int fd)
{
    ensure(is_member(set, fd));
    deadlines_clear(&set->deadlines, POLLSET_TIMERS + fd);
}

void pollset_remove(struct pollset *set, int fd)
{
    ensure(is_member(set, fd));
    if (is_polled(set, fd)) {
        leave_polled(set, fd);
    }
    set->armed -= is_armed(set, fd); /* it is not disarmed: close() does that */
    set->pinned -= set->activity[fd] == PINNED;
    deadlines_clear(&set->deadlines, POLLSET_TIMERS + fd);
    set->places[fd] = NOT_HERE;
}

void pollset_timer(struct pollset *set, unsigned slot, uint64_t when_ns)
{
    ensure(slot < POLLSET_TIMERS);
    deadlines_set(&set->deadlines, (int)slot, tick_of(set, when_ns));
}

void pollset_no_timer(struct pollset *set, unsigned slot)
{
    ensure(slot < POLLSET_TIMERS);
    deadlines_clear(&set->deadlines, (int)slot);
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

/* How long poll() may sleep, in ms: until the next deadline or timer; -1: for ever. */
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
 * because the limit was lowered later (prlimit(2)). So poll them piece by piece. */
static int poll_in_pieces(struct pollfd *pfds, size_t count)
{
    struct rlimit limit;
    int found = 0;

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    if (limit.rlim_cur == 0 || limit.rlim_cur >= count) {
        errno = EINVAL; /* the limit is not the reason, or is 0 */
        return -1;
    }
    for (size_t first = 0; first < count; first += limit.rlim_cur) {
        size_t piece = count - first < limit.rlim_cur ? count - first : limit.rlim_cur;
        int n = poll(pfds + first, piece, 0);

        if (n == -1) {
            return -1;
        }
        found += n;
    }
    return found;
}

/* Hot descriptors that are waiting to turn cold: neither pinned nor armed. */
static size_t awake(const struct pollset *set)
{
    size_t hot_and_armed = set->armed - (set->count - set->hot);

    return set->hot - hot_and_armed - set->pinned;
}

/* How long this round's poll() may sleep, in ms; -1: for ever. Where all of interest is
 * armed it is a look only, and the next round sleeps in sigio_wait(). */
static int poll_timeout_ms(const struct pollset *set)
{
    int timeout_ms = patience_ms(set);

    if (set->sigio_fd == -1) {
        return timeout_ms;
    }
    if (awake(set) == 0) {
        return set->pinned == 1 ? 0 : timeout_ms;
    }
    return timeout_ms < 0 || timeout_ms > EPOCH_MS ? EPOCH_MS : timeout_ms;
}

/* Poll the hot descriptors, and wait if none is ready. Returns -1 with errno set if it
 * could not look at all of them. */
static int look_at_hot(struct pollset *set)
{
    int timeout_ms = poll_timeout_ms(set);
    int found = poll(set->polled, set->hot, timeout_ms);
    bool must_pace = found == -1 && errno != EINTR;

    if (found == -1 && errno == EINVAL) {
        found = poll_in_pieces(set->polled, set->hot);
    }
    if (must_pace && found <= 0) {
        int saved = errno;

        pace(patience_ms(set)); /* also where this was a look only: it comes again */
        errno = saved;
    }
    return found;
}

/* Poll the cold entries [first, end) once. Those with an event turn hot; if poll() fails,
 * all do, for the next round to look at. Each swap moves a cold entry that was checked
 * already to the place of the one that turns hot. */
static void look_at_cold(struct pollset *set, size_t first, size_t end)
{
    int found = poll(set->polled + first, end - first, 0);

    for (size_t i = first; i < end && found != 0; i++) {
        if (found == -1) {
            enter_hot(set, set->polled[i].fd, LOOK_AGAIN);
        } else if (set->polled[i].revents != 0) {
            found--;
            enter_hot(set, set->polled[i].fd, set->polled[i].revents);
        }
    }
}

/* Notifications were lost: look at all armed descriptors, the hot ones in the next
 * round. */
static void handle_overflow(struct pollset *set)
{
    set->counts.overflows++;
    for (size_t i = 0; i < set->hot; i++) {
        set->polled[i].revents |= LOOK_AGAIN;
    }
    look_at_cold(set, set->hot, set->count);
}

/* A cold descriptor that notified is served in this round: to be told that it is ready is
 * worth a call that finds nothing now and then. One that is hot was looked at, maybe just
 * before it became ready. */
static void handle_notification(struct pollset *set, int fd)
{
    if (!is_member(set, fd) || !is_polled(set, fd)) {
        return;
    }
    if (is_cold(set, fd)) {
        int events = set->polled[place_of(set, fd)].events & ~POLLRDHUP;

        set->counts.wakeups++;
        enter_hot(set, fd, events == POLLIN ? POLLIN : LOOK_AGAIN);
    } else {
        set->polled[place_of(set, fd)].revents |= LOOK_AGAIN;
    }
}

static void handle(struct pollset *set, int number)
{
    if (number == SIGIO_OVERFLOW) {
        handle_overflow(set);
    } else if (number != SIGIO_NONE) {
        handle_notification(set, number);
    }
}

/* At most about as many as there are descriptors: the rest comes in the next round. */
static void take_notifications(struct pollset *set)
{
    int numbers[SIGIO_BATCH];
    size_t count = SIGIO_BATCH;

    for (size_t taken = 0; count == SIGIO_BATCH && taken <= set->count; taken += count) {
        count = sigio_take(set->sigio_fd, numbers);
        for (size_t i = 0; i < count; i++) {
            handle(set, numbers[i]);
        }
    }
}

/* Descriptors that were idle for an epoch turn cold. */
static void end_epoch(struct pollset *set)
{
    size_t hot_before = set->hot;

    set->epoch_ns = set->now_ns;
    set->epoch = (set->epoch + ONE_EPOCH) & EPOCH;
    if (set->sigio_fd == -1) {
        return;
    }
    for (size_t i = set->hot; i-- > 0;) {
        int fd = set->polled[i].fd;

        if (set->activity[fd] == IDLE) {
            arm(set, fd);
        } else if (set->activity[fd] == ACTIVE) {
            set->activity[fd] = IDLE;
        }
    }
    /* A descriptor that became ready before it was armed does not notify. */
    look_at_cold(set, set->hot, hot_before);
}

/* A descriptor is served: it is active, and if it is armed and that often, it turns hot. */
static void note_activity(struct pollset *set, int fd)
{
    uint8_t activity = set->activity[fd];

    if (activity == IDLE) {
        set->activity[fd] = ACTIVE;
    } else if (is_armed(set, fd)) {
        unsigned reports = (activity & EPOCH) == set->epoch ? activity & REPORTS : 0;

        if (reports == REPORTS_MAX) {
            disarm(set, fd);
        } else {
            set->activity[fd] = (uint8_t)(ARMED | set->epoch | (reports + 1));
        }
    }
}

/* An entry that poll() looked at, or that notified: call back, or let it turn cold. */
static void dispatch_entry(struct pollset *set, struct pollfd *entry)
{
    int fd = entry->fd;
    short revents = entry->revents;

    if (revents == 0) {
        if (is_armed(set, fd)) {
            enter_cold(set, fd);
        }
        return;
    }
    entry->revents = LOOK_AGAIN;
    /* An earlier callback may have changed the wanted events. */
    revents &= (short)(entry->events | POLLERR | POLLHUP | POLLNVAL);
    if (revents != 0 && fd != set->sigio_fd) {
        note_activity(set, fd);
        set->callbacks->on_event(set->context, fd, revents);
    }
}

/* From the end to the start: callbacks that add and remove descriptors move entries, but
 * those not yet served only move downwards, and those served have LOOK_AGAIN. */
static void dispatch_events(struct pollset *set)
{
    for (size_t i = set->hot; i-- > 0;) {
        if (i < set->hot) { /* a callback may have removed some */
            dispatch_entry(set, &set->polled[i]);
        }
    }
}

static void dispatch_deadlines(struct pollset *set)
{
    uint32_t now = (uint32_t)((set->now_ns - set->start_ns) / CLOCK_MS);

    /* A callback may set a deadline that has passed already: it is due in the next
     * round. */
    for (size_t most = set->deadlines.count; most > 0; most--) {
        int which = deadlines_take(&set->deadlines, now);

        if (which == -1) {
            break;
        }
        if (which < POLLSET_TIMERS) {
            set->callbacks->on_timer(set->context, (unsigned)which);
        } else {
            set->callbacks->on_deadline(set->context, which - POLLSET_TIMERS);
        }
    }
}

/* Reasons of poll() that pass, or that do no harm. */
static bool is_passing(int error)
{
    return error == EINTR || error == ENOMEM || error == EAGAIN;
}

bool pollset_wait(struct pollset *set)
{
    if (set->sigio_fd != -1 && set->hot == 1) { /* the signals' own is hot */
        handle(set, sigio_wait(patience_ms(set)));
    } else if (look_at_hot(set) == -1 && !is_passing(errno)) {
        return false;
    } else if (set->sigio_fd != -1 &&
               (set->polled[place_of(set, set->sigio_fd)].revents & POLLIN) != 0) {
        take_notifications(set);
    }
    set->counts.rounds++;
    set->now_ns = clock_now_ns();
    dispatch_events(set);
    dispatch_deadlines(set);
    if (set->now_ns - set->epoch_ns >= EPOCH_MS * CLOCK_MS) {
        end_epoch(set);
    }
    return true;
}

bool pollset_use_signals(struct pollset *set)
{
    if (POLLSET_ONE_TIER) {
        return true;
    }
    int sigio_fd = sigio_open();

    if (sigio_fd == -1) {
        return false;
    }
    if (!pollset_add(set, sigio_fd, POLLIN)) {
        sigio_close(sigio_fd);
        errno = ENOMEM;
        return false;
    }
    pollset_pin(set, sigio_fd);
    set->sigio_fd = sigio_fd;
    return true;
}
