#include "sigio.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* The handler runs in the thread that armed the descriptor (F_OWNER_TID), so it finds that
 * thread's pipe here. */
static _Thread_local int read_end = -1;
static _Thread_local int write_end = -1;
static _Thread_local volatile sig_atomic_t is_overflown;

static void on_ready(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    /* A full queue of signals makes the kernel send a plain SIGIO without a number. */
    int fd = number == SIGIO ? SIGIO_OVERFLOW : info->si_fd;

    (void)context;
    if (write(write_end, &fd, sizeof fd) == -1) {
        is_overflown = 1;
    }
    errno = saved;
}

int sigio_open(void)
{
    struct sigaction action = {.sa_sigaction = on_ready,
                               .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t ours;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) {
        return -1;
    }
    read_end = ends[0];
    write_end = ends[1];
    sigfillset(&action.sa_mask);
    sigaction(SIGRTMIN, &action, NULL);
    sigaction(SIGIO, &action, NULL);
    sigemptyset(&ours);
    sigaddset(&ours, SIGRTMIN);
    sigaddset(&ours, SIGIO);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    return read_end;
}

bool sigio_arm(int fd)
{
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = gettid()};

    return fcntl(fd, F_SETOWN_EX, &owner) != -1 && fcntl(fd, F_SETSIG, SIGRTMIN) != -1 &&
           fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC) != -1;
}

void sigio_disarm(int fd)
{
    fcntl(fd, F_SETFL, O_NONBLOCK);
}

int sigio_take(void)
{
    int fd;

    if (is_overflown) {
        is_overflown = 0;
        return SIGIO_OVERFLOW;
    }
    return read(read_end, &fd, sizeof fd) == (ssize_t)sizeof fd ? fd : SIGIO_NONE;
}

void sigio_close(void)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGRTMIN);
    sigaddset(&ours, SIGIO);
    pthread_sigmask(SIG_BLOCK, &ours, NULL); /* some may still be on their way */
    close(read_end);
    close(write_end);
    read_end = write_end = -1;
}
