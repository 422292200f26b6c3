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
#include "load_schedule.h"
#include "load_stream.h"
#include "log.h"
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

struct connection {
    int fd;
    uint8_t state; /* enum state */
    bool has_deadline, is_listed, wants_out, is_tried;
    uint32_t address; /* index */
    struct load_stream stream;
    uint64_t since_ns; /* begin of the connect */
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
    struct load_shape shape;
    struct load_flight *flights; /* `pipeline` of each connection */
    uint32_t *by_fd;             /* connection's index + 1 */
    size_t by_fd_capacity;
    uint32_t *free; /* open loop: a ring of connections with room */
    uint32_t free_first, free_count;
    uint64_t budget; /* messages that may still begin */
    struct load_schedule schedule;
    uint64_t due; /* open loop: messages that began, of this thread's */
    uint32_t waiting, connecting, ended, cursor;
    uint32_t tried;    /* connections that opened or failed at least once */
    bool is_ready;     /* the other threads were told */
    uint64_t begin_ns; /* of opening connections */
    uint64_t start_ns, measure_ns, end_ns; /* 0: the start is not known yet */
    uint32_t next_address, next_source;
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
    return load_stream_under_way(&c->stream);
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
    load_stream_give_up(&c->stream);
}

/* The connection failed, or could not be made. */
static void fail(struct worker *worker, struct connection *c, enum probe_outcome outcome,
                 const char *detail)
{
    uint64_t now = clock_now_ns();
    char address[NET_ADDRESS_TEXT];

    if (worker->faults++ < FAULTS_SHOWN) {
        log_warn("connection %" PRIu32 " to %s, message %" PRIu64 ": %s%s%s",
                 c->stream.connection, address_text(worker, c, address),
                 c->stream.receiving, probe_outcome_names[outcome],
                 *detail != '\0' ? ": " : "", detail);
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
               "net.ipv4.ip_local_port_range, or give several addresses (--source)";
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

/* The next source of the address's family; NULL: the kernel's choice. */
static const struct net_address *next_source(struct worker *worker,
                                             const struct net_address *address)
{
    for (size_t i = 0; i < worker->plan->source_count; i++) {
        size_t next = worker->next_source++ % worker->plan->source_count;
        const struct net_address *source = &worker->plan->sources[next];

        if (source->storage.ss_family == address->storage.ss_family) {
            return source;
        }
    }
    return NULL;
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
    const struct net_address *address = &plan->addresses[c->address];
    c->fd = net_connect(address, next_source(worker, address));
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
    load_stream_begin(&worker->shape, &c->stream, due_ns, now);
    worker->budget--;
    worker->result->sent++;
    if (!c->has_deadline) {
        c->has_deadline = true;
        pollset_deadline(worker->set, c->fd, now + worker->plan->config->timeout_ns);
    }
}

/* Send what was begun. Returns false when the connection failed. */
static bool flush(struct worker *worker, struct connection *c)
{
    size_t length =
        load_stream_fill(&worker->shape, &c->stream, worker->out, sizeof worker->out);

    if (length == 0) {
        return true;
    }
    ssize_t n = send(c->fd, worker->out, length, MSG_NOSIGNAL);
    if (n == -1 && errno != EAGAIN && errno != EINTR && errno != EPIPE) {
        fail_errno(worker, c, errno);
        return false;
    }
    /* After EPIPE, what the peer said before it closed explains more. */
    bool is_broken = n == -1 && errno == EPIPE;
    load_stream_sent(&worker->shape, &c->stream, n > 0 ? (size_t)n : 0);
    bool wants_out = !is_broken && !load_stream_is_sent(&c->stream);
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

/* Open loop: put it at the end of the ring of connections with room. */
static void list_free(struct worker *worker, struct connection *c)
{
    if (has_room(worker, c) && !c->is_listed) {
        c->is_listed = true;
        worker->free[(worker->free_first + worker->free_count++) % worker->count] =
            (uint32_t)(c - worker->connections);
    }
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
        list_free(worker, c);
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
    uint64_t now = clock_now_ns(), due;
    struct connection *c;

    while (may_begin(worker) &&
           (due = load_schedule_due(&worker->schedule, worker->due)) <= now &&
           due < worker->end_ns && (c = take_free(worker)) != NULL) {
        begin_message(worker, c, now, due);
        worker->due++;
        if (flush(worker, c)) {
            list_free(worker, c);
        }
        now = clock_now_ns();
    }
}

/* How many messages were due until `now`, but never began. */
static uint64_t skipped(const struct worker *worker, uint64_t now)
{
    uint64_t due = load_schedule_count(&worker->schedule, now);
    uint64_t left = due > worker->due ? due - worker->due : 0;

    return left < worker->budget ? left : worker->budget;
}

static bool start_timer(struct worker *worker)
{
    uint64_t interval = load_schedule_interval(&worker->schedule);
    uint64_t first = load_schedule_due(&worker->schedule, 0);

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
    const struct load_flight *f = load_stream_completed(&worker->shape, &c->stream);

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

/* Take what came. Returns false when the connection failed. */
static bool consume(struct worker *worker, struct connection *c, const unsigned char *bytes,
                    size_t length, uint64_t now)
{
    char detail[LOAD_STREAM_TEXT];

    while (length > 0) {
        size_t taken = length;

        switch (load_stream_take(&worker->shape, &c->stream, bytes, &taken, now)) {
        case LOAD_PART:
            break;
        case LOAD_COMPLETE:
            complete(worker, c, now);
            break;
        case LOAD_WRONG:
            load_stream_describe(&worker->shape, &c->stream, bytes, length, taken,
                                 worker->result->sent, detail);
            fail(worker, c, PROBE_DIFFERS, detail);
            return false;
        case LOAD_SURPLUS:
            format(detail, sizeof detail, "%zu bytes more than were sent", length);
            fail(worker, c, PROBE_DIFFERS, detail);
            return false;
        }
        bytes += taken;
        length -= taken;
    }
    return true;
}

static void fail_closed(struct worker *worker, struct connection *c)
{
    char detail[96] = "";

    if (under_way(c) > 0) {
        format(detail, sizeof detail, "%zu of %zu bytes came back",
               c->stream.received_bytes, (size_t)worker->load->size);
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
    if (worker->load->reconnect && c->stream.begun > 0 && under_way(c) == 0) {
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
    worker->schedule = (struct load_schedule){
        .rate = worker->load->rate,
        .threads = worker->load->threads,
        .thread = worker->number,
        .start_ns = start_ns,
        .end_ns = worker->end_ns,
    };
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

static void show(struct worker *worker, uint64_t now, enum load_live_state state)
{
    struct histogram *reply = &worker->live->reply;

    worker->live_ns = now;
    if (atomic_load(&worker->live->state) != LOAD_LIVE_WANTED) {
        return;
    }
    memset(reply, 0, sizeof *reply);
    for (size_t i = 0; i < worker->plan->address_count; i++) {
        histogram_merge(reply, &worker->result->addresses[i].reply);
    }
    atomic_store(&worker->live->state, state);
}

/* The thread ends: what it measured stays with the reader. */
static void show_last(struct worker *worker)
{
    int there = LOAD_LIVE_THERE;

    if (!atomic_compare_exchange_strong(&worker->live->state, &there, LOAD_LIVE_LAST)) {
        show(worker, clock_now_ns(), LOAD_LIVE_LAST);
    }
}

static void tick(struct worker *worker, uint64_t now)
{
    uint64_t next = now + (worker->start_ns == 0 ? CLOCK_MS : TICK_NS);

    if (worker->plan->is_live && now - worker->live_ns >= LIVE_NS) {
        show(worker, now, LOAD_LIVE_THERE);
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
    uint64_t until = load_stream_receiving(&worker->shape, &c->stream)->sent_ns +
                     worker->plan->config->timeout_ns;
    if (until > now) {
        pollset_deadline(worker->set, fd, until);
        return;
    }
    format(detail, sizeof detail, "%zu of %zu bytes came back", c->stream.received_bytes,
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
    worker->next_address = worker->next_source = (uint32_t)before;
    worker->waiting = worker->count;
    worker->shape = (struct load_shape){
        .seed = worker->plan->seed,
        .size = (size_t)worker->load->size,
        .pipeline = worker->load->pipeline,
        .connections = worker->load->connections,
        .verify = worker->plan->config->verify,
    };
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
        worker->connections[i] = (struct connection){
            .fd = -1,
            .state = WAITING,
            .stream = {.connection = (uint32_t)before + i,
                       .flights = worker->flights + i * worker->load->pipeline},
        };
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
        atomic_store(&live->state, LOAD_LIVE_LAST);
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
    show_last(worker);
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
