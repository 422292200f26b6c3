#include "server/pending.h"

#include <stdlib.h>

#include "base/ensure.h"

#define PAGE ((size_t)4096)

/* The allocator's header of a block, at most (src/musl/mmap_malloc.c). */
#define OVERHEAD ((size_t)64)

/* The bytes of the pages that a block of `size` bytes takes. */
static size_t cost(size_t size)
{
    return (size + OVERHEAD + PAGE - 1) & ~(PAGE - 1);
}

/* Fill the share up to the cost of one largest block, as far as the pool goes. */
static void fetch(struct pending_share *share)
{
    size_t wanted = cost(PENDING_MAX) - share->spare;
    size_t left = atomic_load_explicit(&share->pool->left, memory_order_relaxed);
    size_t part;

    do {
        part = left < wanted ? left : wanted;
        if (part == 0) {
            return;
        }
    } while (!atomic_compare_exchange_weak(&share->pool->left, &left, left - part));
    share->spare += part;
}

size_t pending_room(struct pending_share *share)
{
    if (share->spare < cost(PENDING_MAX)) {
        fetch(share);
    }
    size_t whole_pages = share->spare & ~(PAGE - 1);
    size_t room = whole_pages > OVERHEAD ? whole_pages - OVERHEAD : 0;

    return room < PENDING_MAX ? room : PENDING_MAX;
}

void *pending_alloc(struct pending_share *share, size_t size)
{
    void *block = malloc(size);

    if (block != NULL) {
        ensure(cost(size) <= share->spare);
        share->spare -= cost(size);
        share->held += cost(size);
    }
    return block;
}

void pending_free(struct pending_share *share, void *block, size_t size)
{
    if (block == NULL) {
        return;
    }
    free(block);
    share->held -= cost(size);
    share->spare += cost(size);
    if (share->spare > cost(PENDING_MAX)) {
        atomic_fetch_add(&share->pool->left, share->spare - cost(PENDING_MAX));
        share->spare = cost(PENDING_MAX);
    }
}

void pending_return(struct pending_share *share)
{
    atomic_fetch_add(&share->pool->left, share->spare);
    share->spare = 0;
}
