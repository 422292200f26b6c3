/* server_metrics: the metrics of echo-server, as metrics' table. */
#ifndef ECHOLAB_SERVER_METRICS_H
#define ECHOLAB_SERVER_METRICS_H

#include "base/metrics.h"
#include "io/process.h"
#include "server/worker_pool.h"

/* The numbers of the table: first those of the workers (enum worker_pool_number). */
enum server_number {
    SERVER_BUILD = WORKER_POOL_NUMBERS, /* always 1 */
    SERVER_CONNECTIONS,
    SERVER_CONNECTIONS_LIMIT,
    SERVER_ACCEPTED,
    SERVER_ACCEPT_FAILURES,
    SERVER_PENDING_LIMIT,
    SERVER_BACKLOG,
    SERVER_ACCEPTING,
    SERVER_DRAINING,
    SERVER_LOG_DROPPED,
    SERVER_PROCESS, /* PROCESS_NUMBERS */
    SERVER_NUMBERS = SERVER_PROCESS + PROCESS_NUMBERS,
};

extern const struct metrics server_metrics;

#endif
