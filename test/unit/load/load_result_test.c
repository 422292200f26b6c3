#include "load/load_result.h"

#include <stdlib.h>

#include "tap.h"

enum { ADDRESSES = 2 };

/* With a warm-up of 100 ns and a duration of 1,000 ns, from 1,000 on. */
static struct load_result *started(void)
{
    static const struct load_config config = {.warmup_ns = 100, .duration_ns = 1000};
    struct load_result *result = load_result_new(ADDRESSES);

    load_result_start(result, &config, 1000);
    return result;
}

static void test_window(void)
{
    static const struct load_config endless = {.warmup_ns = 7};
    struct load_result *result = started();

    group("window");
    is_int(result->measure_ns, 1100, "measuring begins after the warm-up");
    is_int(result->end_ns, 2100, "the end is a duration after the warm-up");
    load_result_start(result, &endless, 1000);
    is_int(result->measure_ns, 1007, "without a duration there is a warm-up, too");
    ok(result->end_ns == UINT64_MAX, "without a duration there is no end");
    free(result);
}

static void test_echoed(void)
{
    struct load_result *result = started();
    const struct load_flight flight = {.due_ns = 1010, .sent_ns = 1020, .first_ns = 1050};

    group("three echoes");
    ok(!load_result_echoed(result, 1, &flight, 1099), "in the warm-up: not measured");
    ok(load_result_echoed(result, 1, &flight, 1100), "right after the warm-up: measured");
    ok(load_result_echoed(result, 0, &flight, 2100), "after the end: measured");
    is_int(result->echoed, 3, "all three are counted as echoed");
    is_int(result->measured, 2, "two are counted as measured");
    is_int(result->in_time, 1, "one of them came in time");
    is_int(result->last_ns, 2100, "the last echo was the third");
    is_int(result->addresses[1].echoed, 2, "two are of the second address");
    is_int(result->addresses[1].reply.max_ns, 90, "a reply counts from when it was due");
    is_int(result->first_byte.max_ns, 30, "the first byte counts from the sending");
    free(result);
}

static void test_outages(void)
{
    struct load_result *result = started();
    const struct load_flight flight = {.due_ns = 1010, .sent_ns = 1020, .first_ns = 1050};

    group("outages");
    load_result_failed(result, 0, PROBE_RESET, 3, 1200);
    load_result_failed(result, 1, PROBE_REFUSED, 0, 1300);
    is_int(result->lost, 3, "three messages were lost");
    is_int(load_result_errors(result), 4, "a failed connect is one error more");
    is_int(result->failures[PROBE_RESET], 3, "the lost messages are failures");
    is_int(result->failures[PROBE_REFUSED], 0, "a failed connect alone is no failure");
    load_result_failed(result, 0, PROBE_DIFFERS, 0, 1300);
    is_int(result->failures[PROBE_DIFFERS], 1, "bytes that nobody sent are a failure");
    is_int(result->errors[PROBE_RESET], 3, "three errors are resets");
    is_int(result->addresses[1].errors, 1, "one error is the second address's");
    load_result_echoed(result, 0, &flight, 1500);
    is_int(result->outage_ns, 300, "an outage lasts from the first error to the echo");
    load_result_echoed(result, 0, &flight, 1900);
    is_int(result->outage_ns, 300, "no outage lasts from echo to echo");
    load_result_failed(result, 0, PROBE_RESET, 1, 2000);
    load_result_echoed(result, 0, &flight, 2100);
    is_int(result->outage_ns, 300, "a shorter outage changes nothing");
    load_result_failed(result, 0, PROBE_RESET, 1, 2200);
    load_result_end_outage(result, 2800);
    is_int(result->outage_ns, 600, "one that lasts to the end of the load counts");
    free(result);
}

static void test_merge(void)
{
    struct load_result *all = load_result_new(ADDRESSES), *one = started();
    const struct load_flight flight = {.due_ns = 1010, .sent_ns = 1020, .first_ns = 1050};

    group("merge");
    one->sent = 10;
    one->unfinished = 2;
    one->skipped = 5;
    load_result_echoed(one, 0, &flight, 1200);
    load_result_failed(one, 1, PROBE_TIMED_OUT, 4, 1300);
    load_result_end_outage(one, 1400);
    histogram_record(&one->connect, 11);
    histogram_record(&one->raw, 12);
    one->unconnected[PROBE_REFUSED] = 6;
    one->wants = 7;
    one->addresses[0].connects = 3;
    one->addresses[1].connects = 4;
    load_result_merge(all, one, ADDRESSES);
    /* The second thread ended earlier, with a shorter outage, and broke. */
    one->last_ns = 7;
    one->outage_ns = 8;
    one->fatal = 9;
    load_result_merge(all, one, ADDRESSES);
    is_int(all->sent, 20, "sent: the sum");
    is_int(all->echoed, 2, "echoed: the sum");
    is_int(all->measured, 2, "measured: the sum");
    is_int(all->in_time, 2, "in time: the sum");
    is_int(all->unfinished, 4, "unfinished: the sum");
    is_int(all->skipped, 10, "skipped: the sum");
    is_int(all->lost, 8, "lost: the sum");
    is_int(all->errors[PROBE_TIMED_OUT], 8, "errors: the sum of each kind");
    is_int(all->failures[PROBE_TIMED_OUT], 8, "failures: the sum of each kind");
    is_int(all->unconnected[PROBE_REFUSED], 12, "unconnected: the sum of each kind");
    is_int(all->wants, 14, "errors since this side lacks something: the sum");
    is_int(load_result_connects(all, ADDRESSES), 14, "connects: the sum of all addresses");
    is_int(all->last_ns, 1300, "the last event: the later one");
    is_int(all->outage_ns, 100, "the outage: the longer one");
    is_int(all->fatal, 9, "what ended a thread stays");
    is_int(all->connect.count, 2, "connect: both distributions");
    is_int(all->raw.count, 2, "raw: both distributions");
    is_int(all->first_byte.count, 2, "first byte: both distributions");
    is_int(all->addresses[0].connects, 6, "connects of an address: the sum");
    is_int(all->addresses[0].echoed, 2, "echoes of an address: the sum");
    is_int(all->addresses[0].reply.count, 2, "replies of an address: both");
    is_int(all->addresses[1].errors, 8, "errors of an address: the sum");
    free(one);
    free(all);
}

int main(void)
{
    test_window();
    test_echoed();
    test_outages();
    test_merge();
    return done();
}
