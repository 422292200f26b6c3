#include "base/histogram.h"

#define EXACT_BITS 8 /* below 2^8 each value has a bucket of its own */
#define HALF       (UINT64_C(1) << (EXACT_BITS - 1))

static size_t bucket_of(uint64_t ns)
{
    if (ns > HISTOGRAM_MAX_NS) {
        ns = HISTOGRAM_MAX_NS;
    }
    if (ns < 2 * HALF) {
        return (size_t)ns;
    }
    /* 1xxxxxxx yyyy: the leading 8 bits choose the bucket in its power of two. */
    unsigned shift = 63U - (unsigned)__builtin_clzll(ns) - (EXACT_BITS - 1);
    return (size_t)(shift * HALF + (ns >> shift));
}

static uint64_t middle_of(size_t bucket)
{
    if (bucket < 2 * HALF) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket / HALF) - 1;
    uint64_t low = (HALF + bucket % HALF) << shift;

    return low + ((UINT64_C(1) << shift) - 1) / 2;
}

/* What stands for the durations in a bucket: never below min or above max. */
static uint64_t value_of(const struct histogram *histogram, size_t bucket)
{
    uint64_t ns = middle_of(bucket);

    ns = ns < histogram->min_ns ? histogram->min_ns : ns;
    return ns > histogram->max_ns ? histogram->max_ns : ns;
}

/* By the one thread that records, while others may read. */
static void add(uint64_t *number, uint64_t more)
{
    __atomic_store_n(number, *number + more, __ATOMIC_RELAXED);
}

void histogram_record(struct histogram *histogram, uint64_t ns)
{
    if (histogram->count++ == 0) {
        histogram->min_ns = histogram->max_ns = ns;
    } else if (ns < histogram->min_ns) {
        histogram->min_ns = ns;
    } else if (ns > histogram->max_ns) {
        histogram->max_ns = ns;
    }
    add(&histogram->sum_ns, ns);
    add(&histogram->buckets[bucket_of(ns)], 1);
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    if (other->count == 0) {
        return;
    }
    if (histogram->count == 0 || other->min_ns < histogram->min_ns) {
        histogram->min_ns = other->min_ns;
    }
    if (histogram->count == 0 || other->max_ns > histogram->max_ns) {
        histogram->max_ns = other->max_ns;
    }
    histogram->count += other->count;
    histogram->sum_ns += other->sum_ns;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        histogram->buckets[i] += other->buckets[i];
    }
}

uint64_t histogram_at(const struct histogram *histogram, uint64_t rank, uint64_t *up_to)
{
    uint64_t seen = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS && rank < histogram->count; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && seen > 0) {
            *up_to = seen;
            return value_of(histogram, i);
        }
    }
    *up_to = histogram->count;
    return histogram->count == 0 ? 0 : histogram->max_ns;
}

uint64_t histogram_percentile(const struct histogram *histogram, uint32_t per_100000)
{
    /* ceil(share * count), without overflow for any count */
    uint64_t rank = histogram->count / 100000 * per_100000 +
                    (histogram->count % 100000 * per_100000 + 99999) / 100000;
    uint64_t up_to;

    return histogram_at(histogram, rank, &up_to);
}

uint64_t histogram_mean(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->sum_ns / histogram->count;
}

uint64_t histogram_deviation(const struct histogram *histogram)
{
    __extension__ typedef unsigned __int128 wide; /* squares need 72 bits */
    uint64_t mean = histogram_mean(histogram), root = 0;
    wide sum = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t ns = value_of(histogram, i), off = ns > mean ? ns - mean : mean - ns;

        sum += (wide)off * off * histogram->buckets[i];
    }
    /* The greatest root whose square, so many times, is not above the sum. */
    for (uint64_t bit = UINT64_C(1) << 40; bit > 0 && sum > 0; bit >>= 1) {
        wide square = (wide)(root | bit) * (root | bit);

        root |= square * histogram->count <= sum ? bit : 0;
    }
    return root;
}

uint64_t histogram_sum(const struct histogram *histogram)
{
    return __atomic_load_n(&histogram->sum_ns, __ATOMIC_RELAXED);
}

uint64_t histogram_between(const struct histogram *histogram, uint64_t from_ns,
                           uint64_t to_ns)
{
    uint64_t count = 0;

    for (size_t i = bucket_of(from_ns); i <= bucket_of(to_ns); i++) {
        uint64_t ns = middle_of(i);

        if (ns >= from_ns && ns < to_ns) {
            count += __atomic_load_n(&histogram->buckets[i], __ATOMIC_RELAXED);
        }
    }
    return count;
}
