#include "load/load_connection.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/net.h"
#include "io/pollset.h"
#include "tap.h"

enum { COUNT = LOAD_REST_MAX + 6, SIZE = 8, RATE = 1000 };

/* A share of connections, and their other ends. */
struct bed {
    struct client_config config;
    struct load_plan plan;
    struct load_addresses addresses;
    struct load_share *share;
    struct load_result *result;
    int listener, peers[COUNT];
    unsigned events;
    bool hides_end; /* the poll set does not tell of it: it came behind poll() */
    bool may_begin; /* load_connection_ready() said so */
};

static void on_event(void *context, int fd, short revents)
{
    struct bed *bed = context;
    uint64_t now;

    bed->events++;
    revents &= bed->hides_end ? ~POLLRDHUP : -1;
    bed->may_begin =
        load_connection_ready(bed->share, load_share_find(bed->share, fd), revents, &now);
}

static void on_deadline(void *context, int fd)
{
    struct bed *bed = context;

    load_connection_expired(bed->share, load_share_find(bed->share, fd));
}

/* It only ends the poll set's sleep. */
static void on_timer(void *context, unsigned slot)
{
    (void)context;
    (void)slot;
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline, on_timer};

/* Rounds of the poll set until there were events, for at most `ms`. Returns their number.
 */
static unsigned wait_ms(struct bed *bed, uint64_t ms)
{
    uint64_t until = clock_now_ns() + ms * CLOCK_MS;

    bed->events = 0;
    while (bed->events == 0 && clock_now_ns() < until) {
        pollset_timer(bed->share->set, 0, until);
        pollset_wait(bed->share->set);
    }
    return bed->events;
}

static struct load_connection *connection(const struct bed *bed, unsigned i)
{
    return &bed->share->connections[i];
}

/* A load at this rate, with all connections open. */
static void set_up(struct bed *bed, uint64_t rate, uint64_t connections)
{
    char error[NET_ERROR_TEXT];
    struct net_address peer, own;

    *bed = (struct bed){.config = {.timeout_ns = 30 * CLOCK_S,
                                   .verify = true,
                                   .load = {.connections = connections,
                                            .size = SIZE,
                                            .rate = rate,
                                            .pipeline = 1,
                                            .threads = 1,
                                            .retry_ns = CLOCK_S}}};
    bed->listener = net_listen("127.0.0.1", 0, COUNT, 0, error);
    own.length = sizeof own.storage;
    getsockname(bed->listener, (struct sockaddr *)&own.storage, &own.length);
    bed->addresses.config = &bed->config;
    load_addresses_take(&bed->addresses, &own, 1);
    bed->plan = (struct load_plan){.config = &bed->config, .addresses = &bed->addresses};
    bed->share = calloc(1, sizeof *bed->share);
    bed->result = load_result_new(1);
    bool has_share = load_share_open(bed->share, &bed->plan, 0, bed->result);
    bed->share->set = pollset_new(&callbacks, bed);
    ok(has_share && bed->share->set != NULL, "there is memory for %u connections",
       (unsigned)connections);
    for (unsigned i = 0; i < connections; i++) {
        load_connection_open(bed->share, connection(bed, i));
        while (connection(bed, i)->state == LOAD_CONNECTING && wait_ms(bed, 5000) > 0) {
        }
        bed->peers[i] = net_accept(bed->listener, &peer);
    }
    is_int(bed->share->open, connections, "all are open");
}

static void tear_down(struct bed *bed)
{
    for (unsigned i = 0; i < bed->share->count; i++) {
        if (connection(bed, i)->state != LOAD_ENDED) {
            load_connection_end(bed->share, connection(bed, i));
        }
        if (bed->peers[i] != -1) {
            close(bed->peers[i]);
        }
    }
    pollset_free(bed->share->set);
    load_share_close(bed->share);
    free(bed->share);
    free(bed->result);
    close(bed->listener);
}

static void begin(struct bed *bed, unsigned i)
{
    uint64_t now = clock_now_ns();

    load_connection_begin(bed->share, connection(bed, i), now, now);
    load_connection_send(bed->share, connection(bed, i));
}

/* Its peer returns one message, and the share takes it. */
static bool echo(struct bed *bed, unsigned i)
{
    char bytes[SIZE];
    uint64_t before = bed->result->echoed;
    struct pollfd peer = {.fd = bed->peers[i], .events = POLLIN};

    return poll(&peer, 1, 5000) == 1 && recv(bed->peers[i], bytes, SIZE, 0) == SIZE &&
           send(bed->peers[i], bytes, SIZE, 0) == SIZE && wait_ms(bed, 5000) == 1 &&
           bed->result->echoed == before + 1;
}

static void test_rest(void)
{
    struct bed bed;

    group("an open loop");
    set_up(&bed, RATE, 2);
    is_int(connection(&bed, 0)->events, 0, "a new connection rests");
    begin(&bed, 0);
    is_int(connection(&bed, 0)->events, POLLIN | POLLRDHUP,
           "with a message under way it does not");
    ok(echo(&bed, 0), "the echo is taken");
    is_int(connection(&bed, 0)->events, 0, "then it rests again");
    is_int(wait_ms(&bed, 20), 0, "the poll set has nothing to tell of two that rest");
    ok(load_connection_look(bed.share, connection(&bed, 0)), "a look at it: it is open");
    load_connection_look_around(bed.share);
    is_int(bed.share->open, 2, "a look around: both are open");
    load_connection_finish(bed.share, connection(&bed, 0));
    is_int(connection(&bed, 0)->events, POLLIN | POLLRDHUP,
           "when it is finished its end is awaited");
    shutdown(bed.peers[0], SHUT_WR);
    ok(wait_ms(&bed, 5000) == 1 && connection(&bed, 0)->state == LOAD_ENDED, "and comes");
    tear_down(&bed);

    group("a closed loop");
    set_up(&bed, 0, 1);
    begin(&bed, 0);
    ok(echo(&bed, 0), "the echo is taken");
    is_int(connection(&bed, 0)->events, POLLIN | POLLRDHUP, "a connection does not rest");
    tear_down(&bed);
}

/* In a closed loop its peer ends it with the last byte of an echo. */
static void test_end_with_echo(size_t pieces)
{
    struct bed bed;
    char bytes[SIZE];

    group("the end comes with an echo in %zu piece%s", pieces, pieces == 1 ? "" : "s");
    set_up(&bed, 0, 2);
    begin(&bed, 0);
    struct pollfd peer = {.fd = bed.peers[0], .events = POLLIN};
    ok(poll(&peer, 1, 5000) == 1 && recv(bed.peers[0], bytes, SIZE, 0) == SIZE,
       "the message arrives");
    if (pieces == 2) {
        send(bed.peers[0], bytes, SIZE - 1, 0);
        is_int(wait_ms(&bed, 5000), 1, "the first piece is taken");
        bed.hides_end = true;
    }
    send(bed.peers[0], bytes + (pieces == 2 ? SIZE - 1 : 0), pieces == 2 ? 1 : SIZE,
         MSG_MORE);
    close(bed.peers[0]);
    bed.peers[0] = -1;
    is_int(wait_ms(&bed, 5000), 1, "the rest is taken");
    is_int(bed.result->echoed, 1, "the echo is whole");
    ok(!bed.may_begin, "no message may begin");
    is_int(bed.result->moved, 1, "the connection moved");
    is_int(connection(&bed, 0)->state, LOAD_CONNECTING, "it is opened again at once");
    is_int(load_result_errors(bed.result), 0, "there is no error");
    tear_down(&bed);
}

/* A connection that was of no use so far is not opened again at once. */
static void test_end_of_unused(void)
{
    struct bed bed;

    group("a connection that ends before its first echo");
    set_up(&bed, 0, 1);
    close(bed.peers[0]);
    bed.peers[0] = -1;
    is_int(wait_ms(&bed, 5000), 1, "the end is noticed");
    is_int(bed.result->moved, 1, "it moved");
    is_int(connection(&bed, 0)->state, LOAD_WAITING, "it waits");
    ok(connection(&bed, 0)->retry_ns > clock_now_ns(), "for a while");
    tear_down(&bed);
}

/* While it rests its peer ends it, or sends a byte too many. */
static void test_noticed(bool is_ended, bool is_around)
{
    struct bed bed;

    group("one of three that rest %s, %s", is_ended ? "ended" : "got a byte too many",
          is_around ? "and somebody looks around" : "and a message is to begin on it");
    set_up(&bed, RATE, 3);
    begin(&bed, 1);
    ok(echo(&bed, 1), "it had an echo before");
    if (is_ended) {
        close(bed.peers[1]);
        bed.peers[1] = -1;
    } else {
        send(bed.peers[1], "!", 1, 0);
    }
    struct pollfd end = {.fd = connection(&bed, 1)->fd, .events = POLLIN};
    ok(poll(&end, 1, 5000) == 1, "it has come");
    is_int(wait_ms(&bed, 20), 0, "the poll set does not tell");
    if (is_around) {
        load_connection_look_around(bed.share);
    } else {
        ok(!load_connection_look(bed.share, connection(&bed, 1)), "it is not open");
    }
    if (is_ended) {
        is_int(connection(&bed, 1)->state, LOAD_CONNECTING, "it is opened again at once");
    } else {
        is_int(connection(&bed, 1)->state, LOAD_WAITING, "it waits to be opened again");
    }
    is_int(bed.result->moved, is_ended, "the end is no error: it moved");
    is_int(bed.result->errors[PROBE_DIFFERS], !is_ended, "the byte is one");
    is_int(load_result_errors(bed.result), !is_ended, "there is no other error");
    is_int(bed.result->lost, 0, "no message is lost");
    is_int(bed.share->open, 2, "the two others are open");
    tear_down(&bed);
}

/* What does not rest stays in the poll set, which has a tier for it. */
static void test_many(void)
{
    struct bed bed;
    unsigned resting = 0;
    bool is_echoed = true;

    group("more than %d under way", LOAD_REST_MAX);
    set_up(&bed, RATE, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        begin(&bed, i);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        is_echoed = is_echoed && echo(&bed, i);
        resting += connection(&bed, i)->events == 0 ? 1 : 0;
        if (i + 1 == COUNT - LOAD_REST_MAX - 1) {
            is_int(resting, 0, "none of the first comes to rest");
        }
    }
    ok(is_echoed, "all echoes are taken");
    is_int(resting, LOAD_REST_MAX + 1, "the others do");
    begin(&bed, 0);
    ok(echo(&bed, 0) && connection(&bed, 0)->events == 0,
       "so does the first one after its next message");
    tear_down(&bed);
}

int main(void)
{
    test_rest();
    for (int kind = 0; kind < 4; kind++) {
        test_noticed(kind % 2 == 0, kind / 2 == 0);
    }
    test_many();
    test_end_with_echo(1);
    test_end_with_echo(2);
    test_end_of_unused();
    return done();
}
