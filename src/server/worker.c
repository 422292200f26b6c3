#include "server/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/escape.h"
#include "base/events.h"
#include "base/format.h"
#include "base/log.h"
#include "base/table.h"
#include "io/identity.h"
#include "io/net.h"
#include "server/echo.h"
#include "server/health.h"

/* While draining, we end our direction of a connection that was idle for so long. One that
 * moved many bytes gets more time, for a large message may pause on its way while its
 * sender is busy. In the second half of the drain we no longer wait for idleness. */
#define DRAIN_IDLE_NS       (100 * CLOCK_MS)
#define DRAIN_IDLE_HEAVY_NS CLOCK_S

/* A session whose last bytes are not acknowledged is checked again after this time, then
 * after 2, 4, 8 ... times as long, up to 64 times. */
#define LINGER_CHECK_NS (4 * CLOCK_MS)

/* How long a PROXY header may take, as its specification wants it. */
#define HEADER_MS 3000

/* Bytes that may be read in whole chunks in a round: some milliseconds of copying. */
#define ROUND_BYTES ((size_t)4 * 1024 * 1024)

/* How many heavy sessions are served in a round, about: about a millisecond of copying. */
#define ROUND_HEAVY 16

/* Size of a message's text in the log at debug. */
#define MESSAGE_SHOWN 160

const char *const worker_end_names[] = {"peer ended it", "idle",          "reset",
                                        "timed out",     "error",         "no memory",
                                        "PROXY header",  "write timeout", "drain timeout",
                                        "second signal", "fatal error",   NULL};
_Static_assert(sizeof worker_end_names / sizeof *worker_end_names == WORKER_ENDS + 1,
               "each has its words");

/* A worker's data of a session beside its struct echo. */
struct session {
    uint32_t id : 29;       /* WORKER_HEALTH_CHECK: a health check */
    uint32_t is_used : 1;   /* this descriptor is a session */
    uint32_t is_heavy : 1;  /* its last step moved many bytes */
    uint32_t was_heavy : 1; /* the one before; in a drain: any before. Of a large message
                             * that pauses the last bytes are often few */
};
_Static_assert(sizeof(struct echo) + sizeof(struct session) <= 20,
               "a part of the 49 bytes of an idle connection");

/* Heavy sessions take turns when many are ready: each is served in one of `turns` rounds.
 * Otherwise two thousand peers that send without a pause would make each round so long that
 * all others wait for hundreds of milliseconds. */
struct turns {
    unsigned round; /* counts rounds */
    unsigned ready; /* heavy sessions that were ready in this round */
    unsigned turns; /* as many as the heavy ones of the round before need */
};

struct worker {
    const struct server_config *config;
    struct pollset *set;
    void (*on_close)(void *context, uint32_t id);
    void *context;
    struct echo *echoes;      /* by descriptor */
    struct session *sessions; /* by descriptor */
    size_t capacity;          /* of both tables */
    size_t connections;       /* without health checks */
    struct counter numbers[WORKER_NUMBERS];
    uint64_t drain_start_ns; /* 0: not draining */
    uint64_t round_ns;       /* pollset_now() of the round that budget and turns are for */
    struct turns heavy;
    bool awaits_preamble;                /* of each connection */
    char identity[IDENTITY_ANSWER_TEXT]; /* the answer to the question for it */
    struct echo_receive_buffer receive_buffer;
};

/* The host's name stands for one that is not configured. */
static void make_identity(struct worker *worker, int number)
{
    struct utsname host;
    const char *name = worker->config->name;

    if (strcmp(name, SERVER_HOST_NAME) == 0 && uname(&host) == 0) {
        name = host.nodename;
    }
    format(worker->identity, sizeof worker->identity, "%s " ECHOLAB_VERSION " %d\n", name,
           number);
}

struct worker *worker_new(const struct server_config *config, int number,
                          struct pollset *set, struct pending_pool *pool,
                          void (*on_close)(void *context, uint32_t id), void *context)
{
    struct worker *worker = calloc(1, sizeof *worker);

    if (worker != NULL) {
        worker->config = config;
        worker->set = set;
        worker->on_close = on_close;
        worker->context = context;
        worker->receive_buffer.pending.pool = pool;
        worker->awaits_preamble = config->proxy_protocol != 0 || config->identity != 0;
        make_identity(worker, number);
    }
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker != NULL) {
        pending_return(&worker->receive_buffer.pending);
        table_free(&worker->echoes, worker->capacity, sizeof *worker->echoes);
        table_free(&worker->sessions, worker->capacity, sizeof *worker->sessions);
        free(worker);
    }
}

size_t worker_connections(const struct worker *worker)
{
    return worker->connections;
}

size_t worker_pending_memory(const struct worker *worker)
{
    return worker->receive_buffer.pending.held;
}

void worker_add_numbers(const struct worker *worker, uint64_t sum[WORKER_NUMBERS])
{
    for (size_t i = 0; i < WORKER_NUMBERS; i++) {
        sum[i] += counter_get(&worker->numbers[i]);
    }
}

static bool is_draining(const struct worker *worker)
{
    return worker->drain_start_ns != 0;
}

/* A short drain waits less for idleness. */
static uint64_t drain_idle_ns(const struct worker *worker, int fd)
{
    uint64_t quarter = worker->config->drain_timeout_ns / 4;
    const struct session *session = &worker->sessions[fd];
    uint64_t idle =
        session->is_heavy || session->was_heavy ? DRAIN_IDLE_HEAVY_NS : DRAIN_IDLE_NS;

    return quarter < idle ? quarter : idle;
}

/* Make room for `fd` in both tables. */
static bool reserve(struct worker *worker, int fd)
{
    size_t old = worker->capacity, capacity = table_capacity((size_t)fd);

    if ((size_t)fd < old) {
        return true;
    }
    const struct table_part parts[] = {{&worker->echoes, sizeof *worker->echoes},
                                       {&worker->sessions, sizeof *worker->sessions}};
    if (!table_grow_all(parts, 2, old, capacity)) {
        return false;
    }
    worker->capacity = capacity;
    return true;
}

static bool is_health_check(const struct worker *worker, int fd)
{
    return worker->sessions[fd].id == WORKER_HEALTH_CHECK;
}

static void count(struct worker *worker, enum worker_number which, uint64_t number)
{
    counter_add(&worker->numbers[which], number);
}

static enum worker_end end_of_error(int error)
{
    return error == ECONNRESET || error == EPIPE ? WORKER_END_RESET
           : error == ETIMEDOUT                  ? WORKER_END_TIMED_OUT
           : error == ENOMEM                     ? WORKER_END_NO_MEMORY
                                                 : WORKER_END_ERROR;
}

static void count_closed(struct worker *worker, int fd, enum worker_end reason)
{
    const struct echo *echo = &worker->echoes[fd];
    size_t held = echo_held_bytes(echo);

    if (echo->error != 0) {
        reason = end_of_error((int)echo->error);
    }
    worker->connections--;
    count(worker, WORKER_CLOSED + reason, 1);
    count(worker, WORKER_DROPPED, held);
    count(worker, WORKER_PENDING, -(uint64_t)held);
}

static void log_closed(const struct worker *worker, int fd, enum worker_end reason)
{
    const struct echo *echo = &worker->echoes[fd];

    log_event(EVENT_CONNECTION_CLOSED, worker->sessions[fd].id,
              echo->error != 0 ? strerror(echo->error) : worker_end_names[reason],
              (uint64_t)echo->echoed_bytes,
              echo->has_late_bytes ? ", later bytes not" : "");
}

/* Close a session and release at once all that it holds. */
static void close_session(struct worker *worker, int fd, enum worker_end reason)
{
    uint32_t id = worker->sessions[fd].id;

    pollset_remove(worker->set, fd);
    if (!is_health_check(worker, fd)) {
        log_closed(worker, fd, reason);
        count_closed(worker, fd, reason);
    }
    echo_free(&worker->echoes[fd], &worker->receive_buffer);
    worker->sessions[fd] = (struct session){0};
    close(fd);
    worker->on_close(worker->context, id);
}

/* How often a blocked session is checked for progress of its peer. */
static uint64_t stall_check_ns(const struct worker *worker)
{
    return worker->config->write_timeout_ns / 8;
}

/* Set the time of the next check of a session without events. */
static void set_deadline(struct worker *worker, int fd, int wants)
{
    const struct server_config *config = worker->config;
    struct echo *echo = &worker->echoes[fd];
    uint64_t after_ns = config->idle_timeout_ns;

    if (is_health_check(worker, fd)) {
        return; /* it keeps its first deadline */
    }
    if (wants == 0) {
        after_ns = LINGER_CHECK_NS << (echo->end_looks - 1);
    } else if (is_draining(worker)) {
        after_ns = drain_idle_ns(worker, fd);
    } else if (wants == POLLOUT) {
        echo_stalled_since(echo, fd, pollset_now(worker->set));
        after_ns = stall_check_ns(worker);
    }
    if (after_ns != 0) {
        pollset_deadline(worker->set, fd, pollset_now(worker->set) + after_ns);
    } else {
        pollset_no_deadline(worker->set, fd);
    }
}

/* Follow the session's answer: wait for events, or close it. */
static void follow(struct worker *worker, int fd, int wants)
{
    if (wants == ECHO_OVER) {
        close_session(worker, fd, WORKER_END_PEER);
        return;
    }
    pollset_want(worker->set, fd, (short)wants);
    set_deadline(worker, fd, wants);
}

static void log_message(const struct worker *worker, int fd)
{
    char shown[MESSAGE_SHOWN];
    const struct echo_receive_buffer *received = &worker->receive_buffer;

    if (received->length > 0 && !is_health_check(worker, fd) && log_enabled(LOG_DEBUG)) {
        log_event(EVENT_MESSAGE_RECEIVED, worker->sessions[fd].id, received->length,
                  escape_bytes(shown, sizeof shown, received->bytes, received->length));
    }
}

/* In the second half of a drain: bytes received until now are echoed, then our direction
 * ends. */
static bool must_end_now(const struct worker *worker)
{
    return is_draining(worker) && pollset_now(worker->set) - worker->drain_start_ns >=
                                      worker->config->drain_timeout_ns / 2;
}

static void begin_round(struct worker *worker)
{
    if (worker->round_ns != pollset_now(worker->set)) {
        worker->round_ns = pollset_now(worker->set);
        worker->receive_buffer.budget = ROUND_BYTES;
        worker->heavy.round++;
        worker->heavy.turns = worker->heavy.ready / ROUND_HEAVY + 1;
        worker->heavy.ready = 0;
    }
}

/* A drain serves all: it has a deadline. */
static bool must_wait(struct worker *worker, int fd, short revents)
{
    struct turns *heavy = &worker->heavy;

    if (!worker->sessions[fd].is_heavy || (revents != POLLIN && revents != POLLOUT) ||
        is_draining(worker)) {
        return false;
    }
    heavy->ready++;
    return (heavy->round + (unsigned)fd) % heavy->turns != 0;
}

/* What one step received is echoed, held or lost. `echoed` and `held` are from before. */
static void count_bytes(struct worker *worker, int fd, uint64_t echoed, size_t held,
                        int wants)
{
    const struct echo *echo = &worker->echoes[fd];
    const struct echo_receive_buffer *received = &worker->receive_buffer;
    size_t sent = (size_t)(echo->echoed_bytes - echoed), left = echo_held_bytes(echo);

    count(worker, WORKER_RECEIVED, received->length + received->late);
    count(worker, WORKER_ECHOED, sent);
    count(worker, WORKER_PENDING, (uint64_t)left - held);
    count(worker, WORKER_DROPPED,
          received->late +
              (wants == ECHO_OVER ? received->length + held - sent - left : 0));
}

/* ---- before the echo -------------------------------------------------------------------
 */

static void await_preamble(struct worker *worker, int fd)
{
    echo_await(&worker->echoes[fd],
               (struct preamble){
                   .since_ms = (uint32_t)(pollset_now(worker->set) / CLOCK_MS),
                   .awaits_header = worker->config->proxy_protocol != 0,
                   .awaits_question = worker->config->identity != 0,
               });
    pollset_deadline(worker->set, fd, pollset_now(worker->set) + HEADER_MS * CLOCK_MS);
}

/* Without a source the connection's own ends count, which are logged already. */
static void log_header(const struct worker *worker, int fd,
                       const struct proxy_header *header)
{
    char text[NET_ADDRESS_TEXT];

    if (header->source.length != 0) {
        log_event(EVENT_CONNECTION_PROXIED, worker->sessions[fd].id,
                  net_address_text(&header->source, text));
    }
}

/* The header is wrong at an offset, or incomplete with all its bytes. */
static void refuse_header(struct worker *worker, int fd, size_t at, size_t length)
{
    char shown[MESSAGE_SHOWN];

    log_event(EVENT_PROXY_HEADER_WRONG, worker->sessions[fd].id, at, length,
              escape_bytes(shown, sizeof shown, worker->receive_buffer.bytes, length));
    close_session(worker, fd, WORKER_END_HEADER);
}

/* A part of a preamble is there: look again after 4, 8, ... 256 ms. Returns whether its
 * time is up: the question has as many looks (0.5 s), a header has its time. */
static bool is_part_late(struct worker *worker, struct echo *echo)
{
    uint32_t now_ms = (uint32_t)(pollset_now(worker->set) / CLOCK_MS);

    if (echo->preamble.awaits_header && now_ms - echo->preamble.since_ms >= HEADER_MS) {
        return true;
    }
    if (echo->end_looks == ECHO_END_LOOKS_MAX) {
        return !echo->preamble.awaits_header;
    }
    echo->end_looks++;
    return false;
}

/* An event of a session that is not begun, or its deadline. Returns whether the echo
 * begins; otherwise all is done. */
static bool take_preamble(struct worker *worker, int fd, bool is_deadline)
{
    struct echo *echo = &worker->echoes[fd];
    struct proxy_header header;
    enum preamble_step step;
    size_t length = 0;

    while ((step = preamble_look(&echo->preamble, fd, worker->receive_buffer.bytes, &length,
                                 worker->identity, &header)) == PREAMBLE_HEADER) {
        log_header(worker, fd, &header);
        echo->end_looks = 0;
    }
    bool awaits_header = echo->preamble.awaits_header;
    if (step == PREAMBLE_PART && !is_part_late(worker, echo)) {
        follow(worker, fd, 0);
    } else if (step == PREAMBLE_NOTHING && !is_deadline) {
        if (!awaits_header) { /* else it keeps its first deadline */
            follow(worker, fd, POLLIN);
        }
    } else if (step == PREAMBLE_ENDED) {
        echo->error = (unsigned)errno & 0xff;
        close_session(worker, fd, WORKER_END_PEER);
    } else if (awaits_header) {
        refuse_header(worker, fd, step == PREAMBLE_WRONG ? header.wrong_at : length,
                      length);
    } else {
        echo_init(echo);
        return true;
    }
    return false;
}

/* End our direction, with the byte that is held back. */
static void end_session(struct worker *worker, int fd)
{
    struct echo *echo = &worker->echoes[fd];
    uint64_t echoed = echo->echoed_bytes;
    size_t held = echo_held_bytes(echo);
    int wants = echo_end(echo, fd);

    worker->receive_buffer.length = worker->receive_buffer.late = 0;
    count_bytes(worker, fd, echoed, held, wants);
    follow(worker, fd, wants);
}

static int serve(struct worker *worker, int fd, short revents)
{
    struct session *session = &worker->sessions[fd];
    const struct echo *echo = &worker->echoes[fd];
    uint64_t echoed = echo->echoed_bytes;
    size_t held = echo_held_bytes(echo);

    int wants = echo_ready(&worker->echoes[fd], fd, revents, &worker->receive_buffer);

    session->was_heavy = session->is_heavy || (is_draining(worker) && session->was_heavy);
    session->is_heavy =
        worker->receive_buffer.length >= ECHO_SMALL_CHUNK || revents == POLLOUT;
    if (!is_health_check(worker, fd)) {
        count_bytes(worker, fd, echoed, held, wants);
    }
    log_message(worker, fd);
    return wants;
}

void worker_event(struct worker *worker, int fd, short revents)
{
    begin_round(worker);
    if (worker->echoes[fd].state == ECHO_PREAMBLE && !take_preamble(worker, fd, false)) {
        return;
    }
    if (must_wait(worker, fd, revents)) {
        follow(worker, fd, revents); /* its peer is active: the deadlines move */
        return;
    }
    int wants = serve(worker, fd, revents);

    if (wants == POLLIN && must_end_now(worker)) {
        /* A read may end before an urgent byte (net.h); another one takes the rest. */
        wants = serve(worker, fd, POLLIN);
        if (wants == POLLIN && !worker->receive_buffer.may_have_more) {
            end_session(worker, fd);
            return;
        }
    }
    follow(worker, fd, wants);
}

bool worker_take(struct worker *worker, int fd, uint32_t id)
{
    count(worker, WORKER_TAKEN, id != WORKER_HEALTH_CHECK);
    if (!reserve(worker, fd) || !pollset_add(worker->set, fd, POLLIN)) {
        close(fd);
        count(worker, WORKER_CLOSED + WORKER_END_NO_MEMORY, id != WORKER_HEALTH_CHECK);
        return false;
    }
    echo_init(&worker->echoes[fd]);
    worker->sessions[fd] = (struct session){.id = id, .is_used = true};
    if (id == WORKER_HEALTH_CHECK) {
        pollset_deadline(worker->set, fd, clock_now_ns() + HEALTH_CHECK_NS);
    } else {
        worker->connections++;
        if (worker->awaits_preamble) {
            await_preamble(worker, fd);
        }
    }
    worker_event(worker, fd, POLLIN); /* the first bytes are often there already */
    return true;
}

/* No byte of a preamble has come, and none has to: or not any more. */
static bool is_silent(const struct worker *worker, const struct echo *echo)
{
    return echo->end_looks == 0 && (!echo->preamble.awaits_header || is_draining(worker));
}

static void cut_session(struct worker *worker, int fd, enum worker_end reason)
{
    size_t pending = echo_pending_bytes(&worker->echoes[fd], fd);

    log_event(EVENT_CONNECTION_CUT, worker->sessions[fd].id, worker_end_names[reason],
              pending, net_unacknowledged(fd));
    close_session(worker, fd, reason);
}

void worker_deadline(struct worker *worker, int fd)
{
    struct echo *echo = &worker->echoes[fd];

    if (echo->state == ECHO_PREAMBLE) {
        if (!is_silent(worker, echo)) {
            if (take_preamble(worker, fd, true)) {
                worker_event(worker, fd, POLLIN);
            }
            return;
        }
        echo_init(echo); /* it ends like others that say nothing */
    }
    if (is_health_check(worker, fd)) {
        close_session(worker, fd, WORKER_END_TIMED_OUT);
    } else if (echo->state == ECHO_LINGERING && echo->has_peer_eof) {
        follow(worker, fd, echo_ready(echo, fd, 0, &worker->receive_buffer));
    } else if (is_draining(worker)) {
        if (echo_is_blocked(echo) && !must_end_now(worker)) {
            set_deadline(worker, fd, POLLOUT); /* in the midst of a message */
        } else if (echo_is_open(echo)) {
            end_session(worker, fd);
        } /* else it is ending already, and the drain's own deadline limits it */
    } else if (echo_is_blocked(echo)) {
        uint64_t now = pollset_now(worker->set);

        if (now - echo_stalled_since(echo, fd, now) >= worker->config->write_timeout_ns) {
            cut_session(worker, fd, WORKER_CUT_WRITE_TIMEOUT);
        } else {
            pollset_deadline(worker->set, fd, now + stall_check_ns(worker));
        }
    } else {
        close_session(worker, fd, WORKER_END_IDLE);
    }
}

void worker_drain(struct worker *worker)
{
    worker->drain_start_ns = pollset_now(worker->set);
    worker->receive_buffer.holds_back = true;
    for (size_t fd = 0; fd < worker->capacity; fd++) {
        if (!worker->sessions[fd].is_used) {
            continue;
        }
        if (is_health_check(worker, (int)fd)) {
            close_session(worker, (int)fd, WORKER_END_IDLE);
        } else if (echo_is_open(&worker->echoes[fd]) ||
                   worker->echoes[fd].state == ECHO_PREAMBLE) {
            pollset_deadline(worker->set, (int)fd,
                             worker->drain_start_ns + drain_idle_ns(worker, (int)fd));
        }
    }
}

void worker_cut(struct worker *worker, enum worker_end reason)
{
    for (size_t fd = 0; fd < worker->capacity; fd++) {
        if (!worker->sessions[fd].is_used) {
            continue;
        }
        if (is_health_check(worker, (int)fd)) {
            close_session(worker, (int)fd, reason);
        } else {
            cut_session(worker, (int)fd, reason);
        }
    }
}
