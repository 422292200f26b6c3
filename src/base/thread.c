#include "base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    pthread_t detached;
    sigset_t others, before;

    pthread_attr_init(&attributes);
    if (thread == NULL) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    }
    sigfillset(&others);
    sigdelset(&others, SIGSYS);
    pthread_sigmask(SIG_SETMASK, &others, &before);
    int error =
        pthread_create(thread != NULL ? thread : &detached, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

const char *thread_error_text(int error)
{
    if (error != EAGAIN) {
        return strerror(error);
    }
    return "Resource temporarily unavailable; the limit of tasks (pids cgroup or "
           "RLIMIT_NPROC) or of memory (RLIMIT_AS) allows no further thread";
}
