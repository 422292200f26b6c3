#include "server/server.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/events.h"
#include "base/log.h"
#include "base/units.h"
#include "io/activation.h"
#include "io/admin.h"
#include "io/net.h"
#include "io/pollset.h"
#include "io/process.h"
#include "io/selfpipe.h"
#include "sandbox/sandbox.h"
#include "server/health.h"
#include "server/server_metrics.h"
#include "server/worker_pool.h"

/* Descriptors for all that is no connection: standard ones, listener, self-pipe, health
 * checks, and some that whoever started us left open. */
#define FD_RESERVE (11 + HEALTH_CHECKS_MAX + PROCESS_FDS)

#define STANDARD_FDS 3

/* Connections accepted per round: a storm of new ones must not starve the old. */
#define ACCEPTS_PER_ROUND 4

/* How long the listener rests when descriptors or memory ran out. */
#define ACCEPT_PAUSE_NS (100 * CLOCK_MS)

/* Timers of the poll set. */
enum {
    TIMER_DRAIN,  /* connections that have not ended by then are cut */
    TIMER_ACCEPT, /* the listener has rested */
};

struct server {
    const struct server_config *config;
    struct pollset *set;
    struct worker_pool *pool;
    struct sandbox sandbox;
    int passed;          /* the listener that the service manager passed; -1: none */
    int listener;        /* -1 once closed */
    int health_listener; /* -1: there is none */
    int signals;         /* the self-pipe's end */
    struct admin *admin; /* NULL: there is none */
    struct process process;
    size_t max_connections;
    uint32_t last_id;
    uint64_t accepted;
    uint64_t accept_failures;
    uint64_t accept_failure_logged_ns;
    bool is_paused;  /* descriptors or memory ran out */
    int stop_signal; /* the first that stopped it; 0: it is not draining */
    uint64_t counts[WORKER_POOL_NUMBERS]; /* of all workers, at the end */
};

/* ---- the listener ----------------------------------------------------------------------
 */

static bool is_draining(const struct server *server)
{
    return server->stop_signal != 0;
}

/* At the end what the backlog holds is taken beyond the limit, for a last time. */
static bool has_room(const struct server *server)
{
    size_t beyond = is_draining(server) ? (size_t)server->config->listen_backlog : 0;

    return worker_pool_connections(server->pool) < server->max_connections + beyond;
}

/* A full table stops the accepting; the first freed slot starts it again. */
static void want_connections(struct server *server)
{
    if (server->listener == -1) {
        return;
    }
    server->is_paused = false;
    pollset_no_timer(server->set, TIMER_ACCEPT);
    worker_pool_watch(server->pool, !has_room(server));
    pollset_want(server->set, server->listener, has_room(server) ? POLLIN : 0);
    if (has_room(server)) { /* also if a slot became free between the two lines above */
        worker_pool_watch(server->pool, false);
        pollset_want(server->set, server->listener, POLLIN);
    }
}

static void on_close(void *context)
{
    want_connections(context);
}

static void pause_accepting(struct server *server, int error)
{
    uint64_t now = pollset_now(server->set);

    server->accept_failures++;
    server->is_paused = true;
    pollset_want(server->set, server->listener, 0);
    pollset_timer(server->set, TIMER_ACCEPT, now + ACCEPT_PAUSE_NS);
    if (server->accept_failure_logged_ns == 0 ||
        now - server->accept_failure_logged_ns >= CLOCK_S) {
        server->accept_failure_logged_ns = now;
        size_t open = worker_pool_connections(server->pool);
        log_event(EVENT_ACCEPT_FAILED, strerror(error), open);
    }
}

/* Accept one connection and hand it over. Returns false when there is none, or no room. */
static bool accept_one(struct server *server)
{
    struct net_address peer;
    char text[NET_ADDRESS_TEXT];

    if (!has_room(server)) {
        want_connections(server);
        return false;
    }
    int fd = net_accept(server->listener, &peer);
    if (fd == -1) {
        enum net_accept_class class = net_accept_class(errno);

        if (class == NET_ACCEPT_PAUSE) {
            pause_accepting(server, errno);
        }
        return class == NET_ACCEPT_NEXT;
    }
    uint32_t id = server->last_id = server->last_id % WORKER_ID_MAX + 1;
    server->accepted++;
    log_event(EVENT_CONNECTION_ACCEPTED, id, net_address_text(&peer, text));
    if (!worker_pool_take(server->pool, fd, id)) {
        log_event(EVENT_CONNECTION_NO_MEMORY, id);
        pause_accepting(server, ENOMEM);
        return false;
    }
    return true;
}

static void accept_some(struct server *server, size_t most)
{
    while (most-- > 0 && accept_one(server)) {
    }
}

static void accept_health_check(struct server *server)
{
    struct net_address peer;
    int fd = net_accept(server->health_listener, &peer);

    if (fd != -1) {
        worker_pool_take_health_check(server->pool, fd);
    }
}

/* ---- signals ---------------------------------------------------------------------------
 */

static void stop(struct server *server, int number)
{
    char duration[UNITS_DURATION_TEXT];
    const char *name = selfpipe_name(number);
    uint64_t timeout_ns = server->config->drain_timeout_ns;
    size_t open = worker_pool_connections(server->pool);

    if (is_draining(server) && number == SIGHUP) {
        log_event(EVENT_STOPPING_ALREADY, name);
        return;
    }
    if (is_draining(server)) {
        log_event(EVENT_STOPPING_AT_ONCE, name, open);
        worker_pool_cut(server->pool, WORKER_CUT_SECOND_SIGNAL);
        return;
    }
    log_event(EVENT_STOPPING, name, open, open == 1 ? "has" : "have",
              units_format_duration(duration, timeout_ns), timeout_ns);
    server->stop_signal = number;
    pollset_timer(server->set, TIMER_DRAIN, pollset_now(server->set) + timeout_ns);
}

/* What we opened, and the standard streams. What the parent process left open beside them
 * is not known here: to look at all that may be open would stop the loop. */
static size_t own_descriptors(const struct server *server)
{
    return STANDARD_FDS + SELFPIPE_FDS + (server->listener != -1 ? 1 : 0) +
           (server->health_listener != -1 ? 1 : 0) + (log_has_descriptor() ? 1 : 0) +
           worker_pool_descriptors(server->pool) + admin_descriptors(server->admin);
}

/* The numbers of server_metrics' table. */
static void read_numbers(const struct server *server, uint64_t numbers[SERVER_NUMBERS])
{
    struct pollset_counts own = pollset_counts(server->set);
    bool is_open = server->listener != -1 && !is_draining(server);

    memset(numbers, 0, SERVER_NUMBERS * sizeof numbers[0]);
    numbers[WORKER_POOL_HOT] = own.hot;
    numbers[WORKER_POOL_COLD] = own.cold;
    numbers[WORKER_POOL_ROUNDS] = own.rounds;
    worker_pool_add_numbers(server->pool, numbers);
    numbers[SERVER_BUILD] = 1;
    numbers[SERVER_CONNECTIONS] = worker_pool_connections(server->pool);
    numbers[SERVER_CONNECTIONS_LIMIT] = server->max_connections;
    numbers[SERVER_ACCEPTED] = server->accepted;
    numbers[SERVER_ACCEPT_FAILURES] = server->accept_failures;
    numbers[SERVER_PENDING_LIMIT] = server->config->pending_memory;
    numbers[SERVER_BACKLOG] = net_backlog(server->listener);
    numbers[SERVER_ACCEPTING] = is_open && !server->is_paused && has_room(server);
    numbers[SERVER_DRAINING] = is_draining(server);
    numbers[SERVER_LOG_DROPPED] = log_dropped();
    process_read(&server->process, own_descriptors(server), numbers + SERVER_PROCESS);
}

static size_t print_metrics(void *context, char *out)
{
    uint64_t numbers[SERVER_NUMBERS];

    read_numbers(context, numbers);
    return metrics_print(&server_metrics, numbers, out);
}

static void log_counts(struct server *server)
{
    char text[METRICS_TEXT];

    metrics_log(text, print_metrics(server, text));
    worker_pool_log_counts(server->pool);
}

static void on_signal(struct server *server)
{
    int number = selfpipe_take();

    if (number == SIGUSR1) {
        log_counts(server);
    } else if (number != 0) {
        stop(server, number);
    }
}

static void on_drain_timeout(struct server *server)
{
    size_t open = worker_pool_connections(server->pool);

    if (open > 0) {
        log_event(EVENT_DRAIN_TIMEOUT, open);
        worker_pool_cut(server->pool, WORKER_CUT_DRAIN_TIMEOUT);
    }
}

/* ---- the admin address -----------------------------------------------------------------
 */

/* A full table is ready: the backlog queues. */
static const char *unready(void *context)
{
    const struct server *server = context;

    return is_draining(server) ? selfpipe_name(server->stop_signal) : NULL;
}

static const struct admin_pages admin_pages = {print_metrics, unready};

static void log_admin(const struct server *server, const char *what)
{
    char text[NET_ADDRESS_TEXT];

    log_event(EVENT_ADMIN, admin_address_text(server->admin, text), what);
}

static bool open_admin(struct server *server)
{
    char text[NET_ERROR_TEXT];
    const char *address = server->config->admin_address;

    if (strcmp(address, ADMIN_NONE) == 0) {
        return true;
    }
    server->admin = admin_open(address, server->set, &admin_pages, server, text);
    if (server->admin == NULL) {
        log_event(EVENT_LISTEN_FAILED, text);
        return false;
    }
    log_admin(server, "open");
    return true;
}

static void close_admin(struct server *server)
{
    if (server->admin != NULL) {
        log_admin(server, "closed");
        admin_close(server->admin);
    }
}

/* ---- the loop --------------------------------------------------------------------------
 */

static void on_event(void *context, int fd, short revents)
{
    struct server *server = context;

    if (fd == server->signals) {
        on_signal(server);
    } else if (fd == server->listener) {
        accept_some(server, ACCEPTS_PER_ROUND);
    } else if (fd == server->health_listener) {
        accept_health_check(server);
    } else if (!admin_event(server->admin, fd)) {
        worker_pool_event(server->pool, fd, revents);
    }
}

static void on_deadline(void *context, int fd)
{
    struct server *server = context;

    if (!admin_deadline(server->admin, fd)) {
        worker_pool_deadline(server->pool, fd);
    }
}

static void on_timer(void *context, unsigned slot)
{
    struct server *server = context;

    if (slot == TIMER_DRAIN) {
        on_drain_timeout(server);
    } else {
        want_connections(server);
    }
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline, on_timer};

/* Rounds until `is_done` says so. Returns false when the set cannot be polled any more. */
static bool loop(struct server *server, bool (*is_done)(const struct server *))
{
    while (!is_done(server)) {
        if (!pollset_wait(server->set)) {
            log_event(EVENT_POLL_FAILED, strerror(errno));
            return false;
        }
        log_flush();
    }
    return true;
}

static bool is_empty(const struct server *server)
{
    return worker_pool_connections(server->pool) == 0;
}

/* Without this listener the server serves as well, but nobody can check it. */
static void open_health_listener(struct server *server)
{
    server->health_listener = health_listen(server->listener);
    if (server->health_listener == -1) {
        log_event(EVENT_NO_HEALTH_CHECKS, strerror(errno));
    } else if (!pollset_add(server->set, server->health_listener, POLLIN)) {
        close(server->health_listener);
        server->health_listener = -1;
    }
}

static void close_health_listener(struct server *server)
{
    if (server->health_listener != -1) {
        pollset_remove(server->set, server->health_listener);
        close(server->health_listener);
        server->health_listener = -1;
    }
}

/* Serve on an open listener until a signal comes. Then take what the backlog still holds,
 * even beyond max_connections: closing a listener resets it. */
static bool accept_and_serve(struct server *server)
{
    char text[NET_ADDRESS_TEXT];

    if (!pollset_add(server->set, server->listener, POLLIN)) {
        log_event(EVENT_START_FAILED, "no memory");
        return false;
    }
    if (server->passed != -1) {
        pollset_pin(server->set, server->passed); /* others may have it open, too */
    }
    log_event(EVENT_LISTENING, net_local_text(server->listener, text));
    log_flush();
    bool is_good = loop(server, is_draining);
    /* Closed first, for a connection between the last accept and the close is reset. */
    close_health_listener(server);
    accept_some(server, SIZE_MAX);
    pollset_remove(server->set, server->listener);
    pollset_no_timer(server->set, TIMER_ACCEPT);
    log_event(EVENT_LISTENER_CLOSED, text);
    return is_good;
}

static int open_own_listener(const struct server_config *config, uint64_t give_up_ms,
                             char error[NET_ERROR_TEXT])
{
    uint16_t port = (uint16_t)config->port;
    int backlog = (int)config->listen_backlog;
    int fd = net_listen(config->address, port, backlog, give_up_ms, error);

    if (fd == -1 && strcmp(config->address, "::") == 0 &&
        (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        log_event(EVENT_NO_IPV6, error);
        fd = net_listen("0.0.0.0", port, backlog, give_up_ms, error);
    }
    return fd;
}

/* Returns the descriptor, or -1 after logging the reason. */
static int open_listener(const struct server *server)
{
    const struct server_config *config = server->config;
    char error[NET_ERROR_TEXT];
    uint64_t give_up_ms = (config->write_timeout_ns + CLOCK_MS - 1) / CLOCK_MS;
    int fd = server->passed;

    if (fd == -1) {
        fd = open_own_listener(config, give_up_ms, error);
    } else if (!net_adopt_listener(fd, (int)config->listen_backlog, give_up_ms, error)) {
        close(fd);
        fd = -1;
    }
    if (fd == -1) {
        log_event(EVENT_LISTEN_FAILED, error);
    }
    return fd;
}

/* Open the listeners, serve, close them, drain: each open and its close stand here. */
static bool listen_and_serve(struct server *server)
{
    server->listener = open_listener(server);
    if (server->listener == -1) {
        worker_pool_drain(server->pool);
        return false;
    }
    open_health_listener(server);
    bool is_good =
        sandbox_complete(&server->sandbox, SECCOMP_SERVER) && accept_and_serve(server);
    close_health_listener(server);
    close(server->listener);
    server->listener = -1;

    worker_pool_watch(server->pool, true);
    worker_pool_drain(server->pool);
    is_good = is_good && loop(server, is_empty);
    if (!is_empty(server)) {
        worker_pool_cut(server->pool, WORKER_CUT_FATAL_ERROR);
    }
    return is_good;
}

/* Raise the soft limit of descriptors as far as needed and allowed. Returns false when what
 * is allowed leaves no room for a single connection. */
static bool fit_limits(struct server *server, unsigned workers)
{
    bool has_admin = strcmp(server->config->admin_address, ADMIN_NONE) != 0;
    rlim_t reserve = FD_RESERVE + WORKER_POOL_FDS(workers) + (has_admin ? ADMIN_FDS : 0);
    rlim_t need = (rlim_t)server->config->max_connections + reserve;
    rlim_t backlog = (rlim_t)server->config->listen_backlog;
    struct rlimit limit;

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    if (limit.rlim_cur < need + backlog) {
        limit.rlim_cur = need + backlog < limit.rlim_max ? need + backlog : limit.rlim_max;
        /* Not setrlimit(): musl's brings the machinery to stop all threads. */
        if (prlimit(0, RLIMIT_NOFILE, &limit, NULL) == -1) {
            prlimit(0, RLIMIT_NOFILE, NULL, &limit);
        }
    }
    server->max_connections = (size_t)server->config->max_connections;
    if (limit.rlim_cur <= reserve) {
        log_event(EVENT_FILES_LIMIT_TOO_LOW, (uintmax_t)limit.rlim_cur,
                  (uintmax_t)reserve + 1);
        return false;
    }
    if (limit.rlim_cur < need) {
        server->max_connections = (size_t)(limit.rlim_cur - reserve);
        log_event(EVENT_MAX_CONNECTIONS_LOWERED, server->config->max_connections,
                  server->max_connections, (uintmax_t)limit.rlim_cur);
    }
    return true;
}

/* From here on there are no files, and the listener is the only socket that can be bound.
 */
static bool begin_sandbox(struct server *server)
{
    uint16_t port = (uint16_t)server->config->port;
    struct landlock_access access = {.bind_ports = &port, .bind_count = 1};

    return sandbox_begin(&server->sandbox, (enum sandbox_mode)server->config->sandbox,
                         &access);
}

/* Connections that were cut, for whatever reason. */
static uint64_t cut_of(const struct server *server)
{
    uint64_t sum = 0;

    for (size_t i = WORKER_END_CUT; i < WORKER_ENDS; i++) {
        sum += server->counts[WORKER_CLOSED + i];
    }
    return sum;
}

/* With poll set and self-pipe there: start the workers, serve, end them. */
static bool serve(struct server *server)
{
    unsigned workers = worker_pool_size(server->config);

    if (!fit_limits(server, workers) || !open_admin(server)) {
        return false;
    }
    bool is_good = begin_sandbox(server);
    if (is_good) {
        server->pool =
            worker_pool_start(server->config, workers, server->set, on_close, server);
        is_good = server->pool != NULL;
    }
    if (is_good) {
        is_good = listen_and_serve(server);
        worker_pool_finish(server->pool, server->counts);
    }
    close_admin(server);
    return is_good && cut_of(server) == 0;
}

int server_run(const struct server_config *config)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct server server = {.config = config, .listener = -1, .health_listener = -1};
    char error[NET_ERROR_TEXT];
    bool is_clean = false;

    if (!activation_listener(&server.passed, error)) {
        log_event(EVENT_LISTEN_FAILED, error);
        return 2;
    }
    process_open(&server.process);
    server.set = pollset_new(&callbacks, &server);
    server.signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (server.set == NULL || server.signals == -1 ||
        !pollset_add(server.set, server.signals, POLLIN)) {
        log_event(EVENT_START_FAILED, strerror(errno));
    } else {
        is_clean = serve(&server);
    }
    pollset_free(server.set);
    process_close(&server.process);
    if (server.signals != -1) {
        selfpipe_close();
        log_event(EVENT_SELF_PIPE_CLOSED);
    }
    log_event(EVENT_STOPPED, server.accepted, server.counts[WORKER_ECHOED],
              cut_of(&server));
    return is_clean ? 0 : 1;
}
