/* sigio: descriptors that tell when they become ready, by a signal (fcntl(2), O_ASYNC and
 * F_SETSIG), and the signal by a pipe that poll(2) can see.
 *
 * This is how thousands of idle connections cost nothing: they need not be looked at. The
 * kernel sends a real-time signal with the descriptor's number to the thread that armed it,
 * the handler writes that number to the thread's pipe, and the loop reads it there. A
 * number is a hint: the descriptor may have been closed or used up meanwhile, so ask
 * poll().
 *
 * One pipe per thread; a thread uses only what it opened and armed itself. */
#ifndef ECHOLAB_SIGIO_H
#define ECHOLAB_SIGIO_H

#include <stdbool.h>

/* What sigio_take() returns besides a descriptor. */
#define SIGIO_NONE     (-1) /* no more now */
#define SIGIO_OVERFLOW (-2) /* some were lost: look at all that are armed */

/* Descriptors that sigio_open() opens. */
#define SIGIO_FDS 2

/* Open the calling thread's pipe and catch the signal. Returns the end to poll for POLLIN;
 * -1 with errno set when there are no descriptors. */
int sigio_open(void);

/* From now on `fd`, a non-blocking one, tells. What was ready before does not: poll it once
 * afterwards. Returns false with errno set where that cannot be had. */
bool sigio_arm(int fd);

/* From now on it does not; numbers on their way still come. */
void sigio_disarm(int fd);

/* The next descriptor that told, or one of the two above. */
int sigio_take(void);

/* Close the calling thread's pipe. */
void sigio_close(void);

#endif
