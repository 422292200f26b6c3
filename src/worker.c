#include "worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "echo.h"
#include "escape.h"
#include "log.h"
#include "net.h"
#include "table.h"

/* While draining, a connection that was quiet for so long has said what it had to say: we
 * end our direction. In the second half of the drain nothing is waited for any more. */
#define DRAIN_QUIET_NS (100 * CLOCK_MS)

/* A session whose last bytes are not acknowledged is asked again after this time, then
 * after twice, four times ... as long, up to 128 times. */
#define LINGER_CHECK_NS   (4 * CLOCK_MS)
#define LINGER_CHECKS_MAX 7

/* Bytes of a message that are logged at debug. */
#define MESSAGE_SHOWN 160

struct worker {
    const struct server_config *config;
    struct pollset *set;
    void (*on_close)(void *context);
    void *context;
    struct echo *sessions; /* by descriptor; id 0: this descriptor is no session */
    size_t capacity;       /* of that table */
    struct worker_counts counts;
    uint64_t drain_start_ns; /* 0: not draining */
    struct echo_scratch scratch;
};

struct worker *worker_new(const struct server_config *config, struct pollset *set,
                          void (*on_close)(void *context), void *context)
{
    struct worker *worker = calloc(1, sizeof *worker);

    if (worker != NULL) {
        worker->config = config;
        worker->set = set;
        worker->on_close = on_close;
        worker->context = context;
    }
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker != NULL) {
        table_free(&worker->sessions, worker->capacity, sizeof *worker->sessions);
        free(worker);
    }
}

struct worker_counts worker_counts(const struct worker *worker)
{
    return worker->counts;
}

static bool is_draining(const struct worker *worker)
{
    return worker->drain_start_ns != 0;
}

/* A short drain cannot wait long for silence. */
static uint64_t drain_quiet_ns(const struct worker *worker)
{
    uint64_t quarter = worker->config->drain_timeout_ns / 4;

    return quarter < DRAIN_QUIET_NS ? quarter : DRAIN_QUIET_NS;
}

/* Room for `fd` in the table. */
static bool reserve(struct worker *worker, int fd)
{
    size_t old = worker->capacity, capacity = table_capacity((size_t)fd);

    if ((size_t)fd < old) {
        return true;
    }
    if (!table_grow(&worker->sessions, old, capacity, sizeof *worker->sessions)) {
        return false;
    }
    worker->capacity = capacity;
    return true;
}

/* Health checks come every few seconds: their lines are for debugging only. */
static enum log_level level_of(const struct echo *session)
{
    return session->is_quiet ? LOG_DEBUG : LOG_INFO;
}

/* Release what the session holds, at once. */
static void close_session(struct worker *worker, int fd, const char *reason)
{
    struct echo *session = &worker->sessions[fd];

    pollset_remove(worker->set, fd);
    log_line(
        level_of(session), "connection %" PRIu32 " closed: %s, %" PRIu64 " bytes echoed%s",
        session->id, session->error != 0 ? strerror(session->error) : reason,
        (uint64_t)session->echoed_bytes, session->has_late_bytes ? ", later ones not" : "");
    worker->counts.bytes_echoed += session->echoed_bytes;
    worker->counts.connections--;
    echo_free(session);
    session->id = 0;
    close(fd);
    worker->on_close(worker->context);
}

/* How often a session whose peer does not read is asked whether it took something. */
static uint64_t stall_check_ns(const struct worker *worker)
{
    return worker->config->write_timeout_ns / 8;
}

/* When to look at the session again although nothing happens to it. */
static void set_deadline(struct worker *worker, int fd, int wants)
{
    const struct server_config *config = worker->config;
    struct echo *session = &worker->sessions[fd];
    uint64_t after_ns = config->idle_timeout_ns;

    if (wants == 0) {
        after_ns = LINGER_CHECK_NS << session->checks;
        if (session->checks < LINGER_CHECKS_MAX) {
            session->checks++;
        }
    } else if (is_draining(worker)) {
        after_ns = drain_quiet_ns(worker);
    } else if (wants == POLLOUT) {
        echo_stalled_since(session, fd, pollset_now(worker->set));
        after_ns = stall_check_ns(worker);
    }
    if (after_ns != 0) {
        pollset_deadline(worker->set, fd, pollset_now(worker->set) + after_ns);
    } else {
        pollset_no_deadline(worker->set, fd);
    }
}

/* What the session answered: wait for it, or close it. */
static void follow(struct worker *worker, int fd, int wants)
{
    if (wants == ECHO_OVER) {
        close_session(worker, fd, "peer ended it");
        return;
    }
    pollset_want(worker->set, fd, (short)wants);
    set_deadline(worker, fd, wants);
}

static void log_message(const struct worker *worker, const struct echo *session)
{
    char shown[MESSAGE_SHOWN];
    const struct echo_scratch *scratch = &worker->scratch;

    if (scratch->length > 0 && log_enabled(LOG_DEBUG)) {
        log_debug("connection %" PRIu32 " sent %zu bytes: %s", session->id, scratch->length,
                  escape_bytes(shown, sizeof shown, scratch->bytes, scratch->length));
    }
}

/* Late in a drain: whatever was said until now is echoed, then our direction ends. */
static bool must_end_now(const struct worker *worker)
{
    return is_draining(worker) && pollset_now(worker->set) - worker->drain_start_ns >=
                                      worker->config->drain_timeout_ns / 2;
}

void worker_event(struct worker *worker, int fd, short revents)
{
    struct echo *session = &worker->sessions[fd];
    int wants = echo_ready(session, fd, revents, &worker->scratch);

    worker->counts.bytes_in += worker->scratch.length;
    log_message(worker, session);
    if (wants == POLLIN && must_end_now(worker) &&
        worker->scratch.length < sizeof worker->scratch.bytes) {
        wants = echo_end(session, fd);
    }
    follow(worker, fd, wants);
}

bool worker_take(struct worker *worker, int fd, uint32_t id, bool is_quiet)
{
    if (!reserve(worker, fd) || !pollset_add(worker->set, fd, POLLIN)) {
        close(fd);
        return false;
    }
    struct echo *session = &worker->sessions[fd];
    echo_init(session);
    session->id = id;
    session->is_quiet = is_quiet;
    worker->counts.connections++;
    worker->counts.taken++;
    worker_event(worker, fd, POLLIN); /* the first bytes are often there already */
    return true;
}

static void cut_session(struct worker *worker, int fd, const char *reason)
{
    const struct echo *session = &worker->sessions[fd];

    worker->counts.cut++;
    log_warn("connection %" PRIu32 " cut: %s, %zu bytes pending, %zu not acknowledged",
             session->id, reason, echo_pending_bytes(session), net_unacknowledged(fd));
    close_session(worker, fd, reason);
}

void worker_deadline(struct worker *worker, int fd)
{
    struct echo *session = &worker->sessions[fd];

    if (session->state == ECHO_LINGERING && session->has_peer_eof) {
        follow(worker, fd, echo_ready(session, fd, 0, &worker->scratch));
    } else if (is_draining(worker)) {
        if (session->state == ECHO_OPEN) {
            follow(worker, fd, echo_end(session, fd));
        } /* else it was told to end; the drain's own deadline is what counts */
    } else if (session->pending != NULL) {
        uint64_t now = pollset_now(worker->set);

        if (now - echo_stalled_since(session, fd, now) >=
            worker->config->write_timeout_ns) {
            cut_session(worker, fd, "write timeout");
        } else {
            pollset_deadline(worker->set, fd, now + stall_check_ns(worker));
        }
    } else {
        close_session(worker, fd, "idle");
    }
}

void worker_drain(struct worker *worker)
{
    worker->drain_start_ns = pollset_now(worker->set);
    for (size_t fd = 0; fd < worker->capacity; fd++) {
        struct echo *session = &worker->sessions[fd];

        if (session->id != 0 && session->state == ECHO_OPEN) {
            pollset_deadline(worker->set, (int)fd,
                             worker->drain_start_ns + drain_quiet_ns(worker));
        }
    }
}

void worker_cut(struct worker *worker, const char *reason)
{
    for (size_t fd = 0; fd < worker->capacity && worker->counts.connections > 0; fd++) {
        if (worker->sessions[fd].id != 0) {
            cut_session(worker, (int)fd, reason);
        }
    }
}
