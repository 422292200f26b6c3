/* How a worker shares its rounds among peers that send without a pause and others, over
 * socket pairs. */
#include "server/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

#define HEAVY 200
#define CROWD (HEAVY + 1) /* the last one speaks seldom */
#define BLOCK (32 * 1024)

static struct server_config config = {.write_timeout_ns = 60 * CLOCK_S,
                                      .drain_timeout_ns = 10 * CLOCK_S};
static struct pending_pool pool;
static struct pollset *set;
static struct worker *worker;
static int peers[CROWD], owns[CROWD];
static int events; /* in this round, of those that the worker got */

static void on_event(void *context, int fd, short revents)
{
    (void)context;
    events++;
    worker_event(worker, fd, revents);
}

static void on_deadline(void *context, int fd)
{
    (void)context;
    worker_deadline(worker, fd);
}

static void on_close(void *context, uint32_t id)
{
    (void)context;
    (void)id;
}

static const struct pollset_callbacks callbacks = {.on_event = on_event,
                                                   .on_deadline = on_deadline};

static void begin(void)
{
    pool.left = (size_t)64 * 1024 * 1024;
    set = pollset_new(&callbacks, NULL);
    worker = worker_new(&config, 1, set, &pool, on_close, NULL);
    for (int i = 0; i < CROWD; i++) {
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == -1) {
            abort();
        }
        peers[i] = pair[0];
        owns[i] = pair[1];
        worker_take(worker, owns[i], (uint32_t)i + 1);
    }
}

static void end(void)
{
    worker_cut(worker, WORKER_CUT_FATAL_ERROR);
    for (int i = 0; i < CROWD; i++) {
        close(peers[i]);
    }
    worker_free(worker);
    pollset_free(set);
}

/* All heavy peers send a block; whatever comes back is thrown away. */
static void flood(void)
{
    static char block[BLOCK];

    for (int i = 0; i < HEAVY; i++) {
        (void)!send(peers[i], block, sizeof block, MSG_NOSIGNAL);
    }
}

/* Returns how many of them got bytes since the last call, marked in `got`. */
static int drain(bool got[HEAVY])
{
    static char block[BLOCK];
    int count = 0;

    for (int i = 0; i < HEAVY; i++) {
        bool has_bytes = false;

        while (recv(peers[i], block, sizeof block, 0) > 0) {
            has_bytes = true;
        }
        got[i] = got[i] || has_bytes;
        count += has_bytes;
    }
    return count;
}

static int all_of(const bool got[HEAVY])
{
    int count = 0;

    for (int i = 0; i < HEAVY; i++) {
        count += got[i];
    }
    return count;
}

static void test_heavy_take_turns(void)
{
    bool got[HEAVY] = {false};
    int most = 0, heard = 0, round;
    char byte = 'x';

    begin();
    for (round = 0; round < 3; round++) { /* until it is known who is heavy */
        flood();
        pollset_wait(set);
        drain(got);
    }
    memset(got, 0, sizeof got);
    for (round = 0; round < 40 && all_of(got) < HEAVY; round++) {
        flood();
        send(peers[HEAVY], &byte, 1, MSG_NOSIGNAL);
        events = 0;
        pollset_wait(set);
        int served = drain(got);
        most = served > most ? served : most;
        heard += recv(peers[HEAVY], &byte, 1, 0) == 1;
    }
    is_int(all_of(got), HEAVY, "each of %d heavy sessions has its turn", HEAVY);
    ok(round <= HEAVY / 8, "... within %d rounds", round);
    ok(most < HEAVY / 4, "at most %d are served in one round", most);
    is_int(heard, round, "one that speaks seldom is served in each round");
    end();
}

static void test_few_need_no_turns(void)
{
    bool got[HEAVY] = {false};
    static char block[BLOCK];
    int served = 0;

    begin();
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 15; i++) {
            send(peers[i], block, sizeof block, MSG_NOSIGNAL);
        }
        pollset_wait(set);
        served += drain(got);
    }
    is_int(served, 20 * 15, "fifteen heavy sessions are served in every round");
    end();
}

static void test_drain_serves_all(void)
{
    bool got[HEAVY] = {false};

    begin();
    for (int round = 0; round < 3; round++) {
        flood();
        pollset_wait(set);
        drain(got);
    }
    worker_drain(worker);
    flood();
    pollset_wait(set);
    is_int(drain(got), HEAVY, "a drain serves all in a round");
    end();
}

int main(void)
{
    test_heavy_take_turns();
    test_few_need_no_turns();
    test_drain_serves_all();
    return done();
}
