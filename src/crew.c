#include "crew.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "thread.h"

/* Orders taken from a pipe per round: what is under way must not starve. */
#define ORDERS_PER_ROUND 64

enum order_kind {
    ORDER_TAKE,
    ORDER_DRAIN,
    ORDER_CUT,
    ORDER_REPORT,
};

/* Written to a pipe as a whole: less than PIPE_BUF, so it is not torn (pipe(7)). */
struct order {
    enum order_kind kind;
    int fd; /* of ORDER_TAKE */
    uint32_t id;
    bool is_quiet;
    const char *reason; /* of ORDER_CUT */
};

/* One worker and, if it has a thread, what belongs to that. */
struct member {
    struct crew *crew;
    struct worker *worker;
    struct pollset *set;
    pthread_t thread;
    int number; /* from 1 */
    int inbox;  /* the thread's end of its pipe; polled */
    int outbox; /* the caller's end */
    bool is_draining;
};

struct crew {
    const struct server_config *config;
    struct pollset *caller_set;
    void (*on_close)(void *context);
    void *context;
    atomic_size_t connections;
    atomic_bool is_watched;
    int bell_in, bell_out; /* rung by the threads, heard by the caller's loop */
    unsigned next;         /* worker to hand the next connection to */
    unsigned count;
    bool is_alone; /* one worker, in the thread of the caller */
    struct member members[];
};

unsigned crew_size(const struct server_config *config)
{
    cpu_set_t cpus;

    if (config->workers != 0) {
        return (unsigned)config->workers;
    }
    if (sched_getaffinity(0, sizeof cpus, &cpus) == -1) {
        return 1;
    }
    unsigned n = (unsigned)CPU_COUNT(&cpus);
    return n < CREW_MAX ? n : CREW_MAX;
}

static bool is_alone(const struct crew *crew)
{
    return crew->is_alone;
}

size_t crew_connections(const struct crew *crew)
{
    return atomic_load(&crew->connections);
}

void crew_watch(struct crew *crew, bool is_wanted)
{
    atomic_store(&crew->is_watched, is_wanted);
}

/* A worker closed a connection; in the worker's thread. The order of the two atomics, and
 * its reverse in the caller, makes sure that one of the two sees the other. */
static void on_worker_close(void *context)
{
    struct member *member = context;
    struct crew *crew = member->crew;

    atomic_fetch_sub(&crew->connections, 1);
    if (!atomic_load(&crew->is_watched)) {
        return;
    }
    if (is_alone(crew)) {
        crew->on_close(crew->context);
    } else if (write(crew->bell_in, "", 1) == -1) {
        return; /* full: it was rung often enough */
    }
}

/* Idle connections cost nothing then; without, they are swept. */
static void use_signals(struct pollset *set)
{
    if (!pollset_use_signals(set)) {
        log_warn("no signals for idle connections: %s", strerror(errno));
    }
}

/* ---- one worker's loop, in its thread --------------------------------------------------
 */

static void report(const struct member *member)
{
    struct worker_counts n = worker_counts(member->worker);
    struct pollset_counts p = pollset_counts(member->set);

    log_info("counters: %zu connections now, %" PRIu64 " taken, %" PRIu64 " cut, %" PRIu64
             " bytes in, %" PRIu64 " bytes echoed, %zu hot, %zu cold, %" PRIu64
             " rounds, %" PRIu64 " armed, %" PRIu64 " told, %" PRIu64 " lost",
             n.connections, n.taken, n.cut, n.bytes_in, n.bytes_echoed, p.hot, p.cold,
             p.rounds, p.armed, p.told, p.lost);
}

static void obey(struct member *member, const struct order *order)
{
    switch (order->kind) {
    case ORDER_TAKE:
        if (!worker_take(member->worker, order->fd, order->id, order->is_quiet)) {
            log_error("connection %" PRIu32 " closed: no memory for it", order->id);
            on_worker_close(member);
        }
        break;
    case ORDER_DRAIN:
        member->is_draining = true;
        worker_drain(member->worker);
        break;
    case ORDER_CUT:
        worker_cut(member->worker, order->reason);
        break;
    case ORDER_REPORT:
        report(member);
        break;
    }
}

static void member_event(void *context, int fd, short revents)
{
    struct member *member = context;
    struct order order;

    if (fd != member->inbox) {
        worker_event(member->worker, fd, revents);
        return;
    }
    for (int i = 0; i < ORDERS_PER_ROUND; i++) {
        if (read(member->inbox, &order, sizeof order) != (ssize_t)sizeof order) {
            break;
        }
        obey(member, &order);
    }
}

static void member_deadline(void *context, int fd)
{
    struct member *member = context;

    worker_deadline(member->worker, fd);
}

static const struct pollset_callbacks member_callbacks = {member_event, member_deadline};

static void *run_member(void *argument)
{
    struct member *member = argument;

    log_set_worker(member->number);
    use_signals(member->set);
    while (!member->is_draining || worker_counts(member->worker).connections > 0) {
        if (!pollset_wait(member->set)) {
            log_error("cannot poll: %s", strerror(errno));
            worker_cut(member->worker, "poll failed");
            break;
        }
        log_flush();
    }
    log_flush();
    pollset_free(member->set); /* here, since it may use this thread's signals */
    member->set = NULL;
    return NULL;
}

/* ---- the caller's side -----------------------------------------------------------------
 */

/* When 4,000 orders wait already, so does the caller: the worker is taking them. */
static void send_order(struct member *member, struct order order)
{
    struct pollfd pfd = {.fd = member->outbox, .events = POLLOUT};

    while (write(member->outbox, &order, sizeof order) == -1 &&
           (errno == EINTR || errno == EAGAIN)) {
        poll(&pfd, 1, -1);
    }
}

static void send_to_all(struct crew *crew, struct order order)
{
    for (unsigned i = 0; i < crew->count; i++) {
        if (is_alone(crew)) {
            obey(&crew->members[i], &order);
        } else {
            send_order(&crew->members[i], order);
        }
    }
}

bool crew_take(struct crew *crew, int fd, uint32_t id, bool is_quiet)
{
    struct member *member = &crew->members[crew->next];

    crew->next = (crew->next + 1) % crew->count;
    atomic_fetch_add(&crew->connections, 1);
    if (!is_alone(crew)) {
        send_order(member, (struct order){ORDER_TAKE, fd, id, is_quiet, NULL});
        return true;
    }
    if (!worker_take(member->worker, fd, id, is_quiet)) {
        atomic_fetch_sub(&crew->connections, 1);
        return false;
    }
    return true;
}

void crew_event(struct crew *crew, int fd, short revents)
{
    char rings[64];

    if (is_alone(crew)) {
        worker_event(crew->members[0].worker, fd, revents);
        return;
    }
    while (read(crew->bell_out, rings, sizeof rings) == (ssize_t)sizeof rings) {
    }
    crew->on_close(crew->context);
}

void crew_deadline(struct crew *crew, int fd)
{
    if (is_alone(crew)) {
        worker_deadline(crew->members[0].worker, fd);
    }
}

void crew_drain(struct crew *crew)
{
    send_to_all(crew, (struct order){.kind = ORDER_DRAIN});
}

void crew_cut(struct crew *crew, const char *reason)
{
    send_to_all(crew, (struct order){.kind = ORDER_CUT, .reason = reason});
}

void crew_report(struct crew *crew)
{
    send_to_all(crew, (struct order){.kind = ORDER_REPORT});
}

/* ---- making and ending -----------------------------------------------------------------
 */

static bool open_pipe(int *out, int *in)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) {
        return false;
    }
    *out = ends[0];
    *in = ends[1];
    return true;
}

static bool start_thread(struct member *member)
{
    if (!open_pipe(&member->inbox, &member->outbox)) {
        return false;
    }
    member->set = pollset_new(&member_callbacks, member);
    if (member->set == NULL || !pollset_add(member->set, member->inbox, POLLIN)) {
        errno = ENOMEM;
        return false;
    }
    pollset_pin(member->set, member->inbox);
    member->worker = worker_new(member->crew->config, member->set, on_worker_close, member);
    if (member->worker == NULL) {
        errno = ENOMEM;
        return false;
    }
    errno = thread_start(&member->thread, run_member, member);
    return errno == 0;
}

static void release_member(struct crew *crew, struct member *member)
{
    worker_free(member->worker);
    if (!is_alone(crew)) {
        pollset_free(member->set);
        if (member->inbox != -1) {
            close(member->inbox);
            close(member->outbox);
        }
    }
}

static void release(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++) {
        release_member(crew, &crew->members[i]);
    }
    if (crew->bell_out != -1) {
        pollset_remove(crew->caller_set, crew->bell_out);
        close(crew->bell_in);
        close(crew->bell_out);
    }
    free(crew);
}

/* The crew of one: a worker on the caller's own poll set. */
static bool start_alone(struct crew *crew)
{
    struct member *member = &crew->members[0];

    member->set = crew->caller_set;
    use_signals(member->set);
    member->worker = worker_new(crew->config, crew->caller_set, on_worker_close, member);
    return member->worker != NULL;
}

static bool start_threads(struct crew *crew)
{
    if (!open_pipe(&crew->bell_out, &crew->bell_in)) {
        return false;
    }
    if (!pollset_add(crew->caller_set, crew->bell_out, POLLIN)) {
        errno = ENOMEM;
        return false;
    }
    pollset_pin(crew->caller_set, crew->bell_out);
    for (unsigned i = 0; i < crew->count; i++) {
        if (!start_thread(&crew->members[i])) {
            int error = errno;

            crew->count = i; /* the ones that run are ended; this one is not one */
            release_member(crew, &crew->members[i]);
            crew_drain(crew);
            for (unsigned j = 0; j < i; j++) {
                pthread_join(crew->members[j].thread, NULL);
            }
            errno = error;
            return false;
        }
    }
    return true;
}

struct crew *crew_start(const struct server_config *config, unsigned count,
                        struct pollset *set, void (*on_close)(void *context), void *context)
{
    struct crew *crew = calloc(1, sizeof *crew + count * sizeof crew->members[0]);

    if (crew == NULL) {
        return NULL;
    }
    crew->config = config;
    crew->caller_set = set;
    crew->on_close = on_close;
    crew->context = context;
    crew->count = count;
    crew->is_alone = count == 1;
    crew->bell_in = crew->bell_out = -1;
    for (unsigned i = 0; i < count; i++) {
        crew->members[i].crew = crew;
        crew->members[i].number = (int)i + 1;
        crew->members[i].inbox = crew->members[i].outbox = -1;
    }
    if (!(count == 1 ? start_alone(crew) : start_threads(crew))) {
        int error = errno;

        release(crew);
        errno = error;
        return NULL;
    }
    return crew;
}

struct worker_counts crew_finish(struct crew *crew)
{
    struct worker_counts sum = {0};

    for (unsigned i = 0; i < crew->count; i++) {
        if (!is_alone(crew)) {
            pthread_join(crew->members[i].thread, NULL);
        }
        struct worker_counts n = worker_counts(crew->members[i].worker);
        sum.connections += n.connections;
        sum.taken += n.taken;
        sum.cut += n.cut;
        sum.bytes_in += n.bytes_in;
        sum.bytes_echoed += n.bytes_echoed;
    }
    release(crew);
    return sum;
}
