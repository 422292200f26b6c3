#include "io/activation.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/format.h"

/* SD_LISTEN_FDS_START. */
#define FIRST_FD 3

static bool is_listening_tcp(int fd)
{
    int protocol, is_listener;
    socklen_t length = sizeof protocol;

    return getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listener, &length) == 0 &&
           protocol == IPPROTO_TCP && is_listener == 1;
}

bool activation_listener(int *fd, char error[NET_ERROR_TEXT])
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    char own_pid[16], shown[24];

    *fd = -1;
    format(own_pid, sizeof own_pid, "%d", getpid());
    if (pid == NULL || count == NULL || strcmp(pid, own_pid) != 0) {
        return true; /* none, or for another process */
    }
    if (strcmp(count, "1") != 0 || !is_listening_tcp(FIRST_FD)) {
        format(error, NET_ERROR_TEXT,
               "LISTEN_FDS=%s: descriptor 3 is taken as listener; allowed: 1, a listening "
               "TCP socket",
               escape_bytes(shown, sizeof shown, count, strlen(count)));
        return false;
    }
    fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
    fcntl(FIRST_FD, F_SETFL, O_NONBLOCK);
    *fd = FIRST_FD;
    return true;
}
