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
#include "echo.h"
#include "escape.h"
#include "log.h"
#include "net.h"
#include "pollset.h"
#include "selfpipe.h"
#include "units.h"

/* Descriptors for all that is no connection: standard ones, listener, self-pipe, and some
 * that whoever started us left open. */
#define FD_RESERVE 10

/* Connections accepted per round: a storm of new ones must not starve the old. */
#define ACCEPTS_PER_ROUND 4

/* How long the listener rests when descriptors or memory ran out. */
#define ACCEPT_PAUSE_NS (100 * CLOCK_MS)

/* While draining, a connection that was quiet for so long has said what it had to say: we
 * end our direction. In the second half of the drain nothing is waited for any more. */
#define DRAIN_QUIET_NS (100 * CLOCK_MS)

/* How often a session is asked whether its last bytes were acknowledged. */
#define LINGER_CHECK_NS (2 * CLOCK_MS)

/* Bytes of a message that are logged at debug. */
#define MESSAGE_SHOWN 160

struct server {
    const struct server_config *config;
    struct pollset *set;
    struct echo *sessions; /* by descriptor; id 0: this descriptor is no session */
    size_t capacity;       /* of that table */
    int listener;          /* -1 once closed */
    int signals;           /* the self-pipe's end */
    size_t max_connections;
    size_t connections; /* now */
    uint32_t last_id;
    uint64_t accepted;
    uint64_t echoed_bytes; /* of closed sessions */
    uint64_t cut;          /* sessions ended before their time */
    uint64_t accept_failure_logged_ns;
    uint64_t drain_start_ns; /* 0: not stopping */
    bool is_over;
    struct echo_scratch scratch;
};

static bool is_draining(const struct server *server)
{
    return server->drain_start_ns != 0;
}

/* A short drain cannot wait long for silence. */
static uint64_t drain_quiet_ns(const struct server *server)
{
    uint64_t quarter = server->config->drain_timeout_ns / 4;

    return quarter < DRAIN_QUIET_NS ? quarter : DRAIN_QUIET_NS;
}

/* ---- sessions --------------------------------------------------------------------------
 */

/* A full table stops the accepting; so does an end. */
static void want_connections(struct server *server)
{
    if (server->listener != -1) {
        bool has_room = server->connections < server->max_connections;

        pollset_want(server->set, server->listener, has_room ? POLLIN : 0);
        pollset_no_deadline(server->set, server->listener);
    }
}

/* Room for `fd` in the table; pages that are never touched cost nothing. */
static bool reserve_session(struct server *server, int fd)
{
    size_t need = (size_t)fd + 1;

    if (need <= server->capacity) {
        return true;
    }
    size_t capacity = need + need / 2 + 16;
    struct echo *sessions = realloc(server->sessions, capacity * sizeof *sessions);
    if (sessions == NULL) {
        return false;
    }
    memset(sessions + server->capacity, 0,
           (capacity - server->capacity) * sizeof *sessions);
    server->sessions = sessions;
    server->capacity = capacity;
    return true;
}

/* When to look at the session again although nothing happens to it. */
static void set_session_deadline(struct server *server, int fd, int wants)
{
    uint64_t now = pollset_now(server->set);

    if (wants == 0) {
        pollset_deadline(server->set, fd, now + LINGER_CHECK_NS);
    } else if (is_draining(server)) {
        pollset_deadline(server->set, fd, now + drain_quiet_ns(server));
    } else if (server->config->idle_timeout_ns != 0) {
        pollset_deadline(server->set, fd, now + server->config->idle_timeout_ns);
    }
}

/* Health checks come every few seconds: their lines are for debugging only. */
static enum log_level session_level(const struct echo *session)
{
    return session->is_quiet ? LOG_DEBUG : LOG_INFO;
}

static void open_session(struct server *server, int fd, const struct net_address *peer)
{
    struct echo *session = &server->sessions[fd];
    char text[NET_ADDRESS_TEXT];

    echo_init(session);
    session->id = ++server->last_id != 0 ? server->last_id : ++server->last_id;
    session->is_quiet = net_is_health_check(peer);
    server->connections++;
    server->accepted++;
    log_line(session_level(session), "connection %" PRIu32 " from %s accepted", session->id,
             net_address_text(peer, text));
}

/* Release what the session holds, at once, and use the freed slot. */
static void close_session(struct server *server, int fd, const char *reason)
{
    struct echo *session = &server->sessions[fd];

    pollset_remove(server->set, fd);
    log_line(session_level(session),
             "connection %" PRIu32 " closed: %s, %" PRIu64 " bytes echoed%s", session->id,
             session->error != 0 ? strerror(session->error) : reason, session->echoed_bytes,
             session->has_late_bytes ? ", later ones not" : "");
    server->echoed_bytes += session->echoed_bytes;
    echo_free(session);
    session->id = 0;
    server->connections--;
    close(fd);
    want_connections(server);
}

static void cut_session(struct server *server, int fd, const char *reason)
{
    const struct echo *session = &server->sessions[fd];

    server->cut++;
    log_warn("connection %" PRIu32 " cut: %zu bytes pending, %zu not acknowledged",
             session->id, echo_pending_bytes(session), net_unacknowledged(fd));
    close_session(server, fd, reason);
}

static void log_message(const struct server *server, const struct echo *session)
{
    char shown[MESSAGE_SHOWN];
    const struct echo_scratch *scratch = &server->scratch;

    if (scratch->length > 0 && log_enabled(LOG_DEBUG)) {
        log_debug("connection %" PRIu32 " sent %zu bytes: %s", session->id, scratch->length,
                  escape_bytes(shown, sizeof shown, scratch->bytes, scratch->length));
    }
}

/* What the session answered: wait for it, or close it. */
static void follow(struct server *server, int fd, int wants)
{
    if (wants == ECHO_OVER) {
        close_session(server, fd, "peer ended it");
        return;
    }
    pollset_want(server->set, fd, (short)wants);
    set_session_deadline(server, fd, wants);
}

/* Late in a drain: whatever was said until now is echoed, then our direction ends. */
static bool must_end_now(const struct server *server)
{
    return is_draining(server) && pollset_now(server->set) - server->drain_start_ns >=
                                      server->config->drain_timeout_ns / 2;
}

static void serve_session(struct server *server, int fd, short revents)
{
    struct echo *session = &server->sessions[fd];
    int wants = echo_ready(session, fd, revents, &server->scratch);

    log_message(server, session);
    if (wants == POLLIN && must_end_now(server) &&
        server->scratch.length < sizeof server->scratch.bytes) {
        wants = echo_end(session, fd);
    }
    follow(server, fd, wants);
}

static void on_session_deadline(struct server *server, int fd)
{
    struct echo *session = &server->sessions[fd];
    bool is_lingering = session->state == ECHO_LINGERING;

    if (is_lingering && session->has_peer_eof) {
        follow(server, fd, echo_ready(session, fd, 0, &server->scratch));
    } else if (!is_draining(server)) {
        close_session(server, fd, "idle");
    } else if (session->state == ECHO_OPEN) {
        follow(server, fd, echo_end(session, fd));
    } /* else it was told to end; the drain's own deadline is what counts */
}

/* ---- the listener ----------------------------------------------------------------------
 */

static void pause_accepting(struct server *server, int error)
{
    uint64_t now = pollset_now(server->set);

    pollset_want(server->set, server->listener, 0);
    pollset_deadline(server->set, server->listener, now + ACCEPT_PAUSE_NS);
    if (server->accept_failure_logged_ns == 0 ||
        now - server->accept_failure_logged_ns >= CLOCK_S) {
        server->accept_failure_logged_ns = now;
        log_warn("cannot accept: %s; %zu connections, trying again every 100ms",
                 strerror(error), server->connections);
    }
}

/* Accept one connection: from here to close_session() it has a slot. Returns false when
 * there is none, or no room for one. */
static bool accept_one(struct server *server)
{
    struct net_address peer;

    if (server->connections >= server->max_connections) {
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
    if (!reserve_session(server, fd) || !pollset_add(server->set, fd, POLLIN)) {
        close(fd);
        pause_accepting(server, ENOMEM);
        return false;
    }
    open_session(server, fd, &peer);
    serve_session(server, fd, POLLIN); /* the first bytes are often there already */
    return true;
}

static void accept_some(struct server *server, int most)
{
    while (most-- > 0 && accept_one(server)) {
    }
}

/* ---- stopping --------------------------------------------------------------------------
 */

static void cut_all(struct server *server, const char *reason)
{
    for (size_t fd = 0; fd < server->capacity && server->connections > 0; fd++) {
        if (server->sessions[fd].id != 0) {
            cut_session(server, (int)fd, reason);
        }
    }
}

static const char *signal_name(int number)
{
    return number == SIGTERM ? "SIGTERM" : "SIGINT";
}

/* From now on every session ends: when it was quiet, or at the latest at the deadline. */
static void begin_drain(struct server *server)
{
    uint64_t now = pollset_now(server->set);

    server->drain_start_ns = now;
    pollset_deadline(server->set, server->signals, now + server->config->drain_timeout_ns);
    for (size_t fd = 0; fd < server->capacity; fd++) {
        if (server->sessions[fd].id != 0) {
            pollset_deadline(server->set, (int)fd, now + drain_quiet_ns(server));
        }
    }
}

static void on_signal(struct server *server)
{
    char duration[UNITS_DURATION_TEXT];
    int number = selfpipe_take();

    if (number == 0) {
        return;
    }
    if (!is_draining(server)) {
        log_info("%s: stopping, %zu connections have %s to end", signal_name(number),
                 server->connections,
                 units_format_duration(duration, server->config->drain_timeout_ns));
        begin_drain(server);
    } else {
        log_warn("%s again: cutting %zu connections", signal_name(number),
                 server->connections);
        cut_all(server, "second signal");
    }
}

static void on_drain_deadline(struct server *server)
{
    if (server->connections > 0) {
        log_warn("drain timeout: cutting %zu connections", server->connections);
        cut_all(server, "drain timeout");
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
        serve_session(server, fd, revents);
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
        on_session_deadline(server, fd);
    }
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline};

/* Raise the soft limit of descriptors as far as needed and allowed. Returns false when what
 * is allowed leaves no room for a single connection. */
static bool fit_limits(struct server *server)
{
    rlim_t need = (rlim_t)server->config->max_connections + FD_RESERVE;
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < need) {
        limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
        if (prlimit(0, RLIMIT_NOFILE, &limit, NULL) == -1) {
            getrlimit(RLIMIT_NOFILE, &limit);
        }
    }
    server->max_connections = (size_t)server->config->max_connections;
    if (limit.rlim_cur <= FD_RESERVE) {
        log_error("RLIMIT_NOFILE is %ju: too low; at least %d are needed",
                  (uintmax_t)limit.rlim_cur, FD_RESERVE + 1);
        return false;
    }
    if (limit.rlim_cur < need) {
        server->max_connections = (size_t)(limit.rlim_cur - FD_RESERVE);
        log_warn("max_connections lowered from %" PRIu64 " to %zu: RLIMIT_NOFILE is %ju",
                 server->config->max_connections, server->max_connections,
                 (uintmax_t)limit.rlim_cur);
    }
    return true;
}

static int open_listener(const struct server_config *config)
{
    char error[NET_ERROR_TEXT];
    int fd = net_listen(config->address, (uint16_t)config->port,
                        (int)config->listen_backlog, error);

    if (fd == -1 && strcmp(config->address, "::") == 0 &&
        (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
        log_warn("%s; there is no IPv6 here, falling back to 0.0.0.0", error);
        fd = net_listen("0.0.0.0", (uint16_t)config->port, (int)config->listen_backlog,
                        error);
    }
    if (fd == -1) {
        log_error("%s", error);
    }
    return fd;
}

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

static bool is_empty(const struct server *server)
{
    return server->connections == 0;
}

/* Serve on an open listener until a signal comes. Then take what the backlog still holds:
 * closing a listener resets it. */
static bool accept_and_serve(struct server *server)
{
    char text[NET_ADDRESS_TEXT];

    if (!pollset_add(server->set, server->signals, POLLIN) ||
        !pollset_add(server->set, server->listener, POLLIN)) {
        log_error("no memory for the poll set");
        return false;
    }
    pollset_pin(server->set, server->signals);
    pollset_pin(server->set, server->listener);
    log_info("listening on %s", net_local_text(server->listener, text));
    log_flush();
    bool is_good = loop(server, is_draining);
    accept_some(server, (int)server->max_connections);
    pollset_remove(server->set, server->listener);
    log_info("listener on %s closed", text);
    return is_good;
}

/* Open the listener, serve, close it, drain: each open and its close stand here. */
static bool listen_and_serve(struct server *server)
{
    server->listener = open_listener(server->config);
    if (server->listener == -1) {
        return false;
    }
    bool is_good = accept_and_serve(server);
    close(server->listener);
    server->listener = -1;

    is_good = is_good && loop(server, is_empty);
    cut_all(server, "fatal error");
    return is_good;
}

int server_run(const struct server_config *config)
{
    static const int caught[] = {SIGTERM, SIGINT};
    bool is_good = false;

    struct server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        log_error("no memory");
        return 1;
    }
    server->config = config;
    server->listener = -1;
    server->set = pollset_new(&callbacks, server);
    server->signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (server->set == NULL || server->signals == -1) {
        log_error("cannot set up poll set and self-pipe: %s", strerror(errno));
    } else if (fit_limits(server)) {
        is_good = listen_and_serve(server);
    }
    if (server->signals != -1) {
        selfpipe_close();
        log_info("self-pipe closed");
    }
    pollset_free(server->set);
    free(server->sessions);
    log_info("stopped: %" PRIu64 " connections, %" PRIu64 " bytes echoed, %" PRIu64 " cut",
             server->accepted, server->echoed_bytes, server->cut);
    bool is_clean = is_good && server->cut == 0;
    free(server);
    return is_clean ? 0 : 1;
}
