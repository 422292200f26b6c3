/* pollset: the set of descriptors that one loop waits for with poll(2), their deadlines,
 * and a few timers.
 *
 * The set knows descriptors, wanted events, deadlines and timers; the caller knows their
 * meaning. The set never opens or closes a descriptor. A descriptor whose wanted events are
 * 0 is parked: poll() does not look at it at all, since POLLHUP and POLLERR cannot be
 * masked and would make the loop spin. Its deadline still counts.
 *
 * Two tiers. poll() costs time for every descriptor, ready or not. So each round polls the
 * hot descriptors only. One that was idle for some milliseconds is armed (sigio.h) and
 * turns cold: the kernel notifies when it becomes ready. It is served in the round that
 * takes the notification, and stays armed. Only one that is served often turns hot again
 * and is disarmed. So a cold descriptor costs nothing, and one that is ready now and then
 * costs about as much as with epoll(7). A descriptor that cannot be armed stays hot, which
 * is slower but correct. All this needs pollset_use_signals(); without it, all are hot.
 *
 * Readiness is a level, in both tiers: a callback that leaves something, or does nothing,
 * is called again in the next round. Yet POLLIN may be a hint only: as with poll(2) itself,
 * a read may find nothing (EAGAIN).
 *
 * A timer belongs to no descriptor: it is a numbered slot, and the caller names the numbers
 * in an enum.
 *
 * A callback may do anything with any descriptor of the set: change its events, set its
 * deadline, remove it, add another; it may also set or clear any timer. After
 * pollset_remove() no callback comes for that descriptor, not even for an event that was
 * found before. After pollset_want() none comes for an event that is no longer wanted. A
 * descriptor that is added in a callback, even one with the same number, is polled in the
 * next round.
 *
 * Tables are indexed by descriptor and stay dense, since the kernel hands out the smallest
 * number that is free (open(2)). */
#ifndef ECHOLAB_POLLSET_H
#define ECHOLAB_POLLSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The timers of a set are numbered from 0 to POLLSET_TIMERS - 1. */
#define POLLSET_TIMERS 4

struct pollset;

/* The caller's functions; `context` is the one given to pollset_new(). */
struct pollset_callbacks {
    /* `revents` as poll(2) gave them: wanted events, or POLLERR, POLLHUP, POLLNVAL. */
    void (*on_event)(void *context, int fd, short revents);
    /* The deadline of `fd` has passed; it is cleared before the call. */
    void (*on_deadline)(void *context, int fd);
    /* Timer `slot` has expired; it is cleared before the call. May be NULL in a set whose
     * timers are never set. */
    void (*on_timer)(void *context, unsigned slot);
};

/* A new, empty set, or NULL when there is no memory. `callbacks` must outlive it. */
struct pollset *pollset_new(const struct pollset_callbacks *callbacks, void *context);

/* Use two tiers. All descriptors of the set must be non-blocking then. A thread can have
 * one such set, and from then on only that thread may use it. Descriptors whose open file
 * is used by another set as well, or which have no O_ASYNC (timerfd_create(2), eventfd(2),
 * signalfd(2)), must be pinned. Returns false with errno set, and changes nothing but the
 * thread's blocked signals, when there are no descriptors or memory for it. */
bool pollset_use_signals(struct pollset *set);

/* Release the set; the descriptors in it stay open. NULL is allowed. */
void pollset_free(struct pollset *set);

/* Add `fd`, which must not be in the set, with its wanted events (POLLIN, POLLOUT, both or
 * 0; beside POLLIN also POLLRDHUP, which tells of an end of stream behind the bytes, but
 * not in each case) and no deadline. Returns false, changing nothing, when there is no
 * memory. */
bool pollset_add(struct pollset *set, int fd, short events);

/* Keep a descriptor of the set hot, however idle it is. */
void pollset_pin(struct pollset *set, int fd);

/* Change the wanted events of a descriptor in the set. */
void pollset_want(struct pollset *set, int fd, short events);

/* Set or move the deadline of a descriptor in the set: on_deadline is called at `when_ns`
 * of clock_now_ns() or up to 2 ms later, never earlier. At most 24 days from now. */
void pollset_deadline(struct pollset *set, int fd, uint64_t when_ns);

/* Clear the deadline of a descriptor in the set, if it has one. */
void pollset_no_deadline(struct pollset *set, int fd);

/* Set or move a timer: on_timer is called at `when_ns`, as precisely as a deadline. */
void pollset_timer(struct pollset *set, unsigned slot, uint64_t when_ns);

/* Clear a timer, if it is set. */
void pollset_no_timer(struct pollset *set, unsigned slot);

/* Take a descriptor out of the set. Call it before close(2), which also ends its
 * notifications. */
void pollset_remove(struct pollset *set, int fd);

/* One round: wait until an event, a deadline or a timer, and call back for each. Returns
 * false with errno set when poll(2) failed for a permanent reason (EFAULT: our own bug);
 * otherwise true. EINTR, lack of memory, and a limit of open files lowered below the size
 * of the set are handled here. */
bool pollset_wait(struct pollset *set);

/* The time at which this round's waiting ended, in ns of clock_now_ns(): one clock reading
 * serves all callbacks of a round. */
uint64_t pollset_now(const struct pollset *set);

/* The set's counters so far, and its present size. */
struct pollset_counts {
    size_t hot, cold;   /* descriptors now */
    uint64_t rounds;    /* calls of pollset_wait() */
    uint64_t armed;     /* times that a descriptor turned cold */
    uint64_t wakeups;   /* times that a cold descriptor notified */
    uint64_t overflows; /* of the kernel's signal queue: all cold descriptors were polled */
};
struct pollset_counts pollset_counts(const struct pollset *set);

/* Are the set's tables consistent with each other? For tests: takes time for every
 * descriptor. */
bool pollset_is_sound(const struct pollset *set);

#endif
