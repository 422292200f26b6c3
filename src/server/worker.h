/* worker: the sessions of one thread: their table, timeouts, counters and end.
 *
 * A worker takes connected sockets, owns them from then on, and closes them. It uses a poll
 * set that its owner polls; the owner passes on the events and deadlines of the worker's
 * descriptors. A worker knows neither listeners nor threads. */
#ifndef ECHOLAB_WORKER_H
#define ECHOLAB_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/pollset.h"
#include "server/pending.h"
#include "server/server_config.h"

struct worker;

/* The largest number of a connection: it shares its 32 bits with flags. */
#define WORKER_ID_MAX ((1U << 29) - 1)

/* The number of all health checks (health.h). A health check is not counted or logged as a
 * connection, and is cut after a second. */
#define WORKER_HEALTH_CHECK 0

/* Why a connection ended. The last ones are cut by us. */
enum worker_end {
    WORKER_END_PEER,
    WORKER_END_IDLE,
    WORKER_END_RESET,
    WORKER_END_TIMED_OUT, /* it acknowledged nothing, or no keepalive */
    WORKER_END_ERROR,     /* another error of its socket */
    WORKER_END_NO_MEMORY,
    WORKER_END_HEADER, /* a wrong PROXY header, or none in time */
    WORKER_END_CUT,    /* from here on */
    WORKER_CUT_WRITE_TIMEOUT = WORKER_END_CUT,
    WORKER_CUT_DRAIN_TIMEOUT,
    WORKER_CUT_SECOND_SIGNAL,
    WORKER_CUT_FATAL_ERROR,
    WORKER_ENDS,
};

/* The reasons in words, for log and metrics; NULL at the end. */
extern const char *const worker_end_names[];

/* What a worker counts, of its connections without health checks. At rest, WORKER_RECEIVED
 * is the sum of the three below it. */
enum worker_number {
    WORKER_RECEIVED, /* bytes, from the first one behind the preamble on */
    WORKER_ECHOED,   /* of these, taken by send() */
    WORKER_DROPPED,  /* lost with a connection, or late (echo.h) */
    WORKER_PENDING,  /* held now */
    WORKER_TAKEN,    /* connections */
    WORKER_CLOSED,   /* of these, by enum worker_end */
    WORKER_NUMBERS = WORKER_CLOSED + WORKER_ENDS,
};

/* Make a worker on `set`, number `number` of its server, from 1 on; its pending blocks come
 * from `pool`. After each closed connection, `on_close` is called with `context` and the
 * connection's number. Returns NULL when there is no memory. */
struct worker *worker_new(const struct server_config *config, int number,
                          struct pollset *set, struct pending_pool *pool,
                          void (*on_close)(void *context, uint32_t id), void *context);

/* Release the worker; its connections must be closed. NULL is allowed. */
void worker_free(struct worker *worker);

/* Take a connected socket: from here on the worker owns it. Tries to read its first bytes
 * at once. `id` is from 1 to WORKER_ID_MAX, or WORKER_HEALTH_CHECK. Returns false when
 * there is no memory; the socket is then closed. */
bool worker_take(struct worker *worker, int fd, uint32_t id);

/* For the callbacks of the poll set: an event, or a passed deadline, of a connection. When
 * many connections move many bytes, one of them may be left for one of the next rounds. */
void worker_event(struct worker *worker, int fd, short revents);
void worker_deadline(struct worker *worker, int fd);

/* Drain: from now on every session ends, once it was idle for a moment, with the last byte
 * of its echo (echo.h), or when half of the drain timeout has passed. At the drain timeout
 * the owner cuts the sessions that are left. */
void worker_drain(struct worker *worker);

/* Close all connections now and log each with its pending bytes. */
void worker_cut(struct worker *worker, enum worker_end reason);

/* Connections now, and bytes of memory that pending blocks take. */
size_t worker_connections(const struct worker *worker);
size_t worker_pending_memory(const struct worker *worker);

/* Add the worker's numbers to the caller's. Any thread may ask. */
void worker_add_numbers(const struct worker *worker, uint64_t sum[WORKER_NUMBERS]);

#endif
