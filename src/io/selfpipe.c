#include "io/selfpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <unistd.h>

/* Read by the handler, so they are here and not in a struct of somebody's. */
static int read_end = -1;
static int write_end = -1;
static sigset_t caught;

static void on_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;

    /* A full pipe loses this byte, but then 65,536 signals already wait. */
    while (write(write_end, &byte, 1) == -1 && errno == EINTR) {
    }
    errno = saved;
}

/* Close the pipe, and let the signals caught so far have another action. */
static void release(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    int saved = errno;

    for (int number = 1; number < NSIG; number++) {
        if (sigismember(&caught, number) == 1) {
            sigaction(number, &action, NULL);
        }
    }
    sigemptyset(&caught);
    close(read_end);
    close(write_end);
    read_end = write_end = -1;
    errno = saved;
}

/* Started by nohup(1), or by a shell that does the same? */
static bool must_stay_ignored(int number)
{
    struct sigaction present;

    return number == SIGHUP && sigaction(number, NULL, &present) == 0 &&
           present.sa_handler == SIG_IGN;
}

int selfpipe_open(const int *signals, size_t count)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) {
        return -1;
    }
    read_end = ends[0];
    write_end = ends[1];
    sigemptyset(&caught);
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < count; i++) {
        if (must_stay_ignored(signals[i])) {
            continue;
        }
        if (sigaction(signals[i], &action, NULL) == -1) {
            release(SIG_DFL);
            return -1;
        }
        sigaddset(&caught, signals[i]);
    }
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &caught, NULL); /* what waited already comes now */
    return read_end;
}

int selfpipe_take(void)
{
    unsigned char byte;
    ssize_t n;

    do {
        n = read(read_end, &byte, 1);
    } while (n == -1 && errno == EINTR);
    return n == 1 ? byte : 0;
}

const char *selfpipe_name(int number)
{
    switch (number) {
    case SIGTERM:
        return "SIGTERM";
    case SIGINT:
        return "SIGINT";
    case SIGHUP:
        return "SIGHUP";
    default:
        return "signal";
    }
}

void selfpipe_close(void)
{
    release(SIG_IGN);
}
