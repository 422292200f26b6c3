/* server: the echo service: listener, sessions, limits, and the way to stop.
 *
 * Bounded: at most max_connections sessions. When the table is full the listener is not
 * polled: further connections wait in the kernel's backlog, and the first slot that becomes
 * free takes the next one at once. When descriptors or memory run out, the listener pauses.
 *
 * Signals, through the self-pipe: SIGTERM, SIGINT and SIGHUP stop the server gracefully. A
 * further SIGTERM or SIGINT cuts at once; a further SIGHUP does not, for a terminal that
 * closes sends several, and some managers of services send one behind SIGTERM. SIGUSR1 logs
 * the counters, at every log level. */
#ifndef ECHOLAB_SERVER_H
#define ECHOLAB_SERVER_H

#include "server/server_config.h"

/* Serve until a signal ends it; logs what happens. Returns the exit code: 0 stopped
 * cleanly; 1 stopped with connections cut, or a fatal error; 2 the service manager passed
 * no listener (activation.h) where it said so. Errors are logged. */
int server_run(const struct server_config *config);

#endif
