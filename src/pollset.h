/* pollset: the set of descriptors that one loop waits for with poll(2), and their
 * deadlines.
 *
 * The set knows descriptors, wanted events and deadlines; what they mean is the caller's
 * business. It never opens or closes a descriptor. A descriptor whose wanted events are 0
 * is parked: poll() does not look at it at all (so that POLLHUP and POLLERR, which cannot
 * be masked, do not make the loop spin), but its deadline counts.
 *
 * Two tiers. poll() costs time for every descriptor, ready or not. So in every round the
 * set looks at the hot ones only: those with an event in the last milliseconds. One that
 * was quiet is armed (sigio.h) and turns cold: the kernel tells when it becomes ready, and
 * then it turns hot again. So a cold one costs nothing, and its event waits for one more
 * round. One that cannot be armed stays hot, which is slower and as right. All this needs
 * pollset_use_signals(); without it, and in sets of a few tens, all are hot.
 *
 * A callback may do anything with any descriptor of the set: change its events, set its
 * deadline, remove it, add another. After pollset_remove() no callback comes for that
 * descriptor, not even for an event that was found before, and after pollset_want() none
 * for an event that is not wanted any more; a descriptor that is added in a callback, even
 * one with the same number, is looked at in the next round.
 *
 * Descriptors are the keys: the kernel hands out the smallest that is free (open(2)), so
 * tables indexed by them stay dense. */
#ifndef ECHOLAB_POLLSET_H
#define ECHOLAB_POLLSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pollset;

/* What the set calls: `context` is the one given to pollset_new(). */
struct pollset_callbacks {
    /* `revents` as poll(2) gave them: wanted events, or POLLERR, POLLHUP, POLLNVAL. */
    void (*on_event)(void *context, int fd, short revents);
    /* The deadline of `fd` has passed; it is cleared before the call. */
    void (*on_deadline)(void *context, int fd);
};

/* A new, empty set, or NULL when there is no memory. `callbacks` must outlive it. */
struct pollset *pollset_new(const struct pollset_callbacks *callbacks, void *context);

/* Have two tiers. Descriptors must be non-blocking then; one set per thread can have this,
 * and from then on only that thread may use it. Returns false with errno set, and changes
 * nothing, when there are no descriptors or memory for it. */
bool pollset_use_signals(struct pollset *set);

/* Release the set; the descriptors in it stay open. NULL is allowed. */
void pollset_free(struct pollset *set);

/* Add `fd`, which must not be in the set, with its wanted events (POLLIN, POLLOUT, both or
 * 0) and no deadline. Returns false, changing nothing, when there is no memory. */
bool pollset_add(struct pollset *set, int fd, short events);

/* Keep a descriptor of the set hot, however quiet it is: a listener, a pipe that brings
 * signals. */
void pollset_pin(struct pollset *set, int fd);

/* Change the wanted events of a descriptor in the set. */
void pollset_want(struct pollset *set, int fd, short events);

/* Set or move the deadline of a descriptor in the set: on_deadline comes at `when_ns` of
 * clock_now_ns() or up to 1 ms later, never earlier. At most 24 days from now. */
void pollset_deadline(struct pollset *set, int fd, uint64_t when_ns);

/* Forget the deadline of a descriptor in the set, if it has one. */
void pollset_no_deadline(struct pollset *set, int fd);

/* Take a descriptor out of the set. Call it before close(2). */
void pollset_remove(struct pollset *set, int fd);

/* One round: wait until an event or a deadline, and call back for each. Returns true; false
 * with errno set when poll(2) failed for a reason that will not pass (EFAULT: our own bug).
 * EINTR, lack of memory, and a limit of open files lowered below the size of the set are
 * lived with. */
bool pollset_wait(struct pollset *set);

/* The time at which this round's waiting ended, in ns of clock_now_ns(): one clock reading
 * serves all callbacks of a round. */
uint64_t pollset_now(const struct pollset *set);

/* What the set did so far, and what it holds. */
struct pollset_counts {
    size_t hot, cold; /* descriptors now */
    uint64_t rounds;  /* calls of pollset_wait() */
    uint64_t armed;   /* times that one turned cold */
    uint64_t told;    /* times that a cold one told */
    uint64_t lost; /* times that the kernel could not tell which, so all were looked at */
};
struct pollset_counts pollset_counts(const struct pollset *set);

/* Do the set's tables agree with each other? For tests; costs time for every descriptor. */
bool pollset_is_sound(const struct pollset *set);

#endif
