/* thread: threads that no signal is delivered to: those are for the thread that polls the
 * self-pipe. SIGSYS is the exception, for it comes from the thread's own doing (seccomp.h).
 */
#ifndef ECHOLAB_THREAD_H
#define ECHOLAB_THREAD_H

#include <pthread.h>

/* Start `run(argument)` in a thread of its own. With `thread` NULL it is detached,
 * otherwise it is to be joined. Returns 0 or an errno (pthread_create(3)). */
int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* What an errno of thread_start() means, for a log: with EAGAIN the limits that may be the
 * reason. */
const char *thread_error_text(int error);

#endif
