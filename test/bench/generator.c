/* generator: the bare load for the benchmarks: as little work per message as possible, no
 * checking of bytes, so that the server and not this program is the limit. It uses epoll.
 *
 *     generator PORT pingpong ACTIVE IDLE SIZE SECONDS    a message, its echo, the next
 *     generator PORT cycles ACTIVE 0 SIZE SECONDS         a connection for each message
 *     generator PORT cold ACTIVE IDLE SIZE PROBES         ACTIVE ping-pong flat out, and
 * one message each to PROBES connections that were idle for 10 s generator PORT burst 0
 * IDLE SIZE BURSTS             all send a message at once, after a rest, so many times
 *     generator PORT mixed ACTIVE IDLE SIZE SECONDS       ACTIVE ping-pong with small
 * messages, 10 with SIZE bytes, and each of the IDLE has a small one once a second
 *     generator PORT hold 0 IDLE SIZE SECONDS             only hold connections
 *
 * A seventh argument is the server's process, of which the CPU time is taken, too: of all
 * its threads, and exactly over the time that is measured.
 *
 * Prints one line of key=value pairs: messages per second, MB per second, latencies in us,
 * the server's CPU per message in us, the share of a core that this program itself took. */
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

#include "base/clock.h"

#define SAMPLES_MAX 20000000
#define COLD_NS     (10 * CLOCK_S)
#define REST_NS     (300 * CLOCK_MS) /* before a burst: the server's connections are cold */
#define BURST_NS    (20 * CLOCK_S)   /* a burst that takes longer is given up */
#define BULK_COUNT  10
#define SMALL       64

/* What a connection does. */
enum kind {
    ACTIVE, /* a message, its echo, the next */
    SPARSE, /* a message when the schedule or the burst says so */
    BULK,   /* as ACTIVE, but with large messages beside small ones */
    PROBE,  /* one message after a long time */
    KINDS
};

struct connection {
    int fd;
    enum kind kind;
    size_t size;                /* of its messages */
    size_t to_send, to_receive; /* of the present message */
    uint64_t start_ns;
};

struct samples {
    uint32_t *ns;
    size_t count;
};

static struct sockaddr_in server = {.sin_family = AF_INET};
static struct connection *connections; /* the active ones, the idle ones, the bulk */
static size_t active, idle, size;
static bool is_cycling;
static int epoll;
static char *payload, *sink;
static struct samples samples[KINDS];
static size_t open_echoes; /* SPARSE: messages that are under way */
static uint64_t sparse_next_ns, sparse_interval_ns; /* 0: no schedule */
static size_t sparse_cursor, sparse_skipped;
static clockid_t server_clock;
static bool has_server_clock;

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
        ssize_t n = send(c->fd, payload + c->size - c->to_send, c->to_send,
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
    c->to_send = c->to_receive = c->size;
    c->start_ns = clock_now_ns();
    open_echoes += c->kind == SPARSE ? 1 : 0;
    send_more(c);
}

/* The connection is done: another takes its place, and a message goes out on it as soon as
 * it is connected. */
static void cycle(struct connection *c)
{
    close(c->fd);
    c->start_ns = clock_now_ns();
    c->fd = open_socket(SOCK_NONBLOCK);
    register_fd(c, EPOLLOUT, EPOLL_CTL_ADD);
    c->to_send = c->to_receive = c->size;
}

static void finish_message(struct connection *c)
{
    uint64_t took = clock_now_ns() - c->start_ns;
    struct samples *s = &samples[c->kind];

    if (s->count == SAMPLES_MAX) {
        fprintf(stderr, "generator: too many messages\n");
        exit(1);
    }
    s->ns[s->count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    if (c->kind == SPARSE) {
        open_echoes--;
    } else if (is_cycling) {
        cycle(c);
    } else if (c->kind != PROBE) {
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
    ssize_t n = recv(c->fd, sink, c->size < 1 << 18 ? c->size : 1 << 18, MSG_DONTWAIT);
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

/* Send what is due; a connection whose last echo is not back is left out. */
static void send_due(uint64_t now)
{
    while (sparse_interval_ns != 0 && sparse_next_ns <= now) {
        struct connection *c = &connections[active + sparse_cursor];

        sparse_cursor = sparse_cursor + 1 < idle ? sparse_cursor + 1 : 0;
        sparse_next_ns += sparse_interval_ns;
        if (c->to_receive == 0) {
            begin_message(c);
        } else {
            sparse_skipped++;
        }
    }
}

/* With a schedule it never sleeps longer than a millisecond, and is flat out anyway. */
static int wait_ms(uint64_t now, uint64_t end)
{
    return sparse_interval_ns != 0 ? 1 : (int)((end - now) / CLOCK_MS) + 1;
}

/* Serve what is ready until the time, or until no echo of a burst is missing. */
static void run(uint64_t end, bool is_burst)
{
    struct epoll_event events[256];

    for (uint64_t now = clock_now_ns(); now < end && (!is_burst || open_echoes > 0);
         now = clock_now_ns()) {
        int n = epoll_wait(epoll, events, 256, wait_ms(now, end));

        for (int i = 0; i < n; i++) {
            serve(events[i].data.ptr, events[i].events);
            if (sparse_interval_ns != 0) {
                send_due(clock_now_ns());
            }
        }
        send_due(now);
    }
}

static void run_until(uint64_t end)
{
    run(end, false);
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

static void open_all_idle(void)
{
    for (size_t i = active; i < active + idle; i++) {
        open_idle(&connections[i]);
    }
}

/* From here on the connection is served. */
static void enrol(struct connection *c, enum kind kind, size_t message_size)
{
    c->kind = kind;
    c->size = message_size;
    register_fd(c, EPOLLIN, EPOLL_CTL_ADD);
}

static void begin_all(size_t first, size_t count, enum kind kind, size_t message_size)
{
    for (size_t i = first; i < first + count; i++) {
        connections[i].fd = open_socket(0);
        enrol(&connections[i], kind, message_size);
        begin_message(&connections[i]);
    }
}

/* ---- the server's CPU and ours ----------------------------------------------------- */

struct usage {
    uint64_t at_ns, server_ns, own_ns;
};

static uint64_t cpu_ns(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) == -1) {
        die("the server's CPU time");
    }
    return (uint64_t)t.tv_sec * CLOCK_S + (uint64_t)t.tv_nsec;
}

static struct usage usage_now(void)
{
    return (struct usage){
        .at_ns = clock_now_ns(),
        .server_ns = has_server_clock ? cpu_ns(server_clock) : 0,
        .own_ns = cpu_ns(CLOCK_PROCESS_CPUTIME_ID),
    };
}

static void print_usage(const struct usage *from, const struct usage *to, size_t messages)
{
    double ns = (double)(to->at_ns - from->at_ns);

    if (has_server_clock && messages > 0) {
        printf(" server_cpu_us=%.4f server_busy=%.4f",
               (double)(to->server_ns - from->server_ns) / 1e3 / (double)messages,
               (double)(to->server_ns - from->server_ns) / ns);
    }
    printf(" client_busy=%.4f\n", (double)(to->own_ns - from->own_ns) / ns);
}

/* ---- latencies --------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static void sort(const struct samples *s)
{
    qsort(s->ns, s->count, sizeof *s->ns, by_value);
}

/* Of sorted samples. */
static double percentile_us(const struct samples *s, double share)
{
    return s->count == 0 ? 0 : s->ns[(size_t)(share * (double)(s->count - 1))] / 1e3;
}

static double mean_us(const struct samples *s)
{
    double sum = 0;

    for (size_t i = 0; i < s->count; i++) {
        sum += s->ns[i] / 1e3;
    }
    return s->count == 0 ? 0 : sum / (double)s->count;
}

static void forget_samples(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        samples[kind].count = 0;
    }
}

/* ---- the modes --------------------------------------------------------------------- */

static void hold(const char *seconds)
{
    open_all_idle();
    printf("held=%zu\n", idle);
    fflush(stdout);
    sleep((unsigned)atoi(seconds));
}

static void probe_cold(size_t probes)
{
    struct connection *cold = connections + active;

    run_until(clock_now_ns() + COLD_NS);
    for (size_t i = 0; i < probes; i++) {
        struct connection *c = &cold[i * (idle / probes)];

        enrol(c, PROBE, size);
        begin_message(c);
        run_until(clock_now_ns() + 20 * CLOCK_MS + i % 7 * CLOCK_MS);
    }
    run_until(clock_now_ns() + CLOCK_S);
}

/* Ping-pong, cycles, and probes of cold connections beside it. */
static void flat_out(const char *mode, const char *argument)
{
    open_all_idle();
    begin_all(0, active, ACTIVE, size);
    run_until(clock_now_ns() + 300 * CLOCK_MS); /* warm-up */
    forget_samples();
    struct usage from = usage_now();
    if (strcmp(mode, "cold") == 0) {
        probe_cold((size_t)atol(argument));
    } else {
        run_until(from.at_ns + (uint64_t)(atof(argument) * 1e9));
    }
    struct usage to = usage_now();
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    const struct samples *s = &samples[ACTIVE], *probes = &samples[PROBE];
    sort(s);
    sort(probes);
    printf("messages_per_s=%.0f mb_per_s=%.1f p50_us=%.1f p99_us=%.1f max_us=%.1f",
           (double)s->count / seconds, (double)s->count * (double)size / seconds / 1e6,
           percentile_us(s, 0.5), percentile_us(s, 0.99), percentile_us(s, 1));
    if (probes->count > 0) {
        printf(" probes=%zu probe_worst_us=%.1f probe_mean_us=%.1f", probes->count,
               percentile_us(probes, 1), mean_us(probes));
    }
    print_usage(&from, &to, s->count);
}

/* All idle ones send at once. Returns the time until the last echo; the usage grows by what
 * the burst took. */
static uint64_t burst(struct usage *sum)
{
    run_until(clock_now_ns() + REST_NS);
    struct usage from = usage_now();
    for (size_t i = active; i < active + idle; i++) {
        begin_message(&connections[i]);
    }
    run(from.at_ns + BURST_NS, true);
    if (open_echoes > 0) {
        fprintf(stderr, "generator: %zu echoes are missing\n", open_echoes);
        exit(1);
    }
    struct usage to = usage_now();
    sum->server_ns += to.server_ns - from.server_ns;
    sum->own_ns += to.own_ns - from.own_ns;
    sum->at_ns += to.at_ns - from.at_ns;
    return to.at_ns - from.at_ns;
}

static void bursts(size_t count)
{
    struct samples last = {calloc(count + 1, sizeof *last.ns), 0};
    const struct usage none = {0, 0, 0};
    struct usage sum = none; /* of the bursts, without the rest between them */

    open_all_idle();
    for (size_t i = active; i < active + idle; i++) {
        enrol(&connections[i], SPARSE, size);
    }
    while (last.count < count) {
        last.ns[last.count++] = (uint32_t)(burst(&sum) / CLOCK_US);
    }
    sort(&last);
    sort(&samples[SPARSE]);
    printf("last_us=%u last_worst_us=%u p50_us=%.1f", last.ns[(count - 1) / 2],
           last.ns[count - 1], percentile_us(&samples[SPARSE], 0.5));
    print_usage(&none, &sum, count * idle);
    free(last.ns);
}

static void mixed(const char *argument)
{
    open_all_idle();
    for (size_t i = active; i < active + idle; i++) {
        enrol(&connections[i], SPARSE, SMALL);
    }
    begin_all(0, active, ACTIVE, SMALL);
    begin_all(active + idle, BULK_COUNT, BULK, size);
    sparse_interval_ns = CLOCK_S / idle;
    sparse_next_ns = clock_now_ns();
    run_until(clock_now_ns() + 500 * CLOCK_MS); /* warm-up */
    forget_samples();
    sparse_skipped = 0;
    struct usage from = usage_now();
    run_until(from.at_ns + (uint64_t)(atof(argument) * 1e9));
    struct usage to = usage_now();
    double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
    size_t count = 0;
    for (int kind = 0; kind < KINDS; kind++) {
        sort(&samples[kind]);
        count += samples[kind].count;
    }
    printf("busy_per_s=%.0f busy_p99_us=%.1f sparse_per_s=%.0f sparse_p99_us=%.1f "
           "sparse_skipped=%zu bulk_mb_per_s=%.1f bulk_p99_us=%.1f",
           (double)samples[ACTIVE].count / seconds, percentile_us(&samples[ACTIVE], 0.99),
           (double)samples[SPARSE].count / seconds, percentile_us(&samples[SPARSE], 0.99),
           sparse_skipped, (double)samples[BULK].count * (double)size / seconds / 1e6,
           percentile_us(&samples[BULK], 0.99));
    print_usage(&from, &to, count);
}

static void raise_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void allocate(void)
{
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connections = calloc(active + idle + BULK_COUNT, sizeof *connections);
    payload = malloc(size < SMALL ? SMALL : size);
    sink = malloc(1 << 18);
    for (int kind = 0; kind < KINDS; kind++) { /* touched as far as they are used */
        samples[kind].ns = malloc(SAMPLES_MAX * sizeof *samples[kind].ns);
    }
    memset(payload, 'x', size < SMALL ? SMALL : size);
}

int main(int argc, char *argv[])
{
    if (argc != 7 && argc != 8) {
        fprintf(stderr, "usage: generator PORT MODE ACTIVE IDLE SIZE "
                        "SECONDS|PROBES|BURSTS [SERVER_PID]\n");
        return 2;
    }
    const char *mode = argv[2];
    server.sin_port = htons((uint16_t)atoi(argv[1]));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    active = (size_t)atol(argv[3]);
    idle = (size_t)atol(argv[4]);
    size = (size_t)atol(argv[5]);
    is_cycling = strcmp(mode, "cycles") == 0;
    has_server_clock = argc == 8;
    if (has_server_clock &&
        (errno = clock_getcpuclockid((pid_t)atol(argv[7]), &server_clock)) != 0) {
        die("the server's process");
    }
    raise_limit();
    allocate();
    wait_for_server();
    if (strcmp(mode, "hold") == 0) {
        hold(argv[6]);
    } else if (strcmp(mode, "burst") == 0) {
        bursts((size_t)atol(argv[6]));
    } else if (strcmp(mode, "mixed") == 0) {
        mixed(argv[6]);
    } else {
        flat_out(mode, argv[6]);
    }
    return 0;
}
