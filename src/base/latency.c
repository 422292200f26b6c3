#include "base/latency.h"

#include <inttypes.h>
#include <stddef.h>

#include "base/clock.h"
#include "base/format.h"

const struct latency_percentile latency_percentiles[LATENCY_PERCENTILES] = {
    {"p50", "p50_ns", 50000},     {"p90", "p90_ns", 90000},       {"p99", "p99_ns", 99000},
    {"p99.9", "p99_9_ns", 99900}, {"p99.99", "p99_99_ns", 99990},
};

const char *latency_text(char out[LATENCY_TEXT], uint64_t ns)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{CLOCK_S, "s"}, {CLOCK_MS, "ms"}, {CLOCK_US, "us"}};

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint64_t whole = ns / units[i].ns, rest = ns % units[i].ns * 1000 / units[i].ns;

        if (whole >= 100) {
            format(out, LATENCY_TEXT, "%" PRIu64 "%s", whole, units[i].name);
        } else if (whole >= 10) {
            format(out, LATENCY_TEXT, "%" PRIu64 ".%u%s", whole, (unsigned)(rest / 100),
                   units[i].name);
        } else if (whole >= 1) {
            format(out, LATENCY_TEXT, "%" PRIu64 ".%02u%s", whole, (unsigned)(rest / 10),
                   units[i].name);
        } else {
            continue;
        }
        return out;
    }
    format(out, LATENCY_TEXT, "%" PRIu64 "ns", ns);
    return out;
}

const char *latency_line(char out[LATENCY_LINE_TEXT], const struct histogram *histogram)
{
    char text[LATENCY_TEXT];
    size_t used =
        format(out, LATENCY_LINE_TEXT, "min %s", latency_text(text, histogram->min_ns));

    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        uint64_t ns = histogram_percentile(histogram, latency_percentiles[i].per_100000);

        used += format(out + used, LATENCY_LINE_TEXT - used, ", %s %s",
                       latency_percentiles[i].name, latency_text(text, ns));
    }
    used += format(out + used, LATENCY_LINE_TEXT - used, ", max %s",
                   latency_text(text, histogram->max_ns));
    format(out + used, LATENCY_LINE_TEXT - used, ", mean %s",
           latency_text(text, histogram_mean(histogram)));
    return out;
}
