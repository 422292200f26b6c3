#include "load_worker.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "clock.h"
#include "format.h"
#include "log.h"
#include "payload.h"
#include "pollset.h"
#include "table.h"

/* The most bytes of one read and one write. */
#define CHUNK (256 * 1024)

/* Connects under way at once: more would overflow the server's backlog (listen(2)), and a
 * SYN that was dropped comes again after a second only. */
#define CONNECTING_MAX 128

/* How often the live histogram is brought up to date. */
#define LIVE_NS (200 * CLOCK_MS)

/* How often to look for connections whose pause is over. */
#define TICK_NS (10 * CLOCK_MS)

/* The schedule's timer is not finer: what became due since is sent together. */
#define TIMER_MIN_NS (50 * CLOCK_US)

/* From the last thread's being ready to the start: so that all hear of it. */
#define START_NS (2 * CLOCK_MS)

#define BACKOFF_MAX_NS (5 * CLOCK_S)

/* How long a peer has to end its direction after we ended ours. */
#define CLOSING_NS CLOCK_S

/* Faults that are told one by one, for each thread. */
#define FAULTS_SHOWN 10

enum state {
    WAITING,    /* without a socket, until retry_ns */
    CONNECTING, /* connect(2) is under way */
    OPEN,       /* messages go and come */
    CLOSING,    /* our end of stream is sent; nothing but the peer's may come */
    ENDED,      /* not used any more */
};

/* A message under way. */
struct flight {
    uint64_t due_ns;   /* when it should have been sent; in a closed loop, when it was */
    uint64_t sent_ns;  /* when its first byte was given to send() */
    uint64_t first_ns; /* when the first byte came back; 0: not yet */
};

/*  messages of a connection:   received ... sending ... begun
 *                              |  under way           |
 */
struct connection {
    int fd;
    uint8_t state; /* enum state */
    bool has_deadline, is_listed, wants_out, is_tried;
    uint32_t number;  /* in all threads */
    uint32_t address; /* index */
    uint64_t begun, sending, receiving;
    size_t sent_bytes, received_bytes; /* of the messages `sending` and `receiving` */
    uint64_t since_ns;                 /* begin of the connect */
    uint64_t retry_ns, backoff_ns;
};

struct worker {
    const struct load_plan *plan;
    const struct load_config *load;
    unsigned number;
    struct load_result *result;
    struct load_live *live;
    struct pollset *set;
    struct connection *connections;
    uint32_t count;
    struct flight *flights; /* `pipeline` of each connection */
    uint32_t *by_fd;        /* connection's index + 1 */
    size_t by_fd_capacity;
    uint32_t *free; /* open loop: a ring of connections with room */
    uint32_t free_first, free_count;
    uint64_t budget; /* messages that may still begin */
    uint64_t due;    /* open loop: messages that began, of this thread's */
    uint32_t waiting, connecting, ended, cursor;
    uint32_t tried;    /* connections that opened or failed at least once */
    bool is_ready;     /* the other threads were told */
    uint64_t begin_ns; /* of opening connections */
    uint64_t start_ns, measure_ns, end_ns; /* 0: the start is not known yet */
    uint32_t next_address;
    int timer; /* -1: closed loop */
    bool is_stopping, is_cut;
    uint64_t live_ns; /* when the live histogram was last brought up to date */
    unsigned faults;
    uint64_t away_since_ns; /* 0: the last thing was an echo */
    unsigned char in[CHUNK], out[CHUNK];
};

static void open_connection(struct worker *worker, struct connection *c);
static void serve_schedule(struct worker *worker);

static uint64_t under_way(const struct connection *c)
{
    return c->begun - c->receiving;
}

static struct flight *flight(struct worker *worker, const struct connection *c, uint64_t n)
{
    uint64_t pipeline = worker->load->pipeline;

    return &worker->flights[(size_t)((uint64_t)(c - worker->connections) * pipeline +
                                     n % pipeline)];
}

static const char *address_text(const struct worker *worker, const struct connection *c,
                                char *out)
{
    return net_address_text(&worker->plan->addresses[c->address], out);
}

/* ---- the life of a connection ----------------------------------------------------------
 */

static void close_socket(struct worker *worker, struct connection *c)
{
    if (c->state == CONNECTING) {
        worker->connecting--;
    } else if (c->state == OPEN) {
        atomic_fetch_sub_explicit(&worker->live->open, 1, memory_order_relaxed);
    }
    pollset_remove(worker->set, c->fd);
    close(c->fd);
    c->fd = -1;
    c->has_deadline = c->wants_out = false;
}

static void end_connection(struct worker *worker, struct connection *c)
{
    if (c->fd != -1) {
        close_socket(worker, c);
    }
    worker->waiting -= c->state == WAITING ? 1 : 0;
    c->state = ENDED;
    worker->ended++;
}

/* Will there be more to send? */
static bool has_more(const struct worker *worker)
{
    return !worker->is_stopping && worker->budget > 0;
}

static bool may_begin(const struct worker *worker)
{
    return has_more(worker) && worker->start_ns != 0;
}

static void mark_tried(struct worker *worker, struct connection *c)
{
    worker->tried += c->is_tried ? 0 : 1;
    c->is_tried = true;
}

/* Without a socket: open again at `retry_ns`, or end. */
static void wait_or_end(struct worker *worker, struct connection *c, uint64_t retry_ns)
{
    c->state = WAITING;
    worker->waiting++;
    c->retry_ns = retry_ns;
    if (!has_more(worker)) {
        end_connection(worker, c);
    }
}

static void count_error(struct worker *worker, struct connection *c,
                        enum probe_outcome outcome, uint64_t now)
{
    uint64_t lost = under_way(c), errors = lost > 0 ? lost : 1;

    worker->result->last_ns = now;
    worker->result->lost += lost;
    worker->result->errors[outcome] += errors;
    worker->result->addresses[c->address].errors += errors;
    atomic_fetch_add_explicit(&worker->live->errors, errors, memory_order_relaxed);
    if (worker->away_since_ns == 0) {
        worker->away_since_ns = now;
    }
    c->sending = c->receiving = c->begun;
    c->sent_bytes = c->received_bytes = 0;
}

/* The connection failed, or could not be made. */
static void fail(struct worker *worker, struct connection *c, enum probe_outcome outcome,
                 const char *detail)
{
    uint64_t now = clock_now_ns();
    char address[NET_ADDRESS_TEXT];

    if (worker->faults++ < FAULTS_SHOWN) {
        log_warn("connection %" PRIu32 " to %s, message %" PRIu64 ": %s%s%s", c->number,
                 address_text(worker, c, address), c->receiving,
                 probe_outcome_names[outcome], *detail != '\0' ? ": " : "", detail);
    }
    count_error(worker, c, outcome, now);
    mark_tried(worker, c);
    if (c->fd != -1) {
        close_socket(worker, c);
    }
    if (worker->load->retry_ns == 0) {
        end_connection(worker, c);
        return;
    }
    c->backoff_ns = c->backoff_ns == 0 ? worker->load->retry_ns : 2 * c->backoff_ns;
    c->backoff_ns = c->backoff_ns > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : c->backoff_ns;
    wait_or_end(worker, c, now + c->backoff_ns);
}

/* A limit of this machine, not a fault of the server. */
static const char *local_limit(int error)
{
    switch (error) {
    case EADDRNOTAVAIL:
        return "no port is left on this side for that address: see "
               "net.ipv4.ip_local_port_range; a server with several addresses has more";
    case EMFILE:
        return "no descriptor is left: raise the limit of open files (ulimit -n)";
    case ENFILE:
        return "no descriptor is left in the system: see fs.file-max";
    default:
        return strerror(error);
    }
}

static void fail_errno(struct worker *worker, struct connection *c, int error)
{
    fail(worker, c, probe_outcome_of(error), local_limit(error));
}

static bool register_socket(struct worker *worker, struct connection *c)
{
    size_t fd = (size_t)c->fd, capacity = table_capacity(fd);

    if (fd >= worker->by_fd_capacity) {
        if (!table_grow(&worker->by_fd, worker->by_fd_capacity, capacity,
                        sizeof *worker->by_fd)) {
            return false;
        }
        worker->by_fd_capacity = capacity;
    }
    worker->by_fd[fd] = (uint32_t)(c - worker->connections) + 1;
    return pollset_add(worker->set, c->fd, POLLOUT);
}

static void open_connection(struct worker *worker, struct connection *c)
{
    const struct load_plan *plan = worker->plan;

    worker->waiting--;
    c->state = CONNECTING;
    if (worker->load->address_policy == LOAD_ROUND_ROBIN) {
        c->address = worker->next_address++ % (uint32_t)plan->address_count;
    }
    c->since_ns = clock_now_ns();
    c->fd = net_connect(&plan->addresses[c->address], NULL);
    if (c->fd == -1) {
        fail_errno(worker, c, errno);
        return;
    }
    if (!register_socket(worker, c)) {
        close(c->fd);
        c->fd = -1;
        fail_errno(worker, c, ENOMEM);
        return;
    }
    worker->connecting++;
    pollset_deadline(worker->set, c->fd, c->since_ns + plan->config->timeout_ns);
}

/* Open what waits and may be opened, from the one after the last on. */
static void open_some(struct worker *worker, uint64_t now)
{
    for (uint32_t i = 0;
         i < worker->count && worker->waiting > 0 && worker->connecting < CONNECTING_MAX;
         i++) {
        struct connection *c = &worker->connections[worker->cursor];

        worker->cursor = worker->cursor + 1 < worker->count ? worker->cursor + 1 : 0;
        if (c->state == WAITING && c->retry_ns <= now) {
            open_connection(worker, c);
        }
    }
}

/* ---- sending ---------------------------------------------------------------------------
 */

static void begin_message(struct worker *worker, struct connection *c, uint64_t now,
                          uint64_t due_ns)
{
    struct flight *f = flight(worker, c, c->begun++);

    *f = (struct flight){.due_ns = due_ns, .sent_ns = now};
    worker->budget--;
    worker->result->sent++;
    if (!c->has_deadline) {
        c->has_deadline = true;
        pollset_deadline(worker->set, c->fd, now + worker->plan->config->timeout_ns);
    }
}

/* Put the bytes that are to be sent together. Returns how many. */
static size_t assemble(struct worker *worker, const struct connection *c)
{
    size_t size = (size_t)worker->load->size, used = 0, offset = c->sent_bytes;

    for (uint64_t n = c->sending; n < c->begun && used < CHUNK; n++) {
        size_t left = size - offset, room = CHUNK - used;
        size_t length = left < room ? left : room;

        payload_fill(worker->out + used, payload_key(worker->plan->seed, c->number, n),
                     offset, length);
        used += length;
        offset = 0;
    }
    return used;
}

/* Send what was begun. Returns false when the connection failed. */
static bool flush(struct worker *worker, struct connection *c)
{
    size_t length = assemble(worker, c);

    if (length == 0) {
        return true;
    }
    ssize_t n = send(c->fd, worker->out, length, MSG_NOSIGNAL);
    if (n == -1 && errno != EAGAIN && errno != EINTR && errno != EPIPE) {
        fail_errno(worker, c, errno);
        return false;
    }
    /* After EPIPE, what the peer said before it closed explains more. */
    c->sent_bytes += n > 0 ? (size_t)n : 0;
    c->sending += c->sent_bytes / worker->load->size;
    c->sent_bytes %= worker->load->size;
    bool wants_out = !(n == -1 && errno == EPIPE) && c->sending < c->begun;
    if (wants_out != c->wants_out) {
        c->wants_out = wants_out;
        pollset_want(worker->set, c->fd, wants_out ? POLLIN | POLLOUT : POLLIN);
    }
    return true;
}

static bool has_room(const struct worker *worker, const struct connection *c)
{
    return c->state == OPEN && under_way(c) < worker->load->pipeline;
}

/* All is sent and came back: end our direction and see what the peer still says. */
static void finish_connection(struct worker *worker, struct connection *c)
{
    if (c->state == OPEN && shutdown(c->fd, SHUT_WR) == 0) {
        atomic_fetch_sub_explicit(&worker->live->open, 1, memory_order_relaxed);
        c->state = CLOSING;
        pollset_deadline(worker->set, c->fd, pollset_now(worker->set) + CLOSING_NS);
    } else {
        end_connection(worker, c);
    }
}

/* Begin what may begin now, and send it. `now` is a fresh reading of the clock. */
static void go_on(struct worker *worker, struct connection *c, uint64_t now)
{
    if (worker->load->rate != 0) {
        if (has_room(worker, c) && !c->is_listed) {
            c->is_listed = true;
            worker->free[(worker->free_first + worker->free_count++) % worker->count] =
                (uint32_t)(c - worker->connections);
        }
        serve_schedule(worker);
    } else {
        while (may_begin(worker) && under_way(c) < worker->load->pipeline) {
            begin_message(worker, c, now, now);
        }
        if (!flush(worker, c)) {
            return;
        }
    }
    if (c->state == OPEN && !has_more(worker) && under_way(c) == 0) {
        finish_connection(worker, c);
    }
}

/* ---- the schedule of the open loop -----------------------------------------------------
 */

/* When the n-th message of this thread is due: the threads take turns. */
static uint64_t due_at(const struct worker *worker, uint64_t n)
{
    uint64_t index = n * worker->load->threads + worker->number, rate = worker->load->rate;

    return worker->start_ns + index / rate * CLOCK_S + index % rate * CLOCK_S / rate;
}

/* The connection that is free for the longest; NULL: none. */
static struct connection *take_free(struct worker *worker)
{
    while (worker->free_count > 0) {
        struct connection *c = &worker->connections[worker->free[worker->free_first]];

        worker->free_first = (worker->free_first + 1) % worker->count;
        worker->free_count--;
        c->is_listed = false;
        if (has_room(worker, c)) {
            return c;
        }
    }
    return NULL;
}

static void serve_schedule(struct worker *worker)
{
    uint64_t now = clock_now_ns();
    struct connection *c;

    while (may_begin(worker) && due_at(worker, worker->due) <= now &&
           due_at(worker, worker->due) < worker->end_ns &&
           (c = take_free(worker)) != NULL) {
        begin_message(worker, c, now, due_at(worker, worker->due++));
        if (flush(worker, c) && has_room(worker, c)) {
            c->is_listed = true;
            worker->free[(worker->free_first + worker->free_count++) % worker->count] =
                (uint32_t)(c - worker->connections);
        }
        now = clock_now_ns();
    }
}

/* How many messages were due until `now`, but never began. */
static uint64_t skipped(const struct worker *worker, uint64_t now)
{
    uint64_t until = now < worker->end_ns ? now : worker->end_ns;
    uint64_t passed = until > worker->start_ns ? until - worker->start_ns : 0;
    uint64_t rate = worker->load->rate, threads = worker->load->threads;
    /* Of all threads: those with an index below; then every threads-th is ours. */
    uint64_t all =
        passed / CLOCK_S * rate + (passed % CLOCK_S * rate + CLOCK_S - 1) / CLOCK_S;
    uint64_t ours = (all + threads - 1 - worker->number) / threads;
    uint64_t left = ours > worker->due ? ours - worker->due : 0;

    return left < worker->budget ? left : worker->budget;
}

static bool start_timer(struct worker *worker)
{
    uint64_t interval = CLOCK_S * worker->load->threads / worker->load->rate;
    uint64_t first = due_at(worker, 0);

    interval = interval < TIMER_MIN_NS ? TIMER_MIN_NS : interval;
    struct itimerspec when = {
        .it_value = {(time_t)(first / CLOCK_S), (long)(first % CLOCK_S)},
        .it_interval = {(time_t)(interval / CLOCK_S), (long)(interval % CLOCK_S)},
    };
    worker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (worker->timer == -1 ||
        timerfd_settime(worker->timer, TFD_TIMER_ABSTIME, &when, NULL) == -1 ||
        !pollset_add(worker->set, worker->timer, POLLIN)) {
        return false;
    }
    pollset_pin(worker->set, worker->timer);
    return true;
}

/* ---- receiving -------------------------------------------------------------------------
 */

/* The whole echo of a message is there. */
static void complete(struct worker *worker, struct connection *c, uint64_t now)
{
    struct load_result *result = worker->result;
    const struct flight *f = flight(worker, c, c->receiving);

    c->receiving++;
    c->received_bytes = 0;
    c->backoff_ns = 0;
    result->echoed++;
    result->last_ns = now;
    result->addresses[c->address].echoed++;
    atomic_store_explicit(&worker->live->echoed, result->echoed, memory_order_relaxed);
    if (worker->away_since_ns != 0) {
        uint64_t away = now - worker->away_since_ns;

        result->away_ns = away > result->away_ns ? away : result->away_ns;
        worker->away_since_ns = 0;
    }
    if (now < worker->measure_ns) {
        return;
    }
    result->measured++;
    result->in_time += now < worker->end_ns ? 1 : 0;
    histogram_record(&result->addresses[c->address].reply, now - f->due_ns);
    histogram_record(&result->first_byte, f->first_ns - f->sent_ns);
    if (worker->timer != -1) {
        histogram_record(&result->raw, now - f->sent_ns);
    }
}

/* Say of wrong bytes, as well as can be told, whose they are. `bytes` stood at `offset`. */
static void describe(struct worker *worker, const struct connection *c,
                     const unsigned char *bytes, size_t length, size_t wrong, char *out,
                     size_t size)
{
    unsigned char expected;
    size_t offset = c->received_bytes + wrong;
    uint64_t key = payload_key(worker->plan->seed, c->number, c->receiving);

    payload_fill(&expected, key, offset, 1);
    size_t used = format(out, size, "byte %zu is 0x%02x, expected 0x%02x", offset,
                         bytes[wrong], expected);
    for (size_t i = wrong > 7 ? wrong - 7 : 0; i + 8 <= length; i++) {
        uint32_t other;
        uint64_t message;

        if ((c->received_bytes + i) % 8 != 0) {
            continue;
        }
        payload_origin(bytes + i, worker->plan->seed, c->received_bytes + i, &other,
                       &message);
        if (other < worker->load->connections && message < worker->result->sent &&
            (other != c->number || message != c->receiving)) {
            format(out + used, size - used,
                   ": it is message %" PRIu64 " of connection %" PRIu32, message, other);
        }
        return;
    }
}

/* Take what came. Returns false when the connection failed. */
static bool consume(struct worker *worker, struct connection *c, const unsigned char *bytes,
                    size_t length, uint64_t now)
{
    size_t size = (size_t)worker->load->size;
    char detail[160];

    while (length > 0) {
        if (under_way(c) == 0) {
            format(detail, sizeof detail, "%zu bytes more than were sent", length);
            fail(worker, c, PROBE_DIFFERS, detail);
            return false;
        }
        size_t left = size - c->received_bytes, part = length < left ? length : left;
        if (c->received_bytes == 0) {
            flight(worker, c, c->receiving)->first_ns = now;
        }
        size_t right = part;
        if (worker->plan->config->verify) {
            right = payload_compare(
                bytes, payload_key(worker->plan->seed, c->number, c->receiving),
                c->received_bytes, part);
        }
        if (right < part) {
            describe(worker, c, bytes, part, right, detail, sizeof detail);
            fail(worker, c, PROBE_DIFFERS, detail);
            return false;
        }
        c->received_bytes += part;
        if (c->received_bytes == size) {
            complete(worker, c, now);
        }
        bytes += part;
        length -= part;
    }
    return true;
}

static void fail_closed(struct worker *worker, struct connection *c)
{
    char detail[96] = "";

    if (under_way(c) > 0) {
        format(detail, sizeof detail, "%zu of %zu bytes came back", c->received_bytes,
               (size_t)worker->load->size);
    }
    fail(worker, c, PROBE_CLOSED_EARLY, detail);
}

static void receive(struct worker *worker, struct connection *c)
{
    ssize_t n = recv(c->fd, worker->in, sizeof worker->in, 0);

    if (n == -1) {
        if (errno != EAGAIN && errno != EINTR) {
            fail_errno(worker, c, errno);
        }
        return;
    }
    if (n == 0 && c->state == CLOSING) {
        end_connection(worker, c);
        return;
    }
    if (n == 0) {
        fail_closed(worker, c);
        return;
    }
    uint64_t now = clock_now_ns();
    if (!consume(worker, c, worker->in, (size_t)n, now)) {
        return;
    }
    if (worker->load->reconnect && c->begun > 0 && under_way(c) == 0) {
        close_socket(worker, c);
        wait_or_end(worker, c, 0);
        if (c->state == WAITING && worker->connecting < CONNECTING_MAX) {
            open_connection(worker, c);
        }
    } else if (c->state == OPEN) {
        go_on(worker, c, now);
    }
}

static void connected(struct worker *worker, struct connection *c)
{
    int error = net_connect_result(c->fd);
    uint64_t now = clock_now_ns();

    if (error != 0) {
        fail_errno(worker, c, error);
        open_some(worker, now);
        return;
    }
    worker->connecting--;
    worker->result->addresses[c->address].connects++;
    histogram_record(&worker->result->connect, now - c->since_ns);
    mark_tried(worker, c);
    c->state = OPEN;
    atomic_fetch_add_explicit(&worker->live->open, 1, memory_order_relaxed);
    pollset_no_deadline(worker->set, c->fd);
    pollset_want(worker->set, c->fd, POLLIN);
    go_on(worker, c, now);
    open_some(worker, now);
}

/* ---- the loop --------------------------------------------------------------------------
 */

/* Nothing more begins; connections without a message under way end. */
static void stop(struct worker *worker)
{
    worker->is_stopping = true;
    for (uint32_t i = 0; i < worker->count; i++) {
        struct connection *c = &worker->connections[i];

        if (c->state != ENDED && c->state != CLOSING && under_way(c) == 0) {
            finish_connection(worker, c);
        }
    }
}

/* A signal: what is under way after this round is left. */
static void cut(struct worker *worker)
{
    stop(worker);
    worker->is_cut = true;
    worker->result->last_ns = pollset_now(worker->set);
}

/* Begin the first messages. */
static void start(struct worker *worker, uint64_t start_ns)
{
    worker->start_ns = start_ns;
    worker->measure_ns = load_measure_ns(worker->load, start_ns);
    worker->end_ns = load_end_ns(worker->load, start_ns);
    if (worker->load->rate != 0 && !start_timer(worker)) {
        worker->result->fatal = errno;
        cut(worker);
        return;
    }
    for (uint32_t i = 0; i < worker->count; i++) {
        if (worker->connections[i].state == OPEN) {
            go_on(worker, &worker->connections[i], clock_now_ns());
        }
    }
}

/* Tell the other threads that they need not wait for this one; the last one starts all. */
static void tell_ready(const struct load_plan *plan, uint64_t now)
{
    if (atomic_fetch_add(&plan->start->ready, 1) + 1 == plan->config->load.threads) {
        atomic_store(&plan->start->at_ns, now + START_NS);
    }
}

/* All connections were tried, or had the time for it: start as soon as all threads did. */
static void get_ready(struct worker *worker, uint64_t now)
{
    if (!worker->is_ready && (worker->tried == worker->count ||
                              now - worker->begin_ns >= worker->plan->config->timeout_ns)) {
        worker->is_ready = true;
        tell_ready(worker->plan, now);
    }
    uint64_t at_ns = atomic_load(&worker->plan->start->at_ns);
    if (at_ns != 0 && at_ns <= now) {
        start(worker, at_ns);
    }
}

static void show(struct worker *worker, uint64_t now)
{
    struct histogram *reply = &worker->live->reply;

    worker->live_ns = now;
    pthread_mutex_lock(&worker->live->lock);
    memset(reply, 0, sizeof *reply);
    for (size_t i = 0; i < worker->plan->address_count; i++) {
        histogram_merge(reply, &worker->result->addresses[i].reply);
    }
    pthread_mutex_unlock(&worker->live->lock);
}

static void tick(struct worker *worker, uint64_t now)
{
    uint64_t next = now + (worker->start_ns == 0 ? CLOCK_MS : TICK_NS);

    if (worker->plan->is_live && now - worker->live_ns >= LIVE_NS) {
        show(worker, now);
    }
    if (worker->start_ns == 0 && !worker->is_stopping) {
        get_ready(worker, now);
    }
    if (worker->start_ns != 0 && !worker->is_stopping &&
        (now >= worker->end_ns || worker->budget == 0)) {
        if (now >= worker->end_ns) {
            worker->result->last_ns = now;
        }
        stop(worker);
    }
    if (!worker->is_stopping) {
        open_some(worker, now);
        next = worker->start_ns != 0 && worker->end_ns < next ? worker->end_ns : next;
    }
    pollset_deadline(worker->set, worker->plan->stop_fd, next);
}

static void on_event(void *context, int fd, short revents)
{
    struct worker *worker = context;
    uint64_t expirations;

    if (fd == worker->plan->stop_fd) {
        cut(worker);
        return;
    }
    if (fd == worker->timer) {
        (void)!read(fd, &expirations, sizeof expirations);
        serve_schedule(worker);
        return;
    }
    struct connection *c = &worker->connections[worker->by_fd[fd] - 1];
    if (c->state == CONNECTING) {
        connected(worker, c);
        return;
    }
    if ((revents & POLLOUT) != 0 && !flush(worker, c)) {
        return;
    }
    if ((revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
        receive(worker, c);
    }
}

static void on_deadline(void *context, int fd)
{
    struct worker *worker = context;
    uint64_t now = pollset_now(worker->set);
    char detail[96];

    if (fd == worker->plan->stop_fd) {
        tick(worker, now);
        return;
    }
    struct connection *c = &worker->connections[worker->by_fd[fd] - 1];
    if (c->state == CLOSING) {
        end_connection(worker, c);
        return;
    }
    if (c->state == CONNECTING) {
        fail(worker, c, PROBE_TIMED_OUT, "no connection");
        return;
    }
    c->has_deadline = under_way(c) > 0;
    if (!c->has_deadline) {
        return;
    }
    uint64_t until =
        flight(worker, c, c->receiving)->sent_ns + worker->plan->config->timeout_ns;
    if (until > now) {
        pollset_deadline(worker->set, fd, until);
        return;
    }
    format(detail, sizeof detail, "%zu of %zu bytes came back", c->received_bytes,
           (size_t)worker->load->size);
    fail(worker, c, PROBE_TIMED_OUT, detail);
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline};

/* How much of `whole` is the share of thread `number`. */
static uint64_t share(const struct worker *worker, uint64_t whole, unsigned number)
{
    return whole / worker->load->threads + (number < whole % worker->load->threads ? 1 : 0);
}

static bool prepare(struct worker *worker)
{
    uint64_t before = 0;

    worker->count = (uint32_t)share(worker, worker->load->connections, worker->number);
    for (unsigned i = 0; i < worker->number; i++) {
        before += share(worker, worker->load->connections, i);
    }
    worker->next_address = (uint32_t)before;
    worker->waiting = worker->count;
    worker->budget = worker->load->messages == 0
                         ? UINT64_MAX
                         : share(worker, worker->load->messages, worker->number);
    worker->connections = calloc(worker->count, sizeof *worker->connections);
    worker->flights =
        calloc(worker->count * (size_t)worker->load->pipeline, sizeof *worker->flights);
    worker->free = calloc(worker->count, sizeof *worker->free);
    worker->set = pollset_new(&callbacks, worker);
    if (worker->connections == NULL || worker->flights == NULL || worker->free == NULL ||
        worker->set == NULL || !pollset_add(worker->set, worker->plan->stop_fd, POLLIN)) {
        errno = ENOMEM;
        return false;
    }
    pollset_use_signals(worker->set); /* without, it is slower only */
    pollset_pin(worker->set, worker->plan->stop_fd);
    for (uint32_t i = 0; i < worker->count; i++) {
        worker->connections[i] =
            (struct connection){.fd = -1, .number = (uint32_t)before + i, .state = WAITING};
    }
    return true;
}

static void run(struct worker *worker)
{
    worker->begin_ns = clock_now_ns();
    tick(worker, worker->begin_ns);
    while (worker->ended < worker->count && !worker->is_cut) {
        if (!pollset_wait(worker->set)) {
            worker->result->fatal = errno;
            break;
        }
        log_flush();
    }
    for (uint32_t i = 0; i < worker->count; i++) {
        worker->result->unfinished += under_way(&worker->connections[i]);
        if (worker->connections[i].fd != -1) {
            end_connection(worker, &worker->connections[i]);
        }
    }
}

uint64_t load_measure_ns(const struct load_config *config, uint64_t start_ns)
{
    return start_ns + config->warmup_ns;
}

uint64_t load_end_ns(const struct load_config *config, uint64_t start_ns)
{
    return config->duration_ns == 0 ? UINT64_MAX
                                    : start_ns + config->warmup_ns + config->duration_ns;
}

void load_worker_run(const struct load_plan *plan, unsigned number,
                     struct load_result *result, struct load_live *live)
{
    struct worker *worker = NULL;

    if (!table_grow(&worker, 0, 1, sizeof *worker)) {
        result->fatal = ENOMEM;
        tell_ready(plan, clock_now_ns());
        return;
    }
    worker->plan = plan;
    worker->load = &plan->config->load;
    worker->number = number;
    worker->result = result;
    worker->live = live;
    worker->timer = -1;
    if (prepare(worker)) {
        run(worker);
    } else {
        result->fatal = errno;
    }
    if (!worker->is_ready) { /* it ended before it began */
        tell_ready(plan, clock_now_ns());
    }
    if (worker->timer != -1) {
        result->skipped = skipped(worker, clock_now_ns());
        close(worker->timer);
    }
    /* An outage that did not end before we did. */
    if (worker->away_since_ns != 0) {
        uint64_t away = clock_now_ns() - worker->away_since_ns;

        result->away_ns = away > result->away_ns ? away : result->away_ns;
    }
    pollset_free(worker->set);
    table_free(&worker->by_fd, worker->by_fd_capacity, sizeof *worker->by_fd);
    free(worker->free);
    free(worker->flights);
    free(worker->connections);
    table_free(&worker, 1, sizeof *worker);
}
