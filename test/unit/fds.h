/* fds: the test process's own descriptors. */
#ifndef ECHOLAB_FDS_H
#define ECHOLAB_FDS_H

#include <stdbool.h>

/* The number of open descriptors below FDS_MAX. */
#define FDS_MAX 512
int fds_open(void);

/* While on, no new descriptor can be made: EMFILE. */
void fds_exhaust(bool is_on);

/* Is the descriptor close-on-exec and non-blocking? */
bool fds_is_careful(int fd);

/* Wait for `events`, `timeout_ms` at most. Returns the revents of poll(2), 0 for none. */
short fds_poll(int fd, short events, int timeout_ms);

#endif
