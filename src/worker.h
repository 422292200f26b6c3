/* worker: the sessions of one thread: their table, timeouts, counters and their end.
 *
 * A worker gets connected sockets, owns them from then on, and closes them. It works on a
 * poll set that its owner polls: the owner passes on the events and deadlines of
 * descriptors that are no others'. Nothing here knows of listeners or threads. */
#ifndef ECHOLAB_WORKER_H
#define ECHOLAB_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pollset.h"
#include "server_config.h"

struct worker;

struct worker_counts {
    size_t connections;    /* now */
    uint64_t taken;        /* connections so far */
    uint64_t cut;          /* of them ended before their time */
    uint64_t bytes_in;     /* received */
    uint64_t bytes_echoed; /* taken by send() */
};

/* A new worker on `set`. `on_close` is called with `context` after each connection that was
 * closed. Returns NULL when there is no memory. */
struct worker *worker_new(const struct server_config *config, struct pollset *set,
                          void (*on_close)(void *context), void *context);

/* Release the worker; its connections must be closed. NULL is allowed. */
void worker_free(struct worker *worker);

/* Take a connected socket: from here on it is the worker's. Its first bytes are looked for
 * at once. `id` is not 0; `is_quiet` keeps its lines out of the log at info. Returns false
 * when there is no memory; then it is closed already. */
bool worker_take(struct worker *worker, int fd, uint32_t id, bool is_quiet);

/* For the callbacks of the poll set: an event, or a passed deadline, of a connection. */
void worker_event(struct worker *worker, int fd, short revents);
void worker_deadline(struct worker *worker, int fd);

/* From now on every session ends: once it was quiet for a moment, or when half of the drain
 * timeout has passed. What is still there after all of it is the owner's to cut. */
void worker_drain(struct worker *worker);

/* Close all connections now, each logged with its pending bytes. */
void worker_cut(struct worker *worker, const char *reason);

struct worker_counts worker_counts(const struct worker *worker);

#endif
