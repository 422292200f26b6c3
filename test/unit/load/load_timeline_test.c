#include "load/load_timeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tap.h"

#define START UINT64_C(1000000)
#define WIDTH CLOCK_S

enum { THREADS = 2 };

static struct load_timeline *timeline;
static struct load_timeline_part parts[THREADS];
static struct load_result *results[THREADS];

/* A load of this length in intervals of a second, and its threads, which have begun. */
static void begin(uint64_t duration_ns)
{
    const struct load_config config = {
        .timeline_ns = WIDTH, .duration_ns = duration_ns, .threads = THREADS};

    timeline = load_timeline_new(&config);
    memset(parts, 0, sizeof parts);
    for (unsigned i = 0; i < THREADS; i++) {
        results[i] = load_result_new(1);
        load_result_start(results[i], &config, START);
        parts[i] = (struct load_timeline_part){
            .timeline = timeline, .thread = i, .start_ns = START, .open = 5};
    }
}

static void end(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        free(results[i]);
    }
    free(timeline);
}

/* Thread `i` has `count` more messages echoed after `ns`. */
static void echoes(unsigned i, unsigned count, uint64_t ns)
{
    results[i]->sent += count;
    results[i]->echoed += count;
    while (count-- > 0) {
        histogram_record(&parts[i].reply, ns);
    }
}

/* Thread `i` notices that it is so many ms after the start. */
static uint64_t go_on(unsigned i, uint64_t ms)
{
    return load_timeline_go_on(&parts[i], results[i], START + ms * CLOCK_MS);
}

static void finish(uint64_t ms)
{
    for (unsigned i = 0; i < THREADS; i++) {
        load_timeline_end(&parts[i], results[i], START + ms * CLOCK_MS);
    }
    load_timeline_finish(timeline);
}

static void test_rows(void)
{
    const struct load_interval *rows;

    group("two threads");
    begin(2500 * CLOCK_MS);
    rows = timeline->rows;
    is_int(go_on(0, 10), START + WIDTH, "it says when the interval ends");
    echoes(0, 99, 1000);
    results[0]->lost = results[0]->errors[PROBE_RESET] = 3;
    echoes(1, 1, 200);
    is_int(go_on(0, 1000), START + 2 * WIDTH, "the next one's end follows");
    is_int(timeline->first_open, 0, "while one thread is in it, a row is not final");
    echoes(0, 7, 50);
    go_on(1, 1010);
    is_int(timeline->first_open, 1, "it is final when the last thread is past it");
    is_int(rows[0].echoed, 100, "it has the echoes of both");
    is_int(rows[0].sent, 100, "what both sent");
    is_int(rows[0].lost, 3, "what was lost");
    is_int(rows[0].errors[PROBE_RESET], 3, "errors by kind");
    is_int(rows[0].connections, 10, "the connections of both");
    is_int(rows[0].p50_ns, 1000, "the median of both");
    is_int(rows[0].max_ns, 1000, "the longest of both");
    is_int(rows[0].length_ns, WIDTH, "its length");
    results[1]->errors[PROBE_RESET] = 1;
    is_int(go_on(1, 2400), START + 2500 * CLOCK_MS, "the last one ends with the load");
    is_int(go_on(1, 2600), UINT64_MAX, "beyond the end there is no next one");
    echoes(1, 1, 70);
    finish(2700);
    is_int(timeline->count, 3, "there are as many rows as intervals");
    is_int(rows[1].echoed, 7, "a row has what came since the one before");
    is_int(rows[1].errors[PROBE_RESET], 1, "and its errors");
    is_int(rows[1].p99_ns, 50, "and its percentiles");
    is_int(rows[2].echoed, 1, "what comes after the end is in the last row");
    is_int(rows[2].at_ns, 2 * WIDTH, "which begins where it should");
    is_int(rows[2].length_ns, WIDTH / 2, "and is as long as the load");
    end();
}

static void test_gaps(void)
{
    group("a thread that sleeps");
    begin(100 * CLOCK_S);
    echoes(0, 4, 1000);
    go_on(0, 5500);
    go_on(1, 5500);
    is_int(timeline->first_open, 5, "each interval that it missed has its row");
    is_int(timeline->rows[0].echoed, 4, "what it did is in the first");
    is_int(timeline->rows[3].echoed, 0, "the others are empty");
    is_int(timeline->rows[3].p99_ns, 0, "without percentiles");
    is_int(timeline->rows[3].connections, 10, "but with its connections");
    end();
}

static void test_laggard(void)
{
    group("a thread that is late");
    begin(100 * CLOCK_S);
    for (uint64_t second = 0; second < 20; second++) {
        echoes(0, 2, 1000 + second);
        go_on(0, 1000 * (second + 1));
    }
    is_int(timeline->first_open, 20 - LOAD_TIMELINE_OPEN,
           "the other one's rows become final where there is no room");
    echoes(1, 5, 9000);
    go_on(1, 20000);
    is_int(timeline->first_open, 20, "it is in time again");
    is_int(timeline->rows[0].echoed, 7, "its counts are in their row");
    is_int(timeline->rows[0].max_ns, 9000, "and its longest reply");
    is_int(timeline->rows[0].p99_ns, 1000, "but not in the percentiles");
    is_int(timeline->rows[19].p50_ns, 1019, "no row has another one's latencies");
    end();
}

static void test_end(void)
{
    group("the end");
    begin(100 * CLOCK_S);
    echoes(0, 1, 10);
    load_timeline_end(&parts[0], results[0], START + 300 * CLOCK_MS);
    echoes(1, 1, 10);
    go_on(1, 3000);
    is_int(timeline->first_open, 3, "nobody waits for a thread that ended");
    load_timeline_end(&parts[1], results[1], START + 3400 * CLOCK_MS);
    is_int(timeline->first_open, 4, "with the last thread the last row is final");
    is_int(timeline->rows[3].length_ns, 400 * CLOCK_MS,
           "a load that was stopped has a last interval as long as it went");
    is_int(timeline->rows[0].length_ns, WIDTH, "the first one is whole");
    end();

    group("no start");
    begin(100 * CLOCK_S);
    parts[0].start_ns = parts[1].start_ns = 0;
    results[0]->errors[PROBE_REFUSED] = 4;
    finish(100);
    is_int(timeline->count, 1, "there is one row");
    is_int(timeline->rows[0].errors[PROBE_REFUSED], 4, "with what went wrong");
    is_int(timeline->rows[0].length_ns, 0, "and no length");
    end();
}

static void test_long(void)
{
    group("a day");
    begin(24 * 3600 * CLOCK_S);
    is_int(load_timeline_width(timeline), WIDTH, "a day has seconds");
    is_int(load_timeline_begin_of(timeline, LOAD_TIMELINE_MAX - 1),
           (uint64_t)(LOAD_TIMELINE_MAX - 1) * WIDTH, "as many as there may be");
    end();
    begin((24 * 3600 + 1) * CLOCK_S);
    is_int(load_timeline_width(timeline), 2 * WIDTH, "a second more, and each has two");
    finish(UINT64_C(1000) * (24 * 3600 + 5));
    is_int(timeline->count, 24 * 3600 / 2 + 1, "which are half as many");
    end();
    begin(365 * 24 * 3600 * CLOCK_S);
    is_int(load_timeline_width(timeline), 365 * WIDTH, "a year has 365 times as long ones");
    end();
}

static void test_endless(void)
{
    const uint64_t half = LOAD_TIMELINE_MAX / 2;
    uint64_t last = 0;

    group("without an end");
    begin(0);
    is_int(load_timeline_begin_of(timeline, (uint32_t)half), half * WIDTH,
           "half of the rows are as wide as was asked for");
    is_int(load_timeline_begin_of(timeline, (uint32_t)half + 1), (half + 4) * WIDTH,
           "the next ones four times as wide");
    is_int(load_timeline_begin_of(timeline, (uint32_t)(half + half / 2 + 1)),
           (half + half / 2 * 4 + 16) * WIDTH, "then sixteen times, for half as many");
    for (uint32_t i = 1; i < LOAD_TIMELINE_MAX; i++) {
        uint64_t at = load_timeline_begin_of(timeline, i);

        if (at == UINT64_MAX) {
            break;
        }
        if (at <= last) {
            ok(false, "interval %u begins after the one before", i);
            break;
        }
        last = at;
    }
    ok(last > UINT64_C(30) * 365 * 24 * 3600 * WIDTH, "they reach for 30 years");
    go_on(0, 43203 * 1000);
    go_on(1, 43203 * 1000);
    is_int(load_timeline_width(timeline), WIDTH, "the width is that of the last one begun");
    go_on(0, 43207 * 1000);
    is_int(load_timeline_width(timeline), 4 * WIDTH, "and grows with them");
    end();
}

int main(void)
{
    test_rows();
    test_gaps();
    test_laggard();
    test_end();
    test_long();
    test_endless();
    return done();
}
