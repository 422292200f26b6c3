/* client: the periodic loop of a probe: one message, its echo, a pause, and again.
 *
 * A failed message is logged with its kind and counted, and the loop goes on. SIGTERM and
 * SIGINT end it at once. */
#ifndef ECHOLAB_CLIENT_H
#define ECHOLAB_CLIENT_H

#include <stdint.h>

#include "client_config.h"
#include "probe.h"

/* Exit codes: the most frequent kind of failure decides, of equals the smaller code. */
enum client_exit {
    CLIENT_ALL_ECHOED = 0,
    CLIENT_FATAL = 1, /* it could not even begin */
    CLIENT_USAGE = 2,
    CLIENT_NOT_RESOLVED = 3,
    CLIENT_NO_CONNECTION = 4, /* refused or unreachable */
    CLIENT_TIMED_OUT = 5,
    CLIENT_DIFFERS = 6,
    CLIENT_CLOSED = 7, /* closed early or reset */
};

/* Run the loop to its end; logs each message and a summary. Returns the exit code. */
enum client_exit client_run(const struct client_config *config);

/* The exit code that follows from how many of each outcome there were. */
enum client_exit client_exit_code(const uint64_t counts[PROBE_OUTCOMES]);

#endif
