#include "histogram.h"

#include <string.h>

#include "tap.h"

static struct histogram h, other, both;

static uint64_t next_random(void)
{
    static uint64_t x = 88172645463325252;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return x;
}

/* A single value: every percentile is it, within 1 %. */
static void every_value_is_near_its_bucket(void)
{
    uint64_t worst_per_mille = 0;

    for (int i = 0; i < 200000; i++) {
        uint64_t ns = next_random() >> (28 + next_random() % 36);

        memset(h.buckets, 0, sizeof h.buckets);
        h.count = h.sum_ns = 0;
        histogram_record(&h, ns);
        h.min_ns = 0; /* so that the bucket itself is seen, and not the limits */
        h.max_ns = UINT64_MAX;
        h.count = 2; /* the median is the first of two */
        uint64_t got = histogram_percentile(&h, 50000);
        uint64_t off = got > ns ? got - ns : ns - got;
        uint64_t per_mille = ns == 0 ? off : off * 1000 / ns;

        worst_per_mille = per_mille > worst_per_mille ? per_mille : worst_per_mille;
        if (i > 2000) {
            i += 100; /* clearing 30 KiB each time */
        }
    }
    ok(worst_per_mille < 5, "a bucket's middle is within 0.5 %% (%d per mille)",
       (int)worst_per_mille);
}

static void percentiles_are_nearest_ranks(void)
{
    memset(&h, 0, sizeof h);
    is_int(histogram_percentile(&h, 50000), 0, "no median of nothing");
    is_int(histogram_mean(&h), 0, "no mean of nothing");
    for (uint64_t ns = 1; ns <= 100; ns++) {
        histogram_record(&h, ns);
    }
    is_int(histogram_percentile(&h, 50000), 50, "p50 of 1 to 100");
    is_int(histogram_percentile(&h, 99000), 99, "p99");
    is_int(histogram_percentile(&h, 99900), 100, "p99.9 is the greatest");
    is_int(histogram_percentile(&h, 100000), 100, "p100");
    is_int(histogram_percentile(&h, 0), 1, "p0 is the least");
    is_int(histogram_mean(&h), 50, "the mean, cut");
    is_int(h.min_ns, 1, "min");
    is_int(h.max_ns, 100, "max");
    is_int(histogram_between(&h, 11, 21), 10, "a part of it");
}

static void long_durations_are_kept_as_far_as_they_can(void)
{
    memset(&h, 0, sizeof h);
    histogram_record(&h, 60000000000);
    histogram_record(&h, 60000000000);
    ok(histogram_percentile(&h, 50000) == 60000000000, "a minute is within the limits");
    histogram_record(&h, UINT64_C(3600000000000));
    is_int(h.max_ns, UINT64_C(3600000000000), "max is exact beyond the range");
    is_int(histogram_percentile(&h, 99999), UINT64_C(3600000000000),
           "and the last percentile");
}

static void merging_is_exact(void)
{
    memset(&h, 0, sizeof h);
    for (int i = 0; i < 50000; i++) {
        uint64_t ns = next_random() >> (28 + next_random() % 30);

        histogram_record(i % 3 == 0 ? &h : &other, ns);
        histogram_record(&both, ns);
    }
    histogram_merge(&h, &other);
    is_mem(&h, &both, sizeof h, "two merged are the same as one for both");
    memset(&other, 0, sizeof other);
    histogram_merge(&h, &other);
    is_mem(&h, &both, sizeof h, "an empty one changes nothing");
    histogram_merge(&other, &h);
    is_mem(&other, &both, sizeof h, "into an empty one it is a copy");
}

int main(void)
{
    every_value_is_near_its_bucket();
    percentiles_are_nearest_ranks();
    long_durations_are_kept_as_far_as_they_can();
    merging_is_exact();
    return done();
}
