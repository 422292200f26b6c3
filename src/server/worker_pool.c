#include "server/worker_pool.h"

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

#include "base/clock.h"
#include "base/counter.h"
#include "base/events.h"
#include "base/log.h"
#include "base/thread.h"
#include "io/sigio.h"
#include "server/health.h"

/* Orders read from a pipe per round, so that open connections do not starve. */
#define ORDERS_PER_ROUND 64

enum order_kind {
    ORDER_TAKE,
    ORDER_DRAIN,
    ORDER_CUT,
    ORDER_LOG_COUNTS,
};

/* Written to a pipe as a whole: less than PIPE_BUF, so never split (pipe(7)). */
struct order {
    enum order_kind kind;
    int fd; /* of ORDER_TAKE */
    uint32_t id;
    enum worker_end reason; /* of ORDER_CUT */
};

/* One worker, with its thread if it has one. */
struct pool_thread {
    struct worker_pool *pool;
    struct worker *worker;
    struct pollset *set;
    pthread_t handle;
    int number; /* from 1 */
    int inbox;  /* the thread's end of its pipe; polled; -1: the thread ended */
    int outbox; /* the caller's end */
    size_t fds; /* the thread's own: its part of the pool's thread_fds */
    struct counter set_numbers[WORKER_POOL_NUMBERS - WORKER_POOL_HOT];
    bool is_draining;
};

struct worker_pool {
    const struct server_config *config;
    struct pollset *caller_set;
    struct pending_pool memory; /* for pending blocks */
    void (*on_close)(void *context);
    void *context;
    atomic_size_t connections;
    atomic_size_t thread_fds;  /* inboxes, and what poll sets opened for signals */
    atomic_uint health_checks; /* open now */
    atomic_bool is_watched;
    int wakeup_fd;       /* of the caller's loop: readable when connections were closed */
    int wakeup_write_fd; /* of the threads */
    unsigned next;       /* worker to hand the next connection to */
    unsigned count;
    bool is_alone; /* one worker, in the thread of the caller */
    struct pool_thread threads[];
};

unsigned worker_pool_size(const struct server_config *config)
{
    cpu_set_t cpus;

    if (config->workers != 0) {
        return (unsigned)config->workers;
    }
    if (sched_getaffinity(0, sizeof cpus, &cpus) == -1) {
        return 1;
    }
    unsigned n = (unsigned)CPU_COUNT(&cpus);
    return n < WORKER_POOL_MAX ? n : WORKER_POOL_MAX;
}

static bool is_alone(const struct worker_pool *pool)
{
    return pool->is_alone;
}

size_t worker_pool_connections(const struct worker_pool *pool)
{
    return atomic_load(&pool->connections);
}

size_t worker_pool_descriptors(const struct worker_pool *pool)
{
    size_t ours = is_alone(pool) ? 0 : 2 + (size_t)pool->count; /* wakeup, outboxes */

    return worker_pool_connections(pool) + atomic_load(&pool->health_checks) + ours +
           atomic_load(&pool->thread_fds);
}

void worker_pool_watch(struct worker_pool *pool, bool is_wanted)
{
    atomic_store(&pool->is_watched, is_wanted);
}

/* A connection was closed; called in the worker's thread. The worker changes the count,
 * then reads is_watched; the caller sets is_watched, then reads the count. So at least one
 * of the two sees the other's change. */
static void on_worker_close(void *context, uint32_t id)
{
    struct pool_thread *thread = context;
    struct worker_pool *pool = thread->pool;

    if (id == WORKER_HEALTH_CHECK) {
        atomic_fetch_sub(&pool->health_checks, 1);
        return;
    }
    atomic_fetch_sub(&pool->connections, 1);
    if (!atomic_load(&pool->is_watched)) {
        return;
    }
    if (is_alone(pool)) {
        pool->on_close(pool->context);
    } else if (write(pool->wakeup_write_fd, "", 1) == -1) {
        return; /* full: the caller wakes up in any case */
    }
}

/* With signals an idle connection costs nothing; without, it is in every poll(). */
static void use_signals(struct pool_thread *thread)
{
    if (pollset_use_signals(thread->set)) {
        thread->fds += SIGIO_FDS;
        atomic_fetch_add(&thread->pool->thread_fds, SIGIO_FDS);
    } else {
        log_event(EVENT_NO_SIGNALS, strerror(errno));
    }
}

/* ---- one worker's loop, in its thread --------------------------------------------------
 */

static void log_counts(const struct pool_thread *thread)
{
    uint64_t n[WORKER_NUMBERS] = {0};
    size_t open = worker_connections(thread->worker);
    struct pollset_counts p = pollset_counts(thread->set);

    worker_add_numbers(thread->worker, n);
    log_event(EVENT_WORKER_COUNTERS, open, n[WORKER_TAKEN], n[WORKER_RECEIVED],
              n[WORKER_ECHOED], worker_pending_memory(thread->worker), p.hot, p.cold,
              p.armed, p.rounds, p.wakeups, p.overflows);
}

static void obey(struct pool_thread *thread, const struct order *order)
{
    switch (order->kind) {
    case ORDER_TAKE:
        if (!worker_take(thread->worker, order->fd, order->id)) {
            log_event(EVENT_CONNECTION_NO_MEMORY, order->id);
            on_worker_close(thread, order->id);
        }
        break;
    case ORDER_DRAIN:
        thread->is_draining = true;
        worker_drain(thread->worker);
        break;
    case ORDER_CUT:
        worker_cut(thread->worker, order->reason);
        break;
    case ORDER_LOG_COUNTS:
        log_counts(thread);
        break;
    }
}

static void thread_event(void *context, int fd, short revents)
{
    struct pool_thread *thread = context;
    struct order order;

    if (fd != thread->inbox) {
        worker_event(thread->worker, fd, revents);
        return;
    }
    for (int i = 0; i < ORDERS_PER_ROUND; i++) {
        if (read(thread->inbox, &order, sizeof order) != (ssize_t)sizeof order) {
            break;
        }
        obey(thread, &order);
    }
}

static void thread_deadline(void *context, int fd)
{
    struct pool_thread *thread = context;

    worker_deadline(thread->worker, fd);
}

static const struct pollset_callbacks thread_callbacks = {thread_event, thread_deadline,
                                                          NULL};

/* For other threads: worker_pool_add_numbers(). */
static void publish_set(struct pool_thread *thread)
{
    struct pollset_counts p = pollset_counts(thread->set);

    counter_set(&thread->set_numbers[0], p.hot);
    counter_set(&thread->set_numbers[1], p.cold);
    counter_set(&thread->set_numbers[2], p.rounds);
}

/* Nobody reads its orders any more: an order fails then, while a full pipe would stop the
 * caller for ever. */
static void end_thread(struct pool_thread *thread)
{
    pollset_free(thread->set); /* here, since it may use this thread's signals */
    thread->set = NULL;
    close(thread->inbox);
    thread->inbox = -1;
    counter_set(&thread->set_numbers[0], 0);
    counter_set(&thread->set_numbers[1], 0);
    atomic_fetch_sub(&thread->pool->thread_fds, thread->fds);
}

static void *run_thread(void *argument)
{
    struct pool_thread *thread = argument;

    log_set_worker(thread->number);
    use_signals(thread);
    while (!thread->is_draining || worker_connections(thread->worker) > 0) {
        if (!pollset_wait(thread->set)) {
            log_event(EVENT_POLL_FAILED, strerror(errno));
            worker_cut(thread->worker, WORKER_CUT_FATAL_ERROR);
            break;
        }
        publish_set(thread);
        log_flush();
    }
    log_flush();
    end_thread(thread);
    return NULL;
}

/* ---- the caller's side -----------------------------------------------------------------
 */

/* When the pipe is full (4,096 orders), the caller waits until the worker has read some. To
 * a worker that ended (EPIPE) there is nothing to say. */
static void send_order(struct pool_thread *thread, struct order order)
{
    struct pollfd pfd = {.fd = thread->outbox, .events = POLLOUT};

    while (write(thread->outbox, &order, sizeof order) == -1 &&
           (errno == EINTR || errno == EAGAIN)) {
        poll(&pfd, 1, -1);
    }
}

static void send_to_all(struct worker_pool *pool, struct order order)
{
    for (unsigned i = 0; i < pool->count; i++) {
        if (is_alone(pool)) {
            obey(&pool->threads[i], &order);
        } else {
            send_order(&pool->threads[i], order);
        }
    }
}

/* Hand a socket to the next worker. Returns false when that is the caller's own and has no
 * memory. */
static bool hand_over(struct worker_pool *pool, int fd, uint32_t id)
{
    struct pool_thread *thread = &pool->threads[pool->next];

    pool->next = (pool->next + 1) % pool->count;
    if (is_alone(pool)) {
        return worker_take(thread->worker, fd, id);
    }
    send_order(thread, (struct order){ORDER_TAKE, fd, id, WORKER_END_PEER});
    return true;
}

bool worker_pool_take(struct worker_pool *pool, int fd, uint32_t id)
{
    atomic_fetch_add(&pool->connections, 1);
    if (!hand_over(pool, fd, id)) {
        atomic_fetch_sub(&pool->connections, 1);
        return false;
    }
    return true;
}

void worker_pool_take_health_check(struct worker_pool *pool, int fd)
{
    if (atomic_fetch_add(&pool->health_checks, 1) >= HEALTH_CHECKS_MAX) {
        close(fd);
    } else if (hand_over(pool, fd, WORKER_HEALTH_CHECK)) {
        return;
    }
    atomic_fetch_sub(&pool->health_checks, 1);
}

void worker_pool_event(struct worker_pool *pool, int fd, short revents)
{
    char bytes[64];

    if (is_alone(pool)) {
        worker_event(pool->threads[0].worker, fd, revents);
        return;
    }
    while (read(pool->wakeup_fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes) {
    }
    pool->on_close(pool->context);
}

void worker_pool_deadline(struct worker_pool *pool, int fd)
{
    if (is_alone(pool)) {
        worker_deadline(pool->threads[0].worker, fd);
    }
}

void worker_pool_drain(struct worker_pool *pool)
{
    send_to_all(pool, (struct order){.kind = ORDER_DRAIN});
}

void worker_pool_cut(struct worker_pool *pool, enum worker_end reason)
{
    send_to_all(pool, (struct order){.kind = ORDER_CUT, .reason = reason});
}

void worker_pool_log_counts(struct worker_pool *pool)
{
    send_to_all(pool, (struct order){.kind = ORDER_LOG_COUNTS});
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

static bool start_thread(struct pool_thread *thread)
{
    if (!open_pipe(&thread->inbox, &thread->outbox)) {
        return false;
    }
    thread->fds = 1;
    atomic_fetch_add(&thread->pool->thread_fds, 1);
    thread->set = pollset_new(&thread_callbacks, thread);
    if (thread->set == NULL || !pollset_add(thread->set, thread->inbox, POLLIN)) {
        errno = ENOMEM;
        return false;
    }
    thread->worker = worker_new(thread->pool->config, thread->number, thread->set,
                                &thread->pool->memory, on_worker_close, thread);
    if (thread->worker == NULL) {
        errno = ENOMEM;
        return false;
    }
    errno = thread_start(&thread->handle, run_thread, thread);
    return errno == 0;
}

static void release_thread(struct worker_pool *pool, struct pool_thread *thread)
{
    worker_free(thread->worker);
    if (!is_alone(pool)) {
        pollset_free(thread->set);
        if (thread->inbox != -1) {
            close(thread->inbox);
        }
        if (thread->outbox != -1) {
            close(thread->outbox);
        }
    }
}

static void release(struct worker_pool *pool)
{
    for (unsigned i = 0; i < pool->count; i++) {
        release_thread(pool, &pool->threads[i]);
    }
    if (pool->wakeup_fd != -1) {
        pollset_remove(pool->caller_set, pool->wakeup_fd);
        close(pool->wakeup_write_fd);
        close(pool->wakeup_fd);
    }
    free(pool);
}

/* A pool of one: a worker on the caller's own poll set. */
static bool start_alone(struct worker_pool *pool)
{
    struct pool_thread *thread = &pool->threads[0];

    thread->set = pool->caller_set;
    use_signals(thread);
    thread->worker = worker_new(pool->config, thread->number, pool->caller_set,
                                &pool->memory, on_worker_close, thread);
    if (thread->worker == NULL) {
        log_event(EVENT_START_FAILED, "no memory");
    }
    return thread->worker != NULL;
}

static bool start_threads(struct worker_pool *pool)
{
    if (!open_pipe(&pool->wakeup_fd, &pool->wakeup_write_fd)) {
        log_event(EVENT_START_FAILED, strerror(errno));
        return false;
    }
    if (!pollset_add(pool->caller_set, pool->wakeup_fd, POLLIN)) {
        log_event(EVENT_START_FAILED, "no memory");
        return false;
    }
    for (unsigned i = 0; i < pool->count; i++) {
        if (!start_thread(&pool->threads[i])) {
            int error = errno;

            log_event(EVENT_WORKER_START_FAILED, i + 1, pool->count,
                      thread_error_text(error));
            pool->count = i; /* only those that run */
            release_thread(pool, &pool->threads[i]);
            worker_pool_drain(pool);
            for (unsigned j = 0; j < i; j++) {
                pthread_join(pool->threads[j].handle, NULL);
            }
            return false;
        }
    }
    return true;
}

struct worker_pool *worker_pool_start(const struct server_config *config, unsigned count,
                                      struct pollset *set, void (*on_close)(void *context),
                                      void *context)
{
    struct worker_pool *pool = calloc(1, sizeof *pool + count * sizeof pool->threads[0]);

    if (pool == NULL) {
        log_event(EVENT_START_FAILED, "no memory");
        return NULL;
    }
    pool->config = config;
    atomic_init(&pool->memory.left, (size_t)config->pending_memory);
    pool->caller_set = set;
    pool->on_close = on_close;
    pool->context = context;
    pool->count = count;
    pool->is_alone = count == 1;
    pool->wakeup_write_fd = pool->wakeup_fd = -1;
    for (unsigned i = 0; i < count; i++) {
        pool->threads[i].pool = pool;
        pool->threads[i].number = (int)i + 1;
        pool->threads[i].inbox = pool->threads[i].outbox = -1;
    }
    if (!(count == 1 ? start_alone(pool) : start_threads(pool))) {
        release(pool);
        return NULL;
    }
    return pool;
}

void worker_pool_add_numbers(const struct worker_pool *pool,
                             uint64_t sum[WORKER_POOL_NUMBERS])
{
    for (unsigned i = 0; i < pool->count; i++) {
        const struct pool_thread *thread = &pool->threads[i];

        worker_add_numbers(thread->worker, sum);
        for (size_t j = WORKER_POOL_HOT; j < WORKER_POOL_NUMBERS; j++) {
            sum[j] += counter_get(&thread->set_numbers[j - WORKER_POOL_HOT]);
        }
    }
}

void worker_pool_finish(struct worker_pool *pool, uint64_t sum[WORKER_POOL_NUMBERS])
{
    for (unsigned i = 0; i < pool->count && !is_alone(pool); i++) {
        pthread_join(pool->threads[i].handle, NULL);
    }
    worker_pool_add_numbers(pool, sum);
    release(pool);
}
