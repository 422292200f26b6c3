/* crew: the workers of a server: one in the caller's own thread, or several, each in a
 * thread of its own with its own poll set.
 *
 * There is one listener, the caller's. Connections are handed to the workers in turn
 * through pipes, and so are orders, so that an order to drain comes after every connection
 * that was handed over before. The caller's callbacks run in the caller's thread only. */
#ifndef ECHOLAB_CREW_H
#define ECHOLAB_CREW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pollset.h"
#include "server_config.h"
#include "worker.h"

struct crew;

/* The most workers there can be. */
#define CREW_MAX 64

/* Descriptors that a crew of `count` workers needs for itself. */
#define CREW_FDS(count) ((count) == 1 ? 0 : 4 * (count) + 2)

/* How many workers the configuration asks for: "auto" is one per CPU we may run on. */
unsigned crew_size(const struct server_config *config);

/* Make and start the workers. `set` is the caller's poll set. After crew_watch(),
 * `on_close` is called with `context` soon after connections were closed. Returns NULL with
 * errno set when memory, descriptors or threads are missing. */
struct crew *crew_start(const struct server_config *config, unsigned count,
                        struct pollset *set, void (*on_close)(void *context),
                        void *context);

/* Hand a connected socket over; see worker_take(). Returns false when there is no memory;
 * then it is closed already. */
bool crew_take(struct crew *crew, int fd, uint32_t id, bool is_quiet);

/* For the callbacks of the caller's poll set: events and deadlines of all descriptors that
 * are not the caller's. */
void crew_event(struct crew *crew, int fd, short revents);
void crew_deadline(struct crew *crew, int fd);

/* Connections of all workers now. */
size_t crew_connections(const struct crew *crew);

/* Want on_close(), or not. With several workers it costs a system call per closed
 * connection, so ask for it only while it matters. Look at crew_connections() after it. */
void crew_watch(struct crew *crew, bool is_wanted);

/* Orders for all workers: worker_drain(); worker_cut() with a reason that is a constant;
 * log the counters. */
void crew_drain(struct crew *crew);
void crew_cut(struct crew *crew, const char *reason);
void crew_report(struct crew *crew);

/* End the workers, whose connections must be closed or were told to drain, and release the
 * crew. Returns the sum of their counts. */
struct worker_counts crew_finish(struct crew *crew);

#endif
