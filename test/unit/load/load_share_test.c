#include "load/load_share.h"

#include <stdlib.h>

#include "tap.h"

/* All threads' shares together are the load: each connection has one number, and all
 * messages are somebody's. */
static void test_division(uint64_t connections, uint64_t threads, uint64_t messages)
{
    const struct client_config config = {.load = {.connections = connections,
                                                  .threads = threads,
                                                  .messages = messages,
                                                  .pipeline = 3,
                                                  .size = 1}};
    const struct load_plan plan = {.config = &config};
    uint64_t count = 0, budget = 0, least = UINT64_MAX, most = 0;
    bool is_right = true;

    group("%u connections, %u threads", (unsigned)connections, (unsigned)threads);
    for (unsigned number = 0; number < threads; number++) {
        struct load_share *share = calloc(1, sizeof *share);

        is_right = is_right && load_share_open(share, &plan, number, NULL) &&
                   share->waiting == share->count && share->next_address == count;
        for (uint32_t i = 0; is_right && i < share->count; i++) {
            const struct load_connection *c = &share->connections[i];

            is_right = c->stream.connection == count + i && c->fd == -1 &&
                       c->stream.flights == share->flights + (size_t)3 * i;
        }
        count += share->count;
        budget += share->budget;
        least = share->count < least ? share->count : least;
        most = share->count > most ? share->count : most;
        load_share_close(share);
        free(share);
    }
    ok(is_right, "numbers follow each other");
    is_int(count, connections, "none is left out");
    ok(most - least <= 1, "shares differ by 1 at most");
    if (messages > 0) {
        is_int(budget, messages, "each of %u messages is somebody's", (unsigned)messages);
    }
}

static void test_has_more(void)
{
    const struct client_config config = {
        .load = {.connections = 1, .threads = 1, .pipeline = 1, .size = 1}};
    const struct load_plan plan = {.config = &config};
    struct load_share *share = calloc(1, sizeof *share);

    group("a share of one connection");
    ok(load_share_open(share, &plan, 0, NULL), "it can be opened");
    ok(share->budget == UINT64_MAX, "without --messages there is no limit");
    ok(load_share_has_more(share), "at the beginning there is more to send");
    share->budget = 0;
    ok(!load_share_has_more(share), "with no message left there is no more");
    share->budget = 1;
    share->is_stopping = true;
    ok(!load_share_has_more(share), "when it stops there is no more");
    load_share_close(share);
    free(share);
}

static void test_find(void)
{
    const struct client_config config = {
        .load = {.connections = 3, .threads = 1, .pipeline = 1, .size = 1}};
    const struct load_plan plan = {.config = &config};
    struct load_share *share = calloc(1, sizeof *share);

    group("a share of three connections");
    ok(load_share_open(share, &plan, 0, NULL), "it can be opened");
    static const int descriptors[] = {7, 100000, 20000}; /* the table must grow */
    for (uint32_t i = 0; i < 3; i++) {
        share->connections[i].fd = descriptors[i];
        ok(load_share_enter(share, &share->connections[i]), "descriptor %d is entered",
           descriptors[i]);
    }
    for (uint32_t i = 0; i < 3; i++) {
        ok(load_share_find(share, descriptors[i]) == &share->connections[i],
           "descriptor %d is that of connection %u", descriptors[i], (unsigned)i);
    }
    share->connections[2].fd = 7;
    load_share_enter(share, &share->connections[2]);
    ok(load_share_find(share, 7) == &share->connections[2],
       "a descriptor that is used again is the last one's");
    load_share_close(share);
    free(share);
}

/* A share of three connections, of which the last one is in trouble, at its end. Returns
 * how many failures are counted. */
static uint64_t failures_of(uint64_t budget, enum probe_outcome trouble)
{
    const struct client_config config = {
        .load = {.connections = 3, .threads = 1, .pipeline = 1, .size = 1}};
    const struct load_plan plan = {.config = &config};
    struct load_share *share = calloc(1, sizeof *share);
    struct load_result *result = load_result_new(1);

    load_share_open(share, &plan, 0, result);
    share->connections[0].trouble = share->connections[1].trouble = PROBE_ECHOED;
    share->connections[2].trouble = (uint8_t)trouble;
    share->budget = budget;
    load_share_count_failures(share);
    uint64_t count = result->failures[trouble];
    load_share_close(share);
    free(result);
    free(share);
    return count;
}

static void test_failures(void)
{
    const struct client_config config = {
        .load = {.connections = 1, .threads = 1, .pipeline = 1, .size = 1}};
    const struct load_plan plan = {.config = &config};
    struct load_share *share = calloc(1, sizeof *share);

    group("failures");
    is_int(failures_of(1, PROBE_REFUSED), 1,
           "a connection that is refused at the end is one");
    is_int(failures_of(0, PROBE_REFUSED), 0, "it is none when all messages were sent");
    is_int(failures_of(1, PROBE_ECHOED), 0, "connections without trouble are none");
    load_share_open(share, &plan, 0, NULL);
    is_int(share->connections[0].trouble, PROBE_TIMED_OUT,
           "a connection that is never connected timed out");
    load_share_close(share);
    free(share);
}

int main(void)
{
    test_division(1, 1, 0);
    test_division(10, 3, 7);
    test_division(64, 64, 64);
    test_division(1000, 7, 1000000007);
    test_has_more();
    test_find();
    test_failures();
    return done();
}
