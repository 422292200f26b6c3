#include "base/histogram.h"

#include <string.h>

#include "model.h"
#include "tap.h"

static struct histogram h, other, both;

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
    group("an empty one");
    is_int(histogram_percentile(&h, 50000), 0, "its median is 0");
    is_int(histogram_mean(&h), 0, "its mean is 0");
    group("1 to 100");
    for (uint64_t ns = 1; ns <= 100; ns++) {
        histogram_record(&h, ns);
    }
    is_int(histogram_percentile(&h, 50000), 50, "p50 is 50");
    is_int(histogram_percentile(&h, 99000), 99, "p99 is 99");
    is_int(histogram_percentile(&h, 99900), 100, "p99.9 is the greatest");
    is_int(histogram_percentile(&h, 100000), 100, "p100 is the greatest");
    is_int(histogram_percentile(&h, 0), 1, "p0 is the least");
    is_int(histogram_mean(&h), 50, "the mean is 50.5, cut");
    is_int(h.min_ns, 1, "min is 1");
    is_int(h.max_ns, 100, "max is 100");
    is_int(histogram_between(&h, 11, 21), 10, "10 are from 11 to 20");
}

static void long_durations_are_kept_as_far_as_they_can(void)
{
    group("long durations");
    memset(&h, 0, sizeof h);
    histogram_record(&h, 60000000000);
    histogram_record(&h, 60000000000);
    ok(histogram_percentile(&h, 50000) == 60000000000, "a minute is within the range");
    histogram_record(&h, UINT64_C(3600000000000));
    is_int(h.max_ns, UINT64_C(3600000000000), "max is exact beyond the range");
    is_int(histogram_percentile(&h, 99999), UINT64_C(3600000000000),
           "so is the last percentile beyond the range");
}

static void ranks_are_found(void)
{
    uint64_t up_to;

    group("ranks");
    memset(&h, 0, sizeof h);
    is_int(histogram_at(&h, 1, &up_to), 0, "an empty one: 0");
    is_int(up_to, 0, "an empty one: none is below");
    for (int i = 0; i < 3; i++) {
        histogram_record(&h, 10);
    }
    histogram_record(&h, 20);
    histogram_record(&h, 1000000);
    is_int(histogram_at(&h, 0, &up_to), 10, "rank 0 is the shortest");
    is_int(histogram_at(&h, 2, &up_to), 10, "the second of three equal ones");
    is_int(up_to, 3, "all three are in its bucket");
    is_int(histogram_at(&h, 4, &up_to), 20, "the fourth");
    is_int(up_to, 4, "four are up to there");
    is_int(histogram_at(&h, 5, &up_to), 1000000, "the last is exact");
    is_int(up_to, 5, "all are up to there");
    is_int(histogram_at(&h, 6, &up_to), 1000000, "beyond the last is the last");
}

/* Against the definition, with values below 256, which have a bucket each. */
static void the_deviation_is_right(void)
{
    group("deviation");
    memset(&h, 0, sizeof h);
    is_int(histogram_deviation(&h), 0, "of none: 0");
    histogram_record(&h, 123456789);
    is_int(histogram_deviation(&h), 0, "of one: 0");
    memset(&h, 0, sizeof h);
    for (int i = 0; i < 1000; i++) {
        histogram_record(&h, 100);
        histogram_record(&h, 200);
    }
    is_int(histogram_deviation(&h), 50, "of 100 and 200: 50");
    histogram_record(&h, 150);
    is_int(histogram_deviation(&h), 49, "with one in the middle a little less");
    memset(&h, 0, sizeof h);
    h.count = UINT64_C(1) << 41;
    h.min_ns = 0;
    h.max_ns = HISTOGRAM_MAX_NS;
    h.sum_ns = 0; /* a mean of 0: each is off by the whole */
    h.buckets[HISTOGRAM_BUCKETS - 1] = h.count;
    uint64_t deviation = histogram_deviation(&h);
    ok(deviation > HISTOGRAM_MAX_NS / 1000 * 996 && deviation <= HISTOGRAM_MAX_NS,
       "of the longest, 2^41 times: nothing overflows");
}

static void merging_is_exact(void)
{
    group("merging");
    memset(&h, 0, sizeof h);
    for (int i = 0; i < 50000; i++) {
        uint64_t ns = next_random() >> (28 + next_random() % 30);

        histogram_record(i % 3 == 0 ? &h : &other, ns);
        histogram_record(&both, ns);
    }
    histogram_merge(&h, &other);
    is_mem(&h, &both, sizeof h, "two merged are the same as one that recorded all");
    memset(&other, 0, sizeof other);
    histogram_merge(&h, &other);
    is_mem(&h, &both, sizeof h, "an empty one changes nothing");
    histogram_merge(&other, &h);
    is_mem(&other, &both, sizeof h, "merged into an empty one it is a copy");
}

int main(void)
{
    every_value_is_near_its_bucket();
    percentiles_are_nearest_ranks();
    long_durations_are_kept_as_far_as_they_can();
    ranks_are_found();
    the_deviation_is_right();
    merging_is_exact();
    return done();
}
