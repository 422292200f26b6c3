#include "base/table.h"

#include <sys/mman.h>

#define FIRST_CAPACITY 16384

size_t table_capacity(size_t need)
{
    return need < FIRST_CAPACITY ? FIRST_CAPACITY : need + need / 8 + 1;
}

bool table_grow(void *table, size_t old_count, size_t count, size_t size)
{
    void **where = table;
    void *grown = *where == NULL
                      ? mmap(NULL, count * size, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                      : mremap(*where, old_count * size, count * size, MREMAP_MAYMOVE);

    if (grown == MAP_FAILED) {
        return false;
    }
    *where = grown;
    return true;
}

/* Less never fails, and never moves. */
static void shrink(const struct table_part *part, size_t count, size_t new_count)
{
    void **where = part->table;

    if (new_count == 0) {
        table_free(where, count, part->size);
    } else {
        (void)mremap(*where, count * part->size, new_count * part->size, 0);
    }
}

bool table_grow_all(const struct table_part parts[], size_t part_count, size_t old_count,
                    size_t count)
{
    for (size_t i = 0; i < part_count; i++) {
        if (!table_grow(parts[i].table, old_count, count, parts[i].size)) {
            while (i-- > 0) {
                shrink(&parts[i], count, old_count);
            }
            return false;
        }
    }
    return true;
}

void table_free(void *table, size_t count, size_t size)
{
    void **where = table;

    if (*where != NULL) {
        munmap(*where, count * size);
        *where = NULL;
    }
}
