/* fault_server: an echo server with one fault, for class and for tests of what judges
 * servers.
 *
 *   fault_server [FAULT]          serve until SIGTERM or SIGINT; default: the variable
 * FAULT fault_server --healthcheck    exit 0 if the port takes a connection, 1 if not
 *   fault_server --list           the faults, a name and what it does in each line
 *
 * Without its fault (FAULT `none`) it is a small but right server: many connections at once
 * in one poll(2) loop, every byte comes back, its end of stream follows the peer's, and on
 * SIGTERM it answers what has come, closes all that it opened, a line in the log for each,
 * and exits 0.
 *
 * Settings, the later wins: [server] port and listen_backlog in /etc/echolab/server.ini;
 * SERVER_PORT and SERVER_LISTEN_BACKLOG. Exit: 0 stopped; 1 cannot listen; 2 wrong usage.
 * It needs libc only and is one file, so that it can be read in one go.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum fault {
    NONE,
    SHORT_WRITE,
    DROPS_TAIL,
    ONE_AT_A_TIME,
    NO_SHUTDOWN,
    FLIPS_A_BIT,
    PREFIX,
    LEAKS,
    IGNORES_TERM,
};

static const struct {
    const char *name;
    const char *what;
} faults[] = {
    [NONE] = {"none", "a right server"},
    [SHORT_WRITE] = {"short-write",
                     "takes for granted that send() takes all: the rest is lost"},
    [DROPS_TAIL] = {"drops-tail",
                    "at the peer's end of stream it forgets what is still to send"},
    [ONE_AT_A_TIME] = {"one-at-a-time",
                       "serves a connection to its end before the next one"},
    [NO_SHUTDOWN] = {"no-shutdown",
                     "never ends its own direction: the peer waits for ever"},
    [FLIPS_A_BIT] = {"flips-a-bit", "one bit of each connection's 100th byte is wrong"},
    [PREFIX] = {"prefix", "puts a text before each message that it returns"},
    [LEAKS] = {"leaks", "keeps descriptor and memory of each connection that ended"},
    [IGNORES_TERM] = {"ignores-term", "goes on at SIGTERM, until it is killed"},
};

enum {
    FAULTS = sizeof faults / sizeof *faults,
    PEERS_MAX = 4096,
    BUFFER = 16 * 1024,
    SHORT_MOST = 4096,   /* short-write: what one send() takes */
    HELD_MS = 5,         /* drops-tail: how long it holds what came */
    KEPT_PEERS = 256,    /* no-shutdown: so many that ended stay open, the last ones */
    FLIPPED_BYTE = 100,  /* flips-a-bit: counted from 1 */
    DESCRIPTORS = 768,   /* leaks: there are no more */
    FULL_PAUSE_MS = 100, /* no descriptor is left: wait before the next accept() */
    STOP_MS = 3000,      /* what does not end by then is cut */
};
static const char prefix[] = "Your Message has been received: ";

struct peer {
    int fd;
    int number;
    bool is_ended; /* the peer's end of stream was read */
    bool is_shut;  /* ours was sent: what comes now is read and dropped */
    bool is_reset;
    long long held_until_ms; /* drops-tail */
    size_t begin, end;       /* of what is to send, in the buffer */
    unsigned long long received, echoed;
    char buffer[BUFFER];
};

static enum fault fault;
static int listener = -1;
static int accepted;
static int peer_count;
static struct peer *peers[PEERS_MAX]; /* in the order in which they came */
static long long full_until_ms; /* no descriptor was left: no accept() before this time */
static volatile sig_atomic_t stop_signal;

static void on_signal(int number)
{
    stop_signal = number;
}

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    va_list arguments;
    struct timespec now;
    struct tm utc;
    char stamp[32];

    clock_gettime(CLOCK_REALTIME, &now);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S", gmtime_r(&now.tv_sec, &utc));
    printf("%s.%03ldZ INFO  ", stamp, now.tv_nsec / 1000000);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

/* ---- settings --------------------------------------------------------------------------
 */

struct settings {
    int port;
    int listen_backlog;
};

/* A whole number from 1 to 65535, or the end with exit code 2. */
static int number_of(const char *text, const char *where)
{
    char *end;
    long value = strtol(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > 65535) {
        fprintf(stderr, "fault_server: %s: '%s' is wrong; allowed: 1 to 65535\n", where,
                text);
        exit(2);
    }
    return (int)value;
}

static void read_file(struct settings *settings)
{
    FILE *file = fopen("/etc/echolab/server.ini", "r");
    char line[256];
    char value[32];

    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "port = %31s", value) == 1) {
            settings->port = number_of(value, "port");
        } else if (sscanf(line, "listen_backlog = %31s", value) == 1) {
            settings->listen_backlog = number_of(value, "listen_backlog");
        }
    }
    fclose(file);
}

static struct settings read_settings(void)
{
    struct settings settings = {12345, 511};
    const char *port = getenv("SERVER_PORT");
    const char *backlog = getenv("SERVER_LISTEN_BACKLOG");

    read_file(&settings);
    if (port != NULL) {
        settings.port = number_of(port, "SERVER_PORT");
    }
    if (backlog != NULL) {
        settings.listen_backlog = number_of(backlog, "SERVER_LISTEN_BACKLOG");
    }
    return settings;
}

/* ---- connections ------------------------------------------------------------------------
 */

/* False if there was none, or it cannot be had. */
static bool accept_one(void)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL) {
        return false;
    }
    peer->fd = accept4(listener, (struct sockaddr *)&address, &length,
                       SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer->fd == -1) {
        full_until_ms = errno == EMFILE || errno == ENFILE ? now_ms() + FULL_PAUSE_MS : 0;
        free(peer);
        return false;
    }
    peer->number = ++accepted;
    peers[peer_count++] = peer;
    say("connection %d from %s:%d accepted", peer->number, inet_ntoa(address.sin_addr),
        ntohs(address.sin_port));
    return true;
}

static void close_peer(int index)
{
    struct peer *peer = peers[index];

    say("connection %d closed: %llu bytes echoed", peer->number, peer->echoed);
    peer_count--;
    memmove(peers + index, peers + index + 1, (size_t)(peer_count - index) * sizeof *peers);
    if (fault == LEAKS) {
        /* The peer sees the end, and nothing is released. */
        shutdown(peer->fd, SHUT_RDWR);
        memset(peer->buffer, 1, sizeof peer->buffer);
        return;
    }
    close(peer->fd);
    free(peer);
}

/* What came becomes what is to send; here the bytes get their fault. */
static void prepare(struct peer *peer, size_t count)
{
    peer->begin = 0;
    peer->end = count;
    if (fault == FLIPS_A_BIT && peer->received < FLIPPED_BYTE &&
        peer->received + count >= FLIPPED_BYTE) {
        peer->buffer[FLIPPED_BYTE - 1 - peer->received] ^= 1;
    }
    if (fault == PREFIX) {
        memmove(peer->buffer + sizeof prefix - 1, peer->buffer, count);
        memcpy(peer->buffer, prefix, sizeof prefix - 1);
        peer->end += sizeof prefix - 1;
    }
    peer->received += count;
    peer->held_until_ms = fault == DROPS_TAIL ? now_ms() + HELD_MS : 0;
}

static void receive(struct peer *peer)
{
    size_t room = sizeof peer->buffer - (fault == PREFIX ? sizeof prefix - 1 : 0);
    ssize_t count = recv(peer->fd, peer->buffer, room, 0);

    if (count == 0) {
        peer->is_ended = true;
    } else if (count > 0 && !peer->is_shut) {
        prepare(peer, (size_t)count);
    } else if (count == -1 && errno != EAGAIN && errno != EINTR) {
        peer->is_reset = true;
    }
}

/* drops-tail: something comes while it holds what came before. More bytes: it sends. The
 * end of stream: it forgets them. */
static void look(struct peer *peer)
{
    char byte;

    if (recv(peer->fd, &byte, 1, MSG_PEEK) == 0) {
        peer->begin = peer->end;
        peer->is_ended = true;
    }
    peer->held_until_ms = 0;
}

static void send_pending(struct peer *peer)
{
    size_t most = peer->end - peer->begin;
    ssize_t count;

    if (fault == SHORT_WRITE && most > SHORT_MOST) {
        most = SHORT_MOST;
    }
    count = send(peer->fd, peer->buffer + peer->begin, most, MSG_NOSIGNAL);
    if (count == -1) {
        peer->is_reset = errno != EAGAIN && errno != EINTR;
        return;
    }
    peer->echoed += (unsigned long long)count;
    peer->begin = fault == SHORT_WRITE ? peer->end : peer->begin + (size_t)count;
}

static bool has_pending(const struct peer *peer)
{
    return peer->begin != peer->end;
}

/* The kernel of a container that ends forgets what it still has to send. */
static bool is_acknowledged(const struct peer *peer)
{
    int unsent = 0;

    return ioctl(peer->fd, TIOCOUTQ, &unsent) == -1 || unsent == 0;
}

static bool is_over(const struct peer *peer)
{
    if (peer->is_reset) {
        return true;
    }
    if (!peer->is_ended || has_pending(peer)) {
        return false;
    }
    return stop_signal != 0 ? is_acknowledged(peer) : fault != NO_SHUTDOWN;
}

/* ---- the loop
 * ---------------------------------------------------------------------------- */

/* What to wait for: room for what is to send, or else more from the peer. */
static short wanted(const struct peer *peer)
{
    if (has_pending(peer)) {
        return peer->held_until_ms > now_ms() ? POLLIN : POLLOUT;
    }
    return peer->is_ended ? 0 : POLLIN;
}

static void serve(struct peer *peer, short events)
{
    if ((events & (POLLIN | POLLERR | POLLHUP)) != 0 && !has_pending(peer)) {
        receive(peer);
    } else if ((events & POLLIN) != 0) {
        look(peer);
    } else if ((events & (POLLERR | POLLHUP)) != 0) {
        peer->is_reset = true;
    } else if (stop_signal != 0 && events == 0 && !has_pending(peer) && !peer->is_shut) {
        /* All that had come is answered. */
        shutdown(peer->fd, SHUT_WR);
        peer->is_shut = true;
    }
    if (has_pending(peer) && peer->held_until_ms <= now_ms()) {
        send_pending(peer);
    }
}

static bool may_accept(void)
{
    if (listener == -1 || now_ms() < full_until_ms) {
        return false;
    }
    return peer_count < (fault == ONE_AT_A_TIME ? 1 : PEERS_MAX);
}

/* Closes those that are over; no-shutdown: and the first of too many that should be. */
static void close_ended(void)
{
    int ended = 0;

    for (int i = peer_count - 1; i >= 0; i--) {
        ended += peers[i]->is_ended;
        if (is_over(peers[i]) || ended > KEPT_PEERS) {
            close_peer(i);
        }
    }
}

/* Waits for one round of events, at most so long, and follows them. The signal comes only
 * in there. */
static void round_of_events(int timeout_ms, const sigset_t *mask)
{
    static struct pollfd polled[PEERS_MAX + 1];
    struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    int served = peer_count;

    for (int i = 0; i < served; i++) {
        polled[i] = (struct pollfd){.fd = peers[i]->fd, .events = wanted(peers[i])};
    }
    polled[served] = (struct pollfd){.fd = may_accept() ? listener : -1, .events = POLLIN};
    if (ppoll(polled, (nfds_t)served + 1, &timeout, mask) == -1) {
        return;
    }
    for (int i = 0; i < served; i++) {
        serve(peers[i], polled[i].revents);
    }
    close_ended();
    if (polled[served].revents != 0) {
        accept_one();
    }
}

/* How long a round may take: something is held, or to be tried again, or nothing is. */
static int round_ms(void)
{
    return fault == DROPS_TAIL ? HELD_MS : FULL_PAUSE_MS;
}

static void close_listener(void)
{
    while (may_accept() && accept_one()) {
        continue;
    }
    close(listener);
    listener = -1;
    say("listener closed");
}

static void stop(const sigset_t *mask)
{
    long long end_ms = now_ms() + STOP_MS;

    say("signal %d: stopping", (int)stop_signal);
    close_listener();
    while (peer_count > 0 && now_ms() < end_ms) {
        round_of_events(HELD_MS, mask);
    }
    while (peer_count > 0) {
        close_peer(0);
    }
    say("stopped");
}

/* ---- start
 * ------------------------------------------------------------------------------- */

static void listen_on(const struct settings *settings)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)settings->port),
                                  .sin_addr.s_addr = htonl(INADDR_ANY)};
    int yes = 1;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener == -1 ||
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == -1 ||
        setsockopt(listener, SOL_SOCKET, SO_OOBINLINE, &yes, sizeof yes) == -1 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) == -1 ||
        listen(listener, settings->listen_backlog) == -1) {
        fprintf(stderr, "fault_server: cannot listen on port %d: %s\n", settings->port,
                strerror(errno));
        exit(1);
    }
    say("listening on 0.0.0.0:%d, fault: %s (%s)", settings->port, faults[fault].name,
        faults[fault].what);
}

/* SIGTERM and SIGINT come while ppoll() waits only: then none is missed. */
static sigset_t take_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked, before;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    sigdelset(&before, SIGINT);
    sigdelset(&before, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    if (fault == IGNORES_TERM) {
        action.sa_handler = SIG_IGN;
    }
    sigaction(SIGTERM, &action, NULL);
    return before;
}

static void limit_descriptors(void)
{
    struct rlimit limit = {DESCRIPTORS, DESCRIPTORS};

    if (fault == LEAKS) {
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Is there a listener on the port (proc(5): state 0A)? To connect would be one connection
 * more. */
static int healthcheck(int port)
{
    FILE *file = fopen("/proc/net/tcp", "r");
    char line[256];
    unsigned listening_port, state;
    int code = 1;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, " %*d: %*8x:%4x %*8x:%*4x %2x", &listening_port, &state) == 2 &&
            listening_port == (unsigned)port && state == 0x0A) {
            code = 0;
        }
    }
    return code;
}

static int list(void)
{
    for (size_t i = 0; i < FAULTS; i++) {
        printf("%-14s %s\n", faults[i].name, faults[i].what);
    }
    return 0;
}

static void choose_fault(const char *name)
{
    for (size_t i = 0; i < FAULTS; i++) {
        if (strcmp(name, faults[i].name) == 0) {
            fault = (enum fault)i;
            return;
        }
    }
    fprintf(stderr, "fault_server: '%s' is no fault; allowed: what --list lists\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    const char *choice = argc == 2 ? argv[1] : getenv("FAULT");
    struct settings settings;
    sigset_t mask;

    if (argc > 2 || choice == NULL) {
        fprintf(stderr, "usage: fault_server FAULT | --healthcheck | --list\n");
        return 2;
    }
    if (strcmp(choice, "--list") == 0) {
        return list();
    }
    settings = read_settings();
    if (strcmp(choice, "--healthcheck") == 0) {
        return healthcheck(settings.port);
    }
    choose_fault(choice);
    limit_descriptors();
    mask = take_signals();
    listen_on(&settings);
    while (stop_signal == 0) {
        round_of_events(round_ms(), &mask);
    }
    stop(&mask);
    return 0;
}
