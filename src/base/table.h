/* table: arrays that grow, indexed by descriptor. They are anonymous mappings (mmap(2)): a
 * page that was never touched is zero and takes no memory, so spare capacity is free. */
#ifndef ECHOLAB_TABLE_H
#define ECHOLAB_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* The capacity to reserve for the index `need`: 16,384 elements at first, later an eighth
 * more than needed. */
size_t table_capacity(size_t need);

/* Grow the array at *table (NULL: none yet) from `old_count` to `count` elements of `size`
 * bytes. The new elements are zero. Returns false, and leaves the array as it was, when
 * there is no memory. */
bool table_grow(void *table, size_t old_count, size_t count, size_t size);

/* One of several arrays that are indexed alike and so have one capacity. */
struct table_part {
    void *table; /* the address of the pointer, as for table_grow() */
    size_t size; /* of an element */
};

/* Grow all arrays, or none: what was grown before one failed shrinks again, so that a later
 * call may succeed. */
bool table_grow_all(const struct table_part parts[], size_t part_count, size_t old_count,
                    size_t count);

/* Release the array at *table and set *table to NULL. */
void table_free(void *table, size_t count, size_t size);

#endif
