/* client_metrics: what the periodic loop shows of itself while it runs, and its metrics, as
 * metrics' table.
 *
 * The loop writes a struct client_live and any thread may read it, without a lock: counters
 * (counter.h), and histograms that are read as histogram_between() says. */
#ifndef ECHOLAB_CLIENT_METRICS_H
#define ECHOLAB_CLIENT_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/counter.h"
#include "base/histogram.h"
#include "base/metrics.h"
#include "io/probe.h"
#include "io/process.h"

/* All zero to begin with. */
struct client_live {
    struct counter messages[PROBE_OUTCOMES]; /* by what became of them */
    struct counter last_outcome; /* of the last message: enum probe_outcome + 1; 0: none */
    struct counter last_echo_ns; /* by the calendar, since 1970; 0: none */
    struct counter sockets;      /* open now, for messages */
    struct histogram resolve;
    struct histogram connect;    /* from here on of echoed messages */
    struct histogram first_byte; /* connected to the first byte of the echo */
    struct histogram reply;      /* connected to the last byte */
};

/* Write the text of /metrics into METRICS_TEXT bytes. `open_fds` is for process_read().
 * Returns its length. */
size_t client_metrics_print(const struct client_live *live, const struct process *process,
                            uint64_t open_fds, char *out);

#endif
