#include "fds.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

int fds_open(void)
{
    int count = 0;

    for (int fd = 0; fd < FDS_MAX; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

void fds_exhaust(bool is_on)
{
    static struct rlimit before;
    struct rlimit none;

    if (is_on) {
        getrlimit(RLIMIT_NOFILE, &before);
        none = before;
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
    } else {
        setrlimit(RLIMIT_NOFILE, &before);
    }
}

bool fds_is_careful(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

short fds_poll(int fd, short events, int timeout_ms)
{
    struct pollfd pfd = {.fd = fd, .events = events};

    return poll(&pfd, 1, timeout_ms) == 1 ? pfd.revents : 0;
}
