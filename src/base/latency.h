/* latency: durations and their distributions as text for people. */
#ifndef ECHOLAB_LATENCY_H
#define ECHOLAB_LATENCY_H

#include <stdint.h>

#include "base/histogram.h"

/* The percentiles that every report has, in rising order. */
struct latency_percentile {
    const char *name; /* p99.9 */
    const char *key;  /* p99_9_ns: of a JSON object */
    uint32_t per_100000;
};

#define LATENCY_PERCENTILES 5
extern const struct latency_percentile latency_percentiles[LATENCY_PERCENTILES];

/* A duration with three or four digits: "123us", "1.24ms". Writes at most LATENCY_TEXT
 * bytes and returns `out`. */
#define LATENCY_TEXT 24
const char *latency_text(char out[LATENCY_TEXT], uint64_t ns);

/* A distribution on one line: "min 12.3us, p50 45.6us, ..., max 1.2ms, mean 60us". Writes
 * at most LATENCY_LINE_TEXT bytes and returns `out`. */
#define LATENCY_LINE_TEXT 192
const char *latency_line(char out[LATENCY_LINE_TEXT], const struct histogram *histogram);

#endif
