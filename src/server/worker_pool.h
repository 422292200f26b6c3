/* worker_pool: the workers of a server: one in the caller's own thread, or several, each in
 * a thread of its own with its own poll set.
 *
 * There is one listener, the caller's. The caller hands connections to the workers in turn,
 * through pipes. Orders take the same way, so that an order to drain comes after every
 * connection that was handed over before. The caller's callbacks run in the caller's thread
 * only. */
#ifndef ECHOLAB_WORKER_POOL_H
#define ECHOLAB_WORKER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/pollset.h"
#include "server/server_config.h"
#include "server/worker.h"

struct worker_pool;

/* The most workers there can be. */
#define WORKER_POOL_MAX 64

/* Descriptors that a pool of `count` workers needs for itself. */
#define WORKER_POOL_FDS(count) ((count) == 1 ? 0 : 4 * (count) + 2)

/* The number of workers that the configuration asks for; auto: one per CPU that we may run
 * on. */
unsigned worker_pool_size(const struct server_config *config);

/* Make and start the workers. `set` is the caller's poll set. After worker_pool_watch(),
 * `on_close` is called with `context` soon after connections were closed. Returns NULL, and
 * logs the reason, when there is no memory, descriptor or thread for it. */
struct worker_pool *worker_pool_start(const struct server_config *config, unsigned count,
                                      struct pollset *set, void (*on_close)(void *context),
                                      void *context);

/* Hand a connected socket over; see worker_take(). Returns false when there is no memory;
 * the socket is then closed. */
bool worker_pool_take(struct worker_pool *pool, int fd, uint32_t id);

/* Hand a health check over; it does not count as a connection. It is closed when there are
 * HEALTH_CHECKS_MAX already, or no memory. */
void worker_pool_take_health_check(struct worker_pool *pool, int fd);

/* For the callbacks of the caller's poll set: events and deadlines of all descriptors that
 * are not the caller's. */
void worker_pool_event(struct worker_pool *pool, int fd, short revents);
void worker_pool_deadline(struct worker_pool *pool, int fd);

/* Connections of all workers now. */
size_t worker_pool_connections(const struct worker_pool *pool);

/* Descriptors that the pool has open now: those of its connections, its pipes, and those
 * that its poll sets opened for their signals. */
size_t worker_pool_descriptors(const struct worker_pool *pool);

/* Turn calls of on_close() on or off. With several workers a call costs a system call per
 * closed connection, so turn them on only while needed, and check worker_pool_connections()
 * after that: a connection may have closed before. */
void worker_pool_watch(struct worker_pool *pool, bool is_wanted);

/* Orders for all workers: worker_drain(); worker_cut(); log the counters. */
void worker_pool_drain(struct worker_pool *pool);
void worker_pool_cut(struct worker_pool *pool, enum worker_end reason);
void worker_pool_log_counts(struct worker_pool *pool);

/* What the workers count together: enum worker_number, then the poll sets of their threads,
 * as they were after the last round. The caller's own set is the caller's to add. */
enum worker_pool_number {
    WORKER_POOL_HOT = WORKER_NUMBERS, /* descriptors that poll() looks at */
    WORKER_POOL_COLD,                 /* descriptors that notify by a signal */
    WORKER_POOL_ROUNDS,
    WORKER_POOL_NUMBERS,
};

/* Add the numbers to the caller's. */
void worker_pool_add_numbers(const struct worker_pool *pool,
                             uint64_t sum[WORKER_POOL_NUMBERS]);

/* Wait for the end of the workers, whose connections must be closed or draining, and
 * release the pool. Adds their numbers to the caller's. */
void worker_pool_finish(struct worker_pool *pool, uint64_t sum[WORKER_POOL_NUMBERS]);

#endif
