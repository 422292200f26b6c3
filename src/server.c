#include "server.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "crew.h"
#include "log.h"
#include "net.h"
#include "pollset.h"
#include "sandbox.h"
#include "selfpipe.h"
#include "units.h"

/* Descriptors for all that is no connection: standard ones, listener, self-pipe, and some
 * that whoever started us left open. */
#define FD_RESERVE 10

/* Connections accepted per round: a storm of new ones must not starve the old. */
#define ACCEPTS_PER_ROUND 4

/* How long the listener rests when descriptors or memory ran out. */
#define ACCEPT_PAUSE_NS (100 * CLOCK_MS)

struct server {
    const struct server_config *config;
    struct pollset *set;
    struct crew *crew;
    struct sandbox sandbox;
    int listener; /* -1 once closed */
    int signals;  /* the self-pipe's end */
    size_t max_connections;
    uint32_t last_id;
    uint64_t accepted;
    uint64_t accept_failures;
    uint64_t accept_failure_logged_ns;
    uint64_t start_ns;
    bool is_draining;
    struct worker_counts counts; /* of all workers, at the end */
};

/* ---- the listener ----------------------------------------------------------------------
 */

static bool has_room(const struct server *server)
{
    return crew_connections(server->crew) < server->max_connections;
}

/* A full table stops the accepting; the first freed slot starts it again. */
static void want_connections(struct server *server)
{
    if (server->listener == -1) {
        return;
    }
    pollset_no_deadline(server->set, server->listener);
    crew_watch(server->crew, !has_room(server));
    pollset_want(server->set, server->listener, has_room(server) ? POLLIN : 0);
    if (has_room(server)) { /* also if a slot became free between the two lines above */
        crew_watch(server->crew, false);
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
    pollset_want(server->set, server->listener, 0);
    pollset_deadline(server->set, server->listener, now + ACCEPT_PAUSE_NS);
    if (server->accept_failure_logged_ns == 0 ||
        now - server->accept_failure_logged_ns >= CLOCK_S) {
        server->accept_failure_logged_ns = now;
        log_warn("cannot accept: %s; %zu connections, trying again every 100ms",
                 strerror(error), crew_connections(server->crew));
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
    bool is_quiet = net_is_health_check(&peer);
    uint32_t id = ++server->last_id != 0 ? server->last_id : ++server->last_id;
    server->accepted++;
    log_line(is_quiet ? LOG_DEBUG : LOG_INFO, "connection %" PRIu32 " from %s accepted", id,
             net_address_text(&peer, text));
    if (!crew_take(server->crew, fd, id, is_quiet)) {
        log_error("connection %" PRIu32 " closed: no memory for it", id);
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

/* ---- signals ---------------------------------------------------------------------------
 */

static void stop(struct server *server, const char *name)
{
    char duration[UNITS_DURATION_TEXT];
    uint64_t timeout_ns = server->config->drain_timeout_ns;

    if (server->is_draining) {
        log_warn("%s again: cutting %zu connections", name, crew_connections(server->crew));
        crew_cut(server->crew, "second signal");
        return;
    }
    log_info("%s: stopping, %zu connections have %s to end", name,
             crew_connections(server->crew), units_format_duration(duration, timeout_ns));
    server->is_draining = true;
    pollset_deadline(server->set, server->signals, pollset_now(server->set) + timeout_ns);
}

static size_t open_descriptors(void)
{
    struct rlimit limit;
    size_t n = 0;

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    for (int fd = 0; (rlim_t)fd < limit.rlim_cur && fd < 1100000; fd++) {
        n += lseek(fd, 0, SEEK_CUR) != -1 || errno != EBADF;
    }
    return n;
}

static void report(const struct server *server)
{
    char up[UNITS_DURATION_TEXT];
    uint64_t up_s = (clock_now_ns() - server->start_ns) / CLOCK_S;

    log_info("counters: %zu connections now, at most %zu, %" PRIu64 " accepted, %" PRIu64
             " failures to accept, %zu descriptors, %lu log lines dropped, up %s",
             crew_connections(server->crew), server->max_connections, server->accepted,
             server->accept_failures, open_descriptors(), log_dropped(),
             units_format_duration(up, up_s * CLOCK_S));
    crew_report(server->crew);
}

static void on_signal(struct server *server)
{
    switch (selfpipe_take()) {
    case SIGTERM:
        stop(server, "SIGTERM");
        break;
    case SIGINT:
        stop(server, "SIGINT");
        break;
    case SIGUSR1:
        report(server);
        break;
    default:
        break;
    }
}

static void on_drain_deadline(struct server *server)
{
    if (crew_connections(server->crew) > 0) {
        log_warn("drain timeout: cutting %zu connections", crew_connections(server->crew));
        crew_cut(server->crew, "drain timeout");
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
    } else {
        crew_event(server->crew, fd, revents);
    }
}

static void on_deadline(void *context, int fd)
{
    struct server *server = context;

    if (fd == server->signals) {
        on_drain_deadline(server);
    } else if (fd == server->listener) {
        want_connections(server);
    } else {
        crew_deadline(server->crew, fd);
    }
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline};

/* Rounds until `is_done` says so. Returns false when the set cannot be polled any more. */
static bool loop(struct server *server, bool (*is_done)(const struct server *))
{
    while (!is_done(server)) {
        if (!pollset_wait(server->set)) {
            log_error("cannot poll: %s", strerror(errno));
            return false;
        }
        log_flush();
    }
    return true;
}

static bool is_stopping(const struct server *server)
{
    return server->is_draining;
}

static bool is_empty(const struct server *server)
{
    return crew_connections(server->crew) == 0;
}

/* Serve on an open listener until a signal comes. Then take what the backlog still holds,
 * even beyond max_connections: closing a listener resets it. */
static bool accept_and_serve(struct server *server)
{
    char text[NET_ADDRESS_TEXT];

    if (!pollset_add(server->set, server->listener, POLLIN)) {
        log_error("cannot start: no memory");
        return false;
    }
    pollset_pin(server->set, server->listener);
    log_info("listening on %s", net_local_text(server->listener, text));
    log_flush();
    bool is_good = loop(server, is_stopping);
    server->max_connections += (size_t)server->config->listen_backlog; /* for a last time */
    accept_some(server, server->max_connections);
    pollset_remove(server->set, server->listener);
    log_info("listener on %s closed", text);
    return is_good;
}

static int open_listener(const struct server_config *config)
{
    char error[NET_ERROR_TEXT];
    int fd =
        net_listen(config->address, (uint16_t)config->port, (int)config->listen_backlog,
                   (config->write_timeout_ns + CLOCK_MS - 1) / CLOCK_MS, error);

    if (fd == -1 && strcmp(config->address, "::") == 0 &&
        (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        log_warn("%s; there is no IPv6 here, falling back to 0.0.0.0", error);
        fd = net_listen("0.0.0.0", (uint16_t)config->port, (int)config->listen_backlog,
                        (config->write_timeout_ns + CLOCK_MS - 1) / CLOCK_MS, error);
    }
    if (fd == -1) {
        log_error("%s", error);
    }
    return fd;
}

/* Open the listener, serve, close it, drain: each open and its close stand here. */
static bool listen_and_serve(struct server *server)
{
    server->listener = open_listener(server->config);
    if (server->listener == -1) {
        server->is_draining = true;
        crew_drain(server->crew);
        return false;
    }
    bool is_good =
        sandbox_complete(&server->sandbox, SECCOMP_SERVER) && accept_and_serve(server);
    close(server->listener);
    server->listener = -1;

    crew_watch(server->crew, true);
    crew_drain(server->crew);
    is_good = is_good && loop(server, is_empty);
    if (!is_empty(server)) {
        crew_cut(server->crew, "fatal error");
    }
    return is_good;
}

/* Raise the soft limit of descriptors as far as needed and allowed. Returns false when what
 * is allowed leaves no room for a single connection. */
static bool fit_limits(struct server *server, unsigned workers)
{
    rlim_t reserve = FD_RESERVE + CREW_FDS(workers);
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
        log_error("RLIMIT_NOFILE is %ju: too low; at least %ju are needed",
                  (uintmax_t)limit.rlim_cur, (uintmax_t)reserve + 1);
        return false;
    }
    if (limit.rlim_cur < need) {
        server->max_connections = (size_t)(limit.rlim_cur - reserve);
        log_warn("max_connections lowered from %" PRIu64 " to %zu: RLIMIT_NOFILE is %ju",
                 server->config->max_connections, server->max_connections,
                 (uintmax_t)limit.rlim_cur);
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

/* With poll set and self-pipe there: start the workers, serve, end them. */
static bool serve(struct server *server)
{
    unsigned workers = crew_size(server->config);

    if (!fit_limits(server, workers) || !begin_sandbox(server)) {
        return false;
    }
    server->crew = crew_start(server->config, workers, server->set, on_close, server);
    if (server->crew == NULL) {
        log_error("cannot start: %s", strerror(errno));
        return false;
    }
    bool is_good = listen_and_serve(server);
    server->counts = crew_finish(server->crew);
    return is_good && server->counts.cut == 0;
}

int server_run(const struct server_config *config)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGUSR1};
    struct server server = {.config = config, .listener = -1, .start_ns = clock_now_ns()};
    bool is_clean = false;

    server.set = pollset_new(&callbacks, &server);
    server.signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (server.set == NULL || server.signals == -1 ||
        !pollset_add(server.set, server.signals, POLLIN)) {
        log_error("cannot start: %s", strerror(errno));
    } else {
        pollset_pin(server.set, server.signals);
        is_clean = serve(&server);
    }
    pollset_free(server.set);
    if (server.signals != -1) {
        selfpipe_close();
        log_info("self-pipe closed");
    }
    log_info("stopped: %" PRIu64 " connections, %" PRIu64 " bytes echoed, %" PRIu64 " cut",
             server.accepted, server.counts.bytes_echoed, server.counts.cut);
    return is_clean ? 0 : 1;
}
