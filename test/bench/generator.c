/* generator: the bare load for the benchmarks: as little work per message as possible, no
 * checking of bytes, so that the server and not this program is the limit. It uses epoll.
 *
 *     generator PORT pingpong ACTIVE IDLE SIZE SECONDS    a message, its echo, the next
 *     generator PORT cycles ACTIVE 0 SIZE SECONDS         a connection for each message
 *     generator PORT cold ACTIVE IDLE SIZE PROBES         ACTIVE ping-pong flat out, and one
 *                                                         message each to PROBES connections
 *                                                         that were idle for 10 s
 *     generator PORT hold 0 IDLE SIZE SECONDS             only hold connections
 *
 * Prints one line of key=value pairs: messages per second, MB per second, latencies in us. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define SAMPLES_MAX 20000000
#define COLD_NS     (10 * CLOCK_S)

struct connection {
    int fd;
    bool is_probe;
    size_t to_send, to_receive; /* of the present message */
    uint64_t start_ns;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static struct connection *connections; /* the active ones first */
static size_t active, idle, size;
static bool is_cycling;
static int epoll;
static char *payload, *sink;
static uint32_t *samples;
static size_t sample_count, message_count;
static uint64_t probe_worst_ns, probe_sum_ns;
static size_t probes_done;

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

/* The source addresses go round, so that the ports of one are not the limit of cycles: an
 * ended connection keeps its pair of ports for a minute. */
static int open_socket(int flags)
{
    const int on = 1;
    static uint32_t round;
    struct sockaddr_in source = {.sin_family = AF_INET,
                                 .sin_addr.s_addr = htonl(0x7f000101 + round++ % 200)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (fd == -1) {
        die("socket");
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&source, sizeof source) == -1) {
        die("bind");
    }
    while (connect(fd, (struct sockaddr *)&server, sizeof server) == -1) {
        if (errno == EINPROGRESS) {
            break;
        }
        if (errno != EINTR && errno != EAGAIN) {
            die("connect");
        }
    }
    return fd;
}

/* The server may have been started a moment ago. */
static void wait_for_server(void)
{
    for (int tries = 0; tries < 1000; tries++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int result = connect(fd, (struct sockaddr *)&server, sizeof server);

        close(fd);
        if (result == 0) {
            return;
        }
        usleep(10000);
    }
    die("connect");
}

static void register_fd(struct connection *c, uint32_t events, int operation)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    if (epoll_ctl(epoll, operation, c->fd, &event) == -1) {
        die("epoll_ctl");
    }
}

static void send_more(struct connection *c)
{
    while (c->to_send > 0) {
        ssize_t n = send(c->fd, payload + size - c->to_send, c->to_send,
                         MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
            register_fd(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
            return;
        }
        if (n == -1) {
            die("send");
        }
        c->to_send -= (size_t)n;
    }
}

static void begin_message(struct connection *c)
{
    c->to_send = c->to_receive = size;
    c->start_ns = clock_now_ns();
    send_more(c);
}

static void finish_message(struct connection *c)
{
    uint64_t took = clock_now_ns() - c->start_ns;

    if (c->is_probe) {
        probe_worst_ns = took > probe_worst_ns ? took : probe_worst_ns;
        probe_sum_ns += took;
        probes_done++;
        return;
    }
    message_count++;
    if (sample_count < SAMPLES_MAX) {
        samples[sample_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    }
    if (is_cycling) {
        close(c->fd);
        uint64_t start = clock_now_ns();
        c->fd = open_socket(SOCK_NONBLOCK);
        register_fd(c, EPOLLOUT, EPOLL_CTL_ADD); /* connected: the message goes out */
        c->to_send = c->to_receive = size;
        c->start_ns = start;
    } else {
        begin_message(c);
    }
}

static void serve(struct connection *c, uint32_t events)
{
    if ((events & EPOLLOUT) != 0) {
        send_more(c);
        if (c->to_send == 0) {
            register_fd(c, EPOLLIN, EPOLL_CTL_MOD);
        }
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    ssize_t n = recv(c->fd, sink, size < 1 << 18 ? size : 1 << 18, MSG_DONTWAIT);
    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        die("recv");
    }
    c->to_receive -= (size_t)n;
    if (c->to_receive == 0) {
        finish_message(c);
    }
}

static void run_until(uint64_t end)
{
    struct epoll_event events[256];

    for (uint64_t now = clock_now_ns(); now < end; now = clock_now_ns()) {
        int n = epoll_wait(epoll, events, 256, (int)((end - now) / CLOCK_MS) + 1);

        for (int i = 0; i < n; i++) {
            serve(events[i].data.ptr, events[i].events);
        }
    }
}

/* One byte there and back: now the server has surely accepted it. */
static void open_idle(struct connection *c)
{
    char byte = 'x';

    c->fd = open_socket(0);
    if (send(c->fd, &byte, 1, 0) != 1 || recv(c->fd, &byte, 1, 0) != 1) {
        die("idle connection");
    }
}

static void probe_cold(size_t probes)
{
    struct connection *cold = connections + active;

    run_until(clock_now_ns() + COLD_NS);
    for (size_t i = 0; i < probes; i++) {
        struct connection *c = &cold[i * (idle / probes)];

        c->is_probe = true;
        register_fd(c, EPOLLIN, EPOLL_CTL_ADD);
        begin_message(c);
        run_until(clock_now_ns() + 20 * CLOCK_MS + i % 7 * CLOCK_MS);
    }
    run_until(clock_now_ns() + CLOCK_S);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static double percentile_us(double share)
{
    return sample_count == 0 ? 0 : samples[(size_t)(share * (double)(sample_count - 1))] / 1e3;
}

int main(int argc, char *argv[])
{
    struct rlimit limit;

    if (argc != 7) {
        fprintf(stderr, "usage: generator PORT MODE ACTIVE IDLE SIZE SECONDS|PROBES\n");
        return 2;
    }
    const char *mode = argv[2];
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    active = (size_t)atol(argv[3]);
    idle = (size_t)atol(argv[4]);
    size = (size_t)atol(argv[5]);
    is_cycling = strcmp(mode, "cycles") == 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(active + idle, sizeof *connections);
    payload = malloc(size + 1);
    sink = malloc((1 << 18) + 1);
    samples = malloc(SAMPLES_MAX * sizeof *samples);
    memset(payload, 'x', size);
    wait_for_server();
    for (size_t i = active; i < active + idle; i++) {
        open_idle(&connections[i]);
    }
    if (strcmp(mode, "hold") == 0) {
        printf("held=%zu\n", idle);
        fflush(stdout);
        sleep((unsigned)atoi(argv[6]));
        return 0;
    }
    for (size_t i = 0; i < active; i++) {
        connections[i].fd = open_socket(0);
        register_fd(&connections[i], EPOLLIN, EPOLL_CTL_ADD);
        begin_message(&connections[i]);
    }
    run_until(clock_now_ns() + 300 * CLOCK_MS); /* warm-up */
    sample_count = message_count = 0;
    uint64_t start = clock_now_ns();
    if (strcmp(mode, "cold") == 0) {
        probe_cold((size_t)atol(argv[6]));
    } else {
        run_until(start + (uint64_t)(atof(argv[6]) * 1e9));
    }
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    qsort(samples, sample_count, sizeof *samples, by_value);
    printf("messages_per_s=%.0f mb_per_s=%.1f p50_us=%.1f p99_us=%.1f max_us=%.1f",
           (double)message_count / seconds, (double)message_count * (double)size / seconds / 1e6,
           percentile_us(0.5), percentile_us(0.99), percentile_us(1));
    if (probes_done > 0) {
        printf(" probes=%zu probe_worst_us=%.1f probe_mean_us=%.1f", probes_done,
               (double)probe_worst_ns / 1e3, (double)probe_sum_ns / 1e3 / (double)probes_done);
    }
    printf("\n");
    return 0;
}
