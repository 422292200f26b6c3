/* activation: a listening socket that the service manager opened and passed on, by the
 * protocol of sd_listen_fds(3): it is descriptor 3, LISTEN_FDS is the number of sockets
 * passed, and LISTEN_PID says for which process they are. systemd and podman do so. The
 * socket stays open while the server is restarted, so that no connection is refused. */
#ifndef ECHOLAB_ACTIVATION_H
#define ECHOLAB_ACTIVATION_H

#include <stdbool.h>

#include "io/net.h"

/* Find the socket that was passed to this process: `*fd` becomes its descriptor, with
 * FD_CLOEXEC and O_NONBLOCK set, or -1 when none was passed. Returns false, with `error`
 * filled, when what was passed is not one listening TCP socket. */
bool activation_listener(int *fd, char error[NET_ERROR_TEXT]);

#endif
