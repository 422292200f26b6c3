/* table: arrays that grow, indexed by descriptor. They are mapped anonymously (mmap(2)), so
 * that what was never touched is zero and takes no memory: room for more is free. */
#ifndef ECHOLAB_TABLE_H
#define ECHOLAB_TABLE_H

#include <stdbool.h>
#include <stddef.h>

/* How much room there should be for the index `need`: plenty at first, then an eighth more.
 */
size_t table_capacity(size_t need);

/* Make the array at *table (NULL: none yet) larger, from `old_count` to `count` elements of
 * `size` bytes; the new ones are zero. Returns false, leaving it as it was, when there is
 * no memory. */
bool table_grow(void *table, size_t old_count, size_t count, size_t size);

/* Release the array at *table and make that NULL. */
void table_free(void *table, size_t count, size_t size);

#endif
