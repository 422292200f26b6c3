/* deadlines: one optional deadline per descriptor or other small number, and the next one
 * that is due.
 *
 * A binary heap gives the earliest deadline at once, so the cost of a round does not grow
 * with the number of idle connections. Postponing is lazy: it only stores the later
 * deadline, in O(1), and the heap is corrected when the earlier time comes. So a busy
 * connection costs one store per message.
 *
 * Times are 32-bit ticks of the caller's choice. They may wrap around: all deadlines and
 * the present must lie within 2^31 ticks of each other (24 days of milliseconds), and the
 * caller must call deadlines_take() at the time that deadlines_next() gives. */
#ifndef ECHOLAB_DEADLINES_H
#define ECHOLAB_DEADLINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All fields are private; a zeroed struct is an empty set. */
struct deadlines {
    struct deadlines_entry *heap; /* smallest key first */
    struct deadlines_slot *slots; /* by descriptor */
    size_t count;
    size_t capacity;
};

/* Make room for descriptors below `capacity`. Returns false, changing nothing, when there
 * is no memory. */
bool deadlines_reserve(struct deadlines *set, size_t capacity);

/* Set or move the deadline of `fd`, which must be below the reserved capacity. */
void deadlines_set(struct deadlines *set, int fd, uint32_t tick);

/* Clear the deadline of `fd`, if it has one. */
void deadlines_clear(struct deadlines *set, int fd);

/* Set *tick to the time at which deadlines_take() must be called: never later than the
 * earliest deadline, and earlier if that one was postponed. Returns false when the set is
 * empty. */
bool deadlines_next(const struct deadlines *set, uint32_t *tick);

/* Remove one descriptor whose deadline is at or before `now` from the set, and return it;
 * -1: none is due. */
int deadlines_take(struct deadlines *set, uint32_t now);

/* Release the memory; the set is empty again. */
void deadlines_free(struct deadlines *set);

#endif
