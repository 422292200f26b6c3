/* await: wait for one descriptor, but no longer than to a deadline, and for a signal. */
#ifndef ECHOLAB_AWAIT_H
#define ECHOLAB_AWAIT_H

#include <stdint.h>

/* Wait until `fd` has one of `events`, `deadline_ns` passes, or `stop_fd` (-1: none)
 * becomes readable. Returns the revents of fd; 0 at the deadline; -1 for stop_fd. */
int await_fd(int fd, short events, uint64_t deadline_ns, int stop_fd);

#endif
