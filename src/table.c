#include "table.h"

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

void table_free(void *table, size_t count, size_t size)
{
    void **where = table;

    if (*where != NULL) {
        munmap(*where, count * size);
        *where = NULL;
    }
}
