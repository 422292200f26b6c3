/* sigio: descriptors that notify by a signal when they become ready (fcntl(2), O_ASYNC and
 * F_SETSIG). The signals are blocked, and read from a descriptor that poll(2) can see
 * (signalfd(2)), many at a time: nothing is interrupted.
 *
 * This is how thousands of idle connections cost nothing: they need not be looked at. The
 * kernel sends a real-time signal with the descriptor's number to the thread that armed it.
 * A number is a hint: the descriptor may have been closed or used up meanwhile.
 *
 * An armed descriptor notifies at an edge: when bytes, an end or an error arrive, each
 * time, but not because something is left that came before. Of room for more bytes it
 * notifies only if there was none when somebody asked: when send(2) failed with EAGAIN, or
 * poll(2) looked for POLLOUT. Unix sockets do not notify of room at all.
 *
 * A thread arms and takes for itself only. */
#ifndef ECHOLAB_SIGIO_H
#define ECHOLAB_SIGIO_H

#include <stdbool.h>
#include <stddef.h>

/* Numbers that are no descriptors. */
#define SIGIO_OVERFLOW                                                                     \
    (-1)                /* the kernel's queue of signals was full (RLIMIT_SIGPENDING):     \
                           look at all that are armed */
#define SIGIO_NONE (-2) /* none notified */

/* Descriptors that sigio_open() opens. */
#define SIGIO_FDS 1

/* The most numbers that one sigio_take() returns. */
#define SIGIO_BATCH 32

/* Block the signals in the calling thread and open the descriptor that has them:
 * non-blocking, readable for poll(2) while there is something to take. Returns -1 with
 * errno set when there are no descriptors (EMFILE, ENFILE) or no memory. */
int sigio_open(void);

/* From now on `fd`, a non-blocking one, notifies the calling thread when it becomes ready.
 * If it is ready already it does not: poll it once afterwards. Returns false with errno set
 * where that cannot be had. */
bool sigio_arm(int fd);

/* From now on `fd` does not notify; sigio_take() may still return what it sent before. */
void sigio_disarm(int fd);

/* Take numbers of descriptors that notified the calling thread, oldest first, each as often
 * as it did. Returns how many; fewer than SIGIO_BATCH: there are no more now. */
size_t sigio_take(int sigio_fd, int numbers[SIGIO_BATCH]);

/* Sleep until a descriptor notifies the calling thread, at most `timeout_ms`; -1: for ever.
 * Returns its number, or SIGIO_NONE when the time has passed. Another signal may end it
 * earlier, but need not (the C library goes on). It is like poll(2) on sigio_open()'s
 * descriptor, followed by sigio_take() of one. But it wakes this thread alone, while a
 * signalfd wakes all threads of the process that poll one. */
int sigio_wait(int timeout_ms);

/* Close the descriptor. The signals stay blocked, since some may be on their way. */
void sigio_close(int sigio_fd);

#endif
