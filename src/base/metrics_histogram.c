#include "base/metrics_histogram.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/format.h"

static char *print_seconds(char *at, uint64_t ns)
{
    return at +
           format(at, METRICS_LINE, "%" PRIu64 ".%09" PRIu64, ns / CLOCK_S, ns % CLOCK_S);
}

/* A bound in seconds, without zeros at its end: 0.00005. */
static char *print_bound(char *at, uint64_t ns)
{
    at = print_seconds(at, ns);
    while (at[-1] == '0') {
        at--;
    }
    return at;
}

char *metrics_histogram(char *at, const char *prefix, const char *name,
                        const uint64_t *numbers)
{
    uint64_t all = numbers[METRICS_BOUNDS];

    for (unsigned i = 0; i < METRICS_BOUNDS; i++) {
        at += format(at, METRICS_LINE, "%s%s_bucket{le=\"", prefix, name);
        at = print_bound(at, METRICS_BOUND_NS(i));
        at += format(at, METRICS_LINE, "\"} %" PRIu64 "\n", numbers[i]);
    }
    at += format(at, METRICS_LINE, "%s%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s%s_sum ",
                 prefix, name, all, prefix, name);
    at = print_seconds(at, numbers[METRICS_BOUNDS + 1]);
    return at + format(at, METRICS_LINE, "\n%s%s_count %" PRIu64 "\n", prefix, name, all);
}

void metrics_histogram_read(const struct histogram *histogram,
                            uint64_t numbers[METRICS_HISTOGRAM_NUMBERS])
{
    uint64_t from = 0, seen = 0;

    for (unsigned i = 0; i <= METRICS_BOUNDS; i++) {
        uint64_t to = i < METRICS_BOUNDS ? METRICS_BOUND_NS(i) + 1 : UINT64_MAX;

        seen += histogram_between(histogram, from, to);
        numbers[i] = seen;
        from = to;
    }
    numbers[METRICS_BOUNDS + 1] = histogram_sum(histogram);
}
