/* A table's text for Prometheus and for the log; a histogram's series. */
#include "base/metrics.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/metrics_histogram.h"
#include "tap.h"

static const char *const fruits[] = {"apple", "a pear", NULL};
static const struct metrics_label build = {"version=\"1\",revision=\"2\"", NULL},
                                  fruit = {"fruit", fruits};
static const struct metrics_row rows[] = {
    {"build_info", "Which one", &build, METRICS_GAUGE, 0, 0},
    {"eaten_total", "Fruits", &fruit, METRICS_COUNTER, 0, 1},
    {"process_cpu_seconds_total", "Time", NULL, METRICS_COUNTER, 1, 3},
};
static const struct metrics metrics = {"test_", rows, 3, NULL};

static void test_print(void)
{
    static const uint64_t numbers[] = {1, 20, UINT64_MAX, 12000000345};
    static char text[METRICS_TEXT];

    group("exposition");
    size_t length = metrics_print(&metrics, numbers, text);
    is_int(length, strlen(text), "its length");
    is_str(text,
           "# HELP test_build_info Which one\n"
           "# TYPE test_build_info gauge\n"
           "test_build_info{version=\"1\",revision=\"2\"} 1\n"
           "# HELP test_eaten_total Fruits\n"
           "# TYPE test_eaten_total counter\n"
           "test_eaten_total{fruit=\"apple\"} 20\n"
           "test_eaten_total{fruit=\"a pear\"} 18446744073709551615\n"
           "# HELP process_cpu_seconds_total Time\n"
           "# TYPE process_cpu_seconds_total counter\n"
           "process_cpu_seconds_total 12.000000345\n",
           "each row: HELP, TYPE, series");
}

/* What the log writes into a pipe. */
static void test_log(void)
{
    static const uint64_t numbers[] = {1, 20, 30, 5};
    static char text[METRICS_TEXT];
    int ends[2];

    group("log");
    if (pipe(ends) == -1) {
        abort();
    }
    log_open(ends[1], LOG_ERROR, LOG_TEXT);
    metrics_log(text, metrics_print(&metrics, numbers, text));
    log_close(0);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    char *line = strtok(text, "\n");
    static const char *const wanted[] = {
        "counters: test_build_info{version=\"1\",revision=\"2\"} 1",
        "counters: test_eaten_total{fruit=\"apple\"} 20",
        "counters: test_eaten_total{fruit=\"a pear\"} 30",
        "counters: process_cpu_seconds_total 0.000000005"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        is_str(line != NULL ? strstr(line, "counters") : "", wanted[i], "line %zu", i);
        line = strtok(NULL, "\n");
    }
    ok(line == NULL, "no other line");
    close(ends[0]);
    close(ends[1]);
}

static void test_histogram(void)
{
    static const struct metrics_row row = {"wait_seconds",    "Waits", NULL,
                                           METRICS_HISTOGRAM, 0,       0};
    static const struct metrics one = {"test_", &row, 1, metrics_histogram};
    static char text[METRICS_TEXT];
    uint64_t numbers[METRICS_HISTOGRAM_NUMBERS];

    group("histogram");
    for (unsigned i = 0; i < METRICS_HISTOGRAM_NUMBERS; i++) {
        numbers[i] = i;
    }
    metrics_print(&one, numbers, text);
    ok(strstr(text, "# TYPE test_wait_seconds histogram\n") != NULL, "its type");
    ok(strstr(text, "\ntest_wait_seconds_bucket{le=\"0.00005\"} 0\n") != NULL,
       "the first bound: 50 us");
    ok(strstr(text, "\ntest_wait_seconds_bucket{le=\"0.0001\"} 1\n") != NULL,
       "the second: 100 us");
    ok(strstr(text, "\ntest_wait_seconds_bucket{le=\"26.2144\"} 19\n"
                    "test_wait_seconds_bucket{le=\"+Inf\"} 20\n"
                    "test_wait_seconds_sum 0.000000021\n"
                    "test_wait_seconds_count 20\n") != NULL,
       "the last bound, all, sum and count");
}

static void test_read(void)
{
    static struct histogram histogram;
    uint64_t numbers[METRICS_HISTOGRAM_NUMBERS];

    group("from a histogram");
    metrics_histogram_read(&histogram, numbers);
    is_int(numbers[METRICS_BOUNDS], 0, "an empty one has none");
    histogram_record(&histogram, 0);
    histogram_record(&histogram, 49000);
    histogram_record(&histogram, 51000);
    histogram_record(&histogram, 1000000);
    histogram_record(&histogram, UINT64_C(30000000000));
    histogram_record(&histogram, UINT64_C(100000000000)); /* beyond its range */
    metrics_histogram_read(&histogram, numbers);
    is_int(numbers[0], 2, "two are at or below 50 us");
    is_int(numbers[1], 3, "three at or below 100 us");
    is_int(numbers[4], 3, "and at or below 800 us");
    is_int(numbers[5], 4, "four at or below 1.6 ms");
    is_int(numbers[METRICS_BOUNDS - 1], 4, "and at or below 26 s");
    is_int(numbers[METRICS_BOUNDS], 6, "all are six");
    is_int(numbers[METRICS_BOUNDS + 1], UINT64_C(130001100000), "their sum is exact");
}

static void test_counter(void)
{
    struct counter counter = {0};

    group("counter");
    counter_add(&counter, 5);
    counter_add(&counter, -(uint64_t)2);
    is_int(counter_get(&counter), 3, "5 - 2 = 3");
    counter_set(&counter, 7);
    is_int(counter_get(&counter), 7, "7");
}

int main(void)
{
    test_print();
    test_log();
    test_histogram();
    test_read();
    test_counter();
    return done();
}
