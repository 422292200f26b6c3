/* load: N connections at once to an echo server, measured, every byte compared.
 *
 * Threads with a share of the connections each (load_worker.h); the calling thread looks
 * the name up, shows a line of progress on a terminal, takes signals, and prints the
 * report. */
#ifndef ECHOLAB_LOAD_H
#define ECHOLAB_LOAD_H

#include "client.h"
#include "client_config.h"

/* Run the load that config->load describes to its end, or to SIGTERM or SIGINT, and print
 * the report to stdout. Returns the exit code: by the most frequent kind of error. */
enum client_exit load_run(const struct client_config *config);

#endif
