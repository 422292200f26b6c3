/* client: the periodic loop of a probe: one message, its echo, a pause, and again.
 *
 * A failed message is logged with its kind and counted, and the loop goes on. SIGTERM,
 * SIGINT and SIGHUP end it at once, with its summary. */
#ifndef ECHOLAB_CLIENT_H
#define ECHOLAB_CLIENT_H

#include "client/client_config.h"
#include "client/exit_code.h"

/* Run the loop to its end; logs each message and a summary. Returns the exit code. */
enum client_exit client_run(const struct client_config *config);

#endif
