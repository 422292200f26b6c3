#include "base/latency.h"

#include <string.h>

#include "tap.h"

static void shows(uint64_t ns, const char *wanted)
{
    char text[LATENCY_TEXT];

    is_str(latency_text(text, ns), wanted, "%llu ns is %s", (unsigned long long)ns, wanted);
}

int main(void)
{
    static struct histogram histogram;
    char line[LATENCY_LINE_TEXT];

    shows(0, "0ns");
    shows(999, "999ns");
    shows(1000, "1.00us");
    shows(1239, "1.23us");
    shows(12390, "12.3us");
    shows(123900, "123us");
    shows(999999, "999us");
    shows(1000000, "1.00ms");
    shows(59999000000, "59.9s");
    shows(UINT64_MAX, "18446744073s");

    for (uint64_t us = 1; us <= 100; us++) {
        histogram_record(&histogram, us * 1000);
    }
    is_str(latency_line(line, &histogram),
           "min 1.00us, p50 50.0us, p90 89.8us, p99 99.0us, p99.9 100us, p99.99 100us, "
           "max 100us, mean 50.5us",
           "a distribution of 1 to 100 us as a line");
    histogram_record(&histogram, UINT64_MAX);
    ok(strlen(latency_line(line, &histogram)) < sizeof line - 1, "the longest line fits");
    for (size_t i = 1; i < LATENCY_PERCENTILES; i++) {
        ok(latency_percentiles[i].per_100000 > latency_percentiles[i - 1].per_100000,
           "the percentile %s is above %s", latency_percentiles[i].name,
           latency_percentiles[i - 1].name);
    }
    return done();
}
