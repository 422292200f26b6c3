/* histogram: a distribution of durations, in fixed memory.
 *
 * Buckets are log-linear: exact below 256 ns, then 128 of equal width for each power of
 * two, up to HISTOGRAM_MAX_NS (over a minute). So a percentile is at most 0.4 % off. Longer
 * durations are counted in the last bucket; max and mean are exact for all. The merge of
 * two histograms is exactly the histogram of all their durations. */
#ifndef ECHOLAB_HISTOGRAM_H
#define ECHOLAB_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX_NS  ((UINT64_C(1) << 36) - 1) /* 68.7 s */
#define HISTOGRAM_BUCKETS (256 + (36 - 8) * 128)

/* The same as HdrHistogram counts it: ranges, each twice as wide as the one before, and the
 * buckets of the first one. */
#define HISTOGRAM_RANGES      (1U + 36 - 8)
#define HISTOGRAM_SUB_BUCKETS 256U

/* A zeroed struct is empty. min_ns and max_ns are valid only when count > 0. */
struct histogram {
    uint64_t count;
    uint64_t min_ns, max_ns;
    uint64_t sum_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Count a duration. */
void histogram_record(struct histogram *histogram, uint64_t ns);

/* Add the durations of `other`. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* The duration that `per_100000` of 100,000 durations do not exceed (nearest rank): 50000
 * is the median, 99900 p99.9. It is the middle of its bucket, but never below min or above
 * max; 0 when the histogram is empty. */
uint64_t histogram_percentile(const struct histogram *histogram, uint32_t per_100000);

/* The duration that comes at `rank` when they stand in rising order, 1 the shortest; as for
 * histogram_percentile() the middle of its bucket. `*up_to` is set to the number of
 * durations that are in this bucket or below. */
uint64_t histogram_at(const struct histogram *histogram, uint64_t rank, uint64_t *up_to);

/* The mean in ns; 0 when the histogram is empty. */
uint64_t histogram_mean(const struct histogram *histogram);

/* The standard deviation in ns, from what stands for each bucket in a percentile; 0 when
 * the histogram is empty. */
uint64_t histogram_deviation(const struct histogram *histogram);

/* The number of durations in [from_ns, to_ns), by whole buckets: those whose middle is
 * inside. And the sum of all durations in ns. Both may be asked for while another thread
 * records; what comes meanwhile is in it or not. */
uint64_t histogram_between(const struct histogram *histogram, uint64_t from_ns,
                           uint64_t to_ns);
uint64_t histogram_sum(const struct histogram *histogram);

#endif
