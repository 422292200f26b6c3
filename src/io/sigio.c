#include "io/sigio.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static sigset_t our_signals(void)
{
    sigset_t ours;

    sigemptyset(&ours);
    sigaddset(&ours, SIGRTMIN);
    sigaddset(&ours, SIGIO);
    return ours;
}

/* Where the queue is full the kernel sends a plain SIGIO without a number. */
static int number_of(int signal, int fd)
{
    return signal == SIGIO ? SIGIO_OVERFLOW : fd;
}

int sigio_open(void)
{
    sigset_t ours = our_signals();

    pthread_sigmask(SIG_BLOCK, &ours, NULL);
    return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
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

size_t sigio_take(int sigio_fd, int numbers[SIGIO_BATCH])
{
    struct signalfd_siginfo taken[SIGIO_BATCH];
    ssize_t length = read(sigio_fd, taken, sizeof taken);
    size_t count = length > 0 ? (size_t)length / sizeof taken[0] : 0;

    for (size_t i = 0; i < count; i++) {
        numbers[i] = number_of((int)taken[i].ssi_signo, taken[i].ssi_fd);
    }
    return count;
}

int sigio_wait(int timeout_ms)
{
    const sigset_t ours = our_signals();
    const struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    siginfo_t info;
    int signal = sigtimedwait(&ours, &info, timeout_ms < 0 ? NULL : &timeout);

    return signal == -1 ? SIGIO_NONE : number_of(signal, info.si_fd);
}

void sigio_close(int sigio_fd)
{
    close(sigio_fd);
}
