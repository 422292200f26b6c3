/* pending: the limited memory for bytes that peers have not taken yet. All sessions of all
 * workers share one limit, so that peers that never read cannot exceed it, however many
 * there are.
 *
 * The limit is divided while it is used. Each worker has a share, from which it takes and
 * to which it returns without synchronization; it fetches more from the pool when the share
 * has less than one read's worth. Only memory that is held counts: a pool of 16 MiB holds
 * 16 MiB.
 *
 * A session asks for room before it receives, since received bytes must be kept if they
 * cannot be sent. Without room it receives nothing (echo.h: MSG_PEEK). */
#ifndef ECHOLAB_PENDING_H
#define ECHOLAB_PENDING_H

#include <stdatomic.h>
#include <stddef.h>

/* The most bytes of one block: a read of 256 KiB and the block's header. */
#define PENDING_MAX (256 * 1024 + 64)

/* The limit that all workers share: a counter, it holds no memory itself. */
struct pending_pool {
    _Atomic size_t left; /* bytes that are in no worker's share */
};

/* One worker's share, for its thread only. At first all fields but `pool` are 0. */
struct pending_share {
    struct pending_pool *pool;
    size_t spare; /* bytes of the share that are not used */
    size_t held;  /* bytes of the blocks that are in use */
};

/* The number of bytes, up to PENDING_MAX, that a block may have now. Fetches missing bytes
 * from the pool, if that has them. */
size_t pending_room(struct pending_share *share);

/* Allocate a block of `size` bytes, at most the last result of pending_room(). Returns NULL
 * when there is no memory (errno: ENOMEM). A block counts as the pages that it takes. */
void *pending_alloc(struct pending_share *share, size_t size);

/* Free a block of `size` bytes. A surplus of the share goes back to the pool. NULL is
 * allowed. */
void pending_free(struct pending_share *share, void *block, size_t size);

/* Return the whole share to the pool: the worker ends and holds no block. */
void pending_return(struct pending_share *share);

#endif
