/* metrics_histogram: the series of a classic Prometheus histogram of durations, with fixed
 * bounds. Apart from metrics.h, since not each program has one. */
#ifndef ECHOLAB_METRICS_HISTOGRAM_H
#define ECHOLAB_METRICS_HISTOGRAM_H

#include "base/histogram.h"
#include "base/metrics.h"

/* The bounds: 50 us, and 19 times twice the bound before (26.2144 s). A histogram's
 * numbers: those at or below each bound (all of them, not only those above the bound
 * before), then the count of all, then their sum in ns. */
#define METRICS_BOUNDS            20
#define METRICS_BOUND_NS(i)       ((uint64_t)50000 << (i))
#define METRICS_HISTOGRAM_NUMBERS (METRICS_BOUNDS + 2)

/* For struct metrics. */
char *metrics_histogram(char *at, const char *prefix, const char *name,
                        const uint64_t *numbers);

/* Fill the numbers from a histogram, by whole buckets: a bound is at most 0.4 % off.
 * Another thread may record meanwhile. */
void metrics_histogram_read(const struct histogram *histogram,
                            uint64_t numbers[METRICS_HISTOGRAM_NUMBERS]);

#endif
