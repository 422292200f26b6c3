/* fdwait: waits for one descriptor, outside any poll set. */
#ifndef ECHOLAB_FDWAIT_H
#define ECHOLAB_FDWAIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Wait until `fd` has one of `events`, `deadline_ns` passes, or `stop_fd` (-1: none)
 * becomes readable. Returns the revents of fd; 0: the deadline has passed; -1: stop_fd is
 * readable. */
int fdwait(int fd, short events, uint64_t deadline_ns, int stop_fd);

/* write(2) until all of `text` is written, however long that takes. The descriptor may be
 * non-blocking, since another process may have made it so. Returns false with errno set on
 * failure: a full disk must not look like success. */
bool fdwait_write_all(int fd, const char *text, size_t length);

#endif
