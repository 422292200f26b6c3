/* A TCP echo server on a plain epoll loop, as epoll(7) and every tutorial after it have it:
 * one thread, level triggered, one shared buffer; what is read is sent at once, and what
 * send() did not take is kept with its connection until the socket is writable. No
 * timeouts, no limits, no log: what the kernel's interface costs, and nothing else.
 * epoll_echo PORT */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 256

struct connection {
    int fd;
    char *pending; /* what send() did not take; NULL: nothing */
    size_t pending_bytes, pending_sent;
};

static int epoll;
static char buffer[256 * 1024];

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int operation, struct connection *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(epoll, operation, c->fd, &event) == -1) {
        die("epoll_ctl");
    }
}

static void end(struct connection *c)
{
    close(c->fd); /* epoll forgets it */
    free(c->pending);
    free(c);
}

/* Returns how many bytes the socket took, or -1: the connection is broken. */
static ssize_t send_some(int fd, const char *bytes, size_t count)
{
    ssize_t n = send(fd, bytes, count, MSG_NOSIGNAL);

    return n == -1 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

/* Keep what was not sent; nothing more is read until it is gone. */
static bool keep(struct connection *c, const char *bytes, size_t count)
{
    c->pending = malloc(count);
    if (c->pending == NULL) {
        return false;
    }
    memcpy(c->pending, bytes, count);
    c->pending_bytes = count;
    c->pending_sent = 0;
    watch(EPOLL_CTL_MOD, c, EPOLLOUT);
    return true;
}

static void on_readable(struct connection *c)
{
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        end(c);
        return;
    }
    ssize_t sent = send_some(c->fd, buffer, (size_t)n);
    if (sent == -1 || (sent < n && !keep(c, buffer + sent, (size_t)(n - sent)))) {
        end(c);
    }
}

static void on_writable(struct connection *c)
{
    ssize_t sent =
        send_some(c->fd, c->pending + c->pending_sent, c->pending_bytes - c->pending_sent);

    if (sent == -1) {
        end(c);
        return;
    }
    c->pending_sent += (size_t)sent;
    if (c->pending_sent == c->pending_bytes) {
        free(c->pending);
        c->pending = NULL;
        watch(EPOLL_CTL_MOD, c, EPOLLIN);
    }
}

/* All that wait. Where descriptors ran out they go on waiting, and epoll_wait() goes on
 * telling: a benchmark stays below the limit. */
static void on_connection(int listener)
{
    const int on = 1;
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
        struct connection *c = calloc(1, sizeof *c);

        if (c == NULL) {
            die("calloc");
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        c->fd = fd;
        watch(EPOLL_CTL_ADD, c, EPOLLIN);
    }
}

static void serve(struct connection *c, uint32_t events)
{
    if (c->pending == NULL) {
        on_readable(c); /* or an error, or the peer's end: recv() tells */
    } else if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        on_writable(c);
    }
}

static int open_listener(in_port_t port)
{
    const int on = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        die("socket");
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == -1 ||
        listen(fd, 511) == -1) {
        die("listen");
    }
    return fd;
}

/* As many descriptors as may be. */
static void raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char *argv[])
{
    struct epoll_event events[EVENTS_MAX];
    struct connection listener = {.fd = -1};

    if (argc != 2) {
        fprintf(stderr, "usage: epoll_echo PORT\n");
        return 2;
    }
    raise_limit();
    listener.fd = open_listener((in_port_t)atoi(argv[1]));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll == -1) {
        die("epoll_create1");
    }
    watch(EPOLL_CTL_ADD, &listener, EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);

        if (n == -1 && errno != EINTR) {
            die("epoll_wait");
        }
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (c == &listener) {
                on_connection(listener.fd);
            } else {
                serve(c, events[i].events);
            }
        }
    }
}
