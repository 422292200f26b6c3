#include "load/load_live.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "tap.h"

enum { THREADS = 2, ADDRESSES = 2 };

static struct load_live live[THREADS];
static struct load_result *results[THREADS];
static struct histogram reply;

/* Thread `number` has `count` more replies of `ns`. */
static void replies(int number, unsigned count, uint64_t ns)
{
    while (count-- > 0) {
        histogram_record(&results[number]->addresses[count % ADDRESSES].reply, ns);
        results[number]->echoed++;
    }
}

static void test_counters(void)
{
    group("counters");
    replies(0, 3, 10);
    results[0]->errors[PROBE_RESET] = 2;
    results[0]->errors[PROBE_ECHOED] = 100; /* not an error */
    load_live_count(&live[0], results[0], 5);
    is_int(live[0].echoed, 3, "echoed messages are counted");
    is_int(live[0].errors, 2, "errors of all kinds are counted");
    is_int(live[0].open, 5, "open connections are counted");
}

static void test_passing(void)
{
    group("replies");
    load_live_fill(&live[0], results[0], ADDRESSES);
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 0, "one of two threads filled its histogram in: nothing is shown");
    replies(1, 4, 20);
    load_live_fill(&live[1], results[1], ADDRESSES);
    replies(1, 1, 20);
    load_live_fill(&live[1], results[1], ADDRESSES);
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 7, "both did: all replies of all addresses, none twice");
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 7, "collected again too early: what is shown stays");
    load_live_fill(&live[0], results[0], ADDRESSES);
    load_live_fill(&live[1], results[1], ADDRESSES);
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 8, "filled in again: what came since is there");
}

static void test_end(void)
{
    group("the end");
    replies(0, 2, 10);
    load_live_count(&live[0], results[0], 5);
    load_live_end(&live[0], results[0], ADDRESSES); /* while it is the thread's */
    is_int(live[0].open, 0, "a thread that ended has no open connection");
    load_live_fill(&live[1], results[1], ADDRESSES);
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 10, "a thread ended: its last replies are there");
    replies(1, 1, 20);
    load_live_fill(&live[1], results[1], ADDRESSES);
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 11, "a thread ended: its replies stay while the other goes on");
    load_live_fill(&live[1], results[1], ADDRESSES);
    load_live_end(&live[1], results[1], ADDRESSES); /* while it is the reader's */
    load_live_collect(live, THREADS, &reply);
    load_live_collect(live, THREADS, &reply);
    is_int(reply.count, 11, "both ended: the reader has all for good");
}

int main(void)
{
    for (int i = 0; i < THREADS; i++) {
        results[i] = load_result_new(ADDRESSES);
    }
    test_counters();
    test_passing();
    test_end();
    for (int i = 0; i < THREADS; i++) {
        free(results[i]);
    }
    return done();
}
