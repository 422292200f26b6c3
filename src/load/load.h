/* load: N connections at once to an echo server, measured, every byte compared.
 *
 * Threads with a share of the connections each (load_thread.h); the calling thread looks
 * the name up, shows a line of progress on a terminal, takes signals, and prints the
 * report. */
#ifndef ECHOLAB_LOAD_H
#define ECHOLAB_LOAD_H

#include "client/client_config.h"
#include "client/exit_code.h"

/* Run the load that config->load describes to its end, or to SIGTERM, SIGINT or SIGHUP,
 * and print the report to stdout. Returns the exit code (load_judge.h). */
enum client_exit load_run(const struct client_config *config);

#endif
