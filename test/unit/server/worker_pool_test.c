/* Orders to workers that ended before the others. */
#include "server/worker_pool.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "fds.h"
#include "tap.h"

/* More than any pipe holds. */
#define ORDERS 20000

static struct server_config config = {.drain_timeout_ns = 60 * CLOCK_S,
                                      .pending_memory = 1024 * 1024};

static void on_event(void *context, int fd, short revents)
{
    worker_pool_event(*(struct worker_pool **)context, fd, revents);
}

static void on_deadline(void *context, int fd)
{
    worker_pool_deadline(*(struct worker_pool **)context, fd);
}

static void on_close(void *context)
{
    (void)context;
}

static const struct pollset_callbacks callbacks = {.on_event = on_event,
                                                   .on_deadline = on_deadline};

/* The open descriptors, once the pool knows that a worker ended. */
static int open_in_the_end(const struct worker_pool *pool, int others)
{
    int open = fds_open();

    for (int i = 0; i < 1000 && worker_pool_descriptors(pool) + others != (size_t)open;
         i++) {
        usleep(10000);
        open = fds_open();
    }
    return open;
}

/* Worker 1 keeps a connection whose peer does not end it; worker 2 has nothing to do. */
static void drain_with_one_left(void)
{
    uint64_t sum[WORKER_POOL_NUMBERS] = {0};
    struct worker_pool *pool = NULL;
    int pair[2], before = fds_open();
    struct pollset *set = pollset_new(&callbacks, &pool);

    pool = worker_pool_start(&config, 2, set, on_close, NULL);
    if (pool == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1) {
        abort();
    }
    worker_pool_take(pool, pair[0], 1);
    worker_pool_drain(pool);
    for (int i = 0; i < ORDERS; i++) {
        worker_pool_log_counts(pool);
    }
    ok(true, "orders to one that ended do not stop the caller");
    int open = open_in_the_end(pool, before + 1);
    is_int(worker_pool_descriptors(pool), open - before - 1,
           "nor are its descriptors among the open ones");
    close(pair[1]);
    worker_pool_finish(pool, sum);
    is_int(sum[WORKER_TAKEN], 1, "the other one was there to the end");
    pollset_free(set);
    is_int(fds_open(), before, "nothing stays open");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* as selfpipe_open() does */
    alarm(60);
    group("a drain with one connection left");
    drain_with_one_left();
    return done();
}
