#include "server/server_metrics.h"

#include "base/build.h"

static const char *const tier_names[] = {"hot", "cold", NULL};

static const struct metrics_label build = {build_labels, NULL},
                                  tiers = {"tier", tier_names},
                                  ends = {"reason", worker_end_names},
                                  cuts = {"reason", worker_end_names + WORKER_END_CUT};

#define GAUGE   METRICS_GAUGE, 0
#define COUNTER METRICS_COUNTER, 0

static const struct metrics_row rows[] = {
    {"build_info", "Version and commit", &build, GAUGE, SERVER_BUILD},
    {"connections", "Open", NULL, GAUGE, SERVER_CONNECTIONS},
    {"connections_limit", "Most at once", NULL, GAUGE, SERVER_CONNECTIONS_LIMIT},
    {"connections_accepted_total", "Accepted", NULL, COUNTER, SERVER_ACCEPTED},
    {"connections_closed_total", "Ended, or cut", &ends, COUNTER, WORKER_CLOSED},
    {"connections_cut_total", "Cut by the server", &cuts, COUNTER,
     WORKER_CLOSED + WORKER_END_CUT},
    {"accept_failures_total", "Pauses: no descriptors or memory", NULL, COUNTER,
     SERVER_ACCEPT_FAILURES},
    {"received_bytes_total", "Received", NULL, COUNTER, WORKER_RECEIVED},
    {"echoed_bytes_total", "Sent back", NULL, COUNTER, WORKER_ECHOED},
    {"dropped_bytes_total", "Received, never sent back", NULL, COUNTER, WORKER_DROPPED},
    {"pending_bytes", "Not sent back yet", NULL, GAUGE, WORKER_PENDING},
    {"pending_bytes_limit", "Memory for pending bytes", NULL, GAUGE, SERVER_PENDING_LIMIT},
    {"backlog_connections", "Not accepted yet", NULL, GAUGE, SERVER_BACKLOG},
    {"accepting", "0: full, paused or stopping", NULL, GAUGE, SERVER_ACCEPTING},
    {"draining", "1: stopping", NULL, GAUGE, SERVER_DRAINING},
    {"log_lines_dropped_total", "Lines nobody read", NULL, COUNTER, SERVER_LOG_DROPPED},
    {"pollset_descriptors", "Polled (hot) or notifying (cold)", &tiers, GAUGE,
     WORKER_POOL_HOT},
    {"pollset_rounds_total", "Rounds of all loops", NULL, COUNTER, WORKER_POOL_ROUNDS},
    PROCESS_ROWS(SERVER_PROCESS),
};

const struct metrics server_metrics = {
    .prefix = "echo_server_",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
};
