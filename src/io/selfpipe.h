/* selfpipe: signals become bytes on a pipe, which poll(2) can see.
 *
 * The handler does one thing that is safe in a handler (signal-safety(7)): it writes the
 * signal's number to a non-blocking pipe. Everything else happens in the main loop, at a
 * point where all data is consistent, and no signal is lost between a check and poll().
 *
 * What the parent process left behind does not count: a signal that it had blocked (that
 * survives exec(2)) is unblocked, one that it had ignored is caught. SIGHUP is the
 * exception: one that is ignored stays ignored, for that is what nohup(1) is for.
 *
 * There is one self-pipe per process: a handler has no argument that could name another. */
#ifndef ECHOLAB_SELFPIPE_H
#define ECHOLAB_SELFPIPE_H

#include <stddef.h>

/* Descriptors that selfpipe_open() opens. */
#define SELFPIPE_FDS 2

/* Create the pipe, catch and unblock the `count` given signals, and ignore SIGPIPE: a peer
 * that is gone is an errno here, not a death. Returns the end to poll for POLLIN, or -1
 * with errno set (pipe2(2), sigaction(2)); then the signals have their default action. Call
 * it in the thread that polls, before there are others. */
int selfpipe_open(const int *signals, size_t count);

/* Take the next signal: its number, or 0 when none waits. Never blocks. */
int selfpipe_take(void);

/* "SIGTERM" and the like, of those that end a program; "signal" for others. */
const char *selfpipe_name(int number);

/* Close the pipe. The signals are ignored from here on: the program ends now and its exit
 * code is decided, which a second SIGTERM must not turn into a death by signal. */
void selfpipe_close(void);

#endif
