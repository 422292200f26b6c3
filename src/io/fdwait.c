#include "io/fdwait.h"

#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

int fdwait(int fd, short events, uint64_t deadline_ns, int stop_fd)
{
    struct pollfd pfds[2] = {{.fd = fd, .events = events},
                             {.fd = stop_fd, .events = POLLIN}};

    for (;;) {
        uint64_t now = clock_now_ns();
        uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
        struct timespec left = {.tv_sec = (time_t)(left_ns / CLOCK_S),
                                .tv_nsec = (long)(left_ns % CLOCK_S)};

        if (ppoll(pfds, 2, &left, NULL) > 0) {
            return pfds[1].revents != 0 ? -1 : pfds[0].revents;
        }
        if (left_ns == 0) {
            return 0;
        }
    }
}

bool fdwait_write_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, text, length);

        if (n == -1 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        } else if (n == -1 && errno != EINTR) {
            return false;
        }
        text += n > 0 ? n : 0;
        length -= n > 0 ? (size_t)n : 0;
    }
    return true;
}
