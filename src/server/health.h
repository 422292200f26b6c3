/* health: the server's check of itself (echo-server --healthcheck): one real echo through
 * the serving loop.
 *
 * Checks have a listener of their own, so that a check takes no connection's slot and is
 * answered even when the table is full: a UNIX socket with an abstract name, which needs no
 * file, no address and no port. The name identifies the server:
 *
 *     echo-server/pid:[4026531836]/[::]:12345     PID namespace, address and port of the
 *                                                 listener
 *
 * A check that is given no address, port or file asks the server of its own PID namespace,
 * so in a container it finds the server however that was started (options, a file, port 0).
 * With several servers there, or when one of the three is given, it asks the server with
 * the configured address and port. */
#ifndef ECHOLAB_HEALTH_H
#define ECHOLAB_HEALTH_H

#include <stdbool.h>

#include "server/server_config.h"

/* Checks that are served at once; the lab makes one every two seconds. */
#define HEALTH_CHECKS_MAX 4

/* A check is cut after this time. */
#define HEALTH_CHECK_NS CLOCK_S

/* Open the listener for checks of the server that listens on the TCP socket `listener`.
 * Returns the descriptor, or -1 with errno set. */
int health_listen(int listener);

/* Check the server that `config` describes; with `is_any` the one of this PID namespace, if
 * it is the only one. Takes less than a second and prints the result to stdout. Returns 0:
 * healthy; 1: not (Dockerfile's HEALTHCHECK). */
int health_check(const struct server_config *config, bool is_any);

#endif
