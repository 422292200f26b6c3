/* deadlines: when is the next one due? One optional deadline per file descriptor.
 *
 * A binary heap, so that the earliest is known at once and the cost of a round does not
 * grow with the number of idle connections. Postponing is lazy: a later deadline is only
 * written down, in O(1), and the heap is put right when the earlier time comes. So a
 * connection that talks all the time costs one store per message.
 *
 * Times are ticks of the caller's choice, 32 bits wide. They may wrap around: two deadlines
 * and the present must lie within 2^31 ticks of each other (24 days of milliseconds), and
 * deadlines_take() must be called when deadlines_next() says so. */
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

/* Forget the deadline of `fd`, if it has one. */
void deadlines_clear(struct deadlines *set, int fd);

/* The time at which deadlines_take() is worth a call; never later than the earliest
 * deadline, earlier if one was postponed. Returns false when the set is empty. */
bool deadlines_next(const struct deadlines *set, uint32_t *tick);

/* Take one descriptor whose deadline is at or before `now` out of the set, and return it;
 * -1 when none is due. */
int deadlines_take(struct deadlines *set, uint32_t now);

/* Release the memory; the set is empty again. */
void deadlines_free(struct deadlines *set);

#endif
