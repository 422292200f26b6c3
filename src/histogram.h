/* histogram: how durations are distributed, in fixed memory.
 *
 * Buckets are log-linear: exact below 256 ns, then 128 of equal width for each power of
 * two, so that a percentile is at most 0.4 % off, up to HISTOGRAM_MAX_NS (over a minute).
 * Longer durations are counted in the last bucket; max and mean are exact for all. Adding
 * one histogram to another gives exactly what one for both would hold. */
#ifndef ECHOLAB_HISTOGRAM_H
#define ECHOLAB_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX_NS  ((UINT64_C(1) << 36) - 1) /* 68.7 s */
#define HISTOGRAM_BUCKETS (256 + (36 - 8) * 128)

/* All zero is an empty one. Read min_ns and max_ns only when count > 0. */
struct histogram {
    uint64_t count;
    uint64_t min_ns, max_ns;
    uint64_t sum_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* Count a duration. */
void histogram_record(struct histogram *histogram, uint64_t ns);

/* Add what `other` holds. */
void histogram_merge(struct histogram *histogram, const struct histogram *other);

/* The duration that `per_100000` of 100,000 do not exceed (nearest rank): 50000 is the
 * median, 99900 p99.9. The middle of its bucket, but never outside of min and max. 0 when
 * there are none. */
uint64_t histogram_percentile(const struct histogram *histogram, uint32_t per_100000);

/* The mean in ns; 0 when there are none. */
uint64_t histogram_mean(const struct histogram *histogram);

/* How many are in [from_ns, to_ns): whole buckets, those whose middle is inside. */
uint64_t histogram_between(const struct histogram *histogram, uint64_t from_ns,
                           uint64_t to_ns);

#endif
