#include "load/load_report_hgrm.h"

#include <inttypes.h>

#include "base/clock.h"

/* Steps for each half of the distance to 100 %. */
#define STEPS 5

/* A share of 1 with 12 digits behind the point. */
#define ONE UINT64_C(1000000000000)

/* A duration in ms, as printf's %12.6f would have it. */
#define MS              " %5" PRIu64 ".%06u"
#define MS_PARTS(value) (value) / CLOCK_MS, (unsigned)((value) % CLOCK_MS)

/* The line for the share 1 - left / (10 << half) of all. Returns whether longer replies are
 * left. */
static bool put_step(struct output *output, const struct histogram *h, unsigned half,
                     unsigned left)
{
    uint64_t rank = h->count - h->count * left / (UINT64_C(2) * STEPS << half);
    uint64_t share = ONE - (ONE / (2 * STEPS) * left >> half);
    uint64_t inverse = ((UINT64_C(100) * 2 * STEPS << half) + left / 2) / left;
    uint64_t seen, ns = histogram_at(h, rank, &seen);

    output_put(output, MS " %" PRIu64 ".%012" PRIu64 " %10" PRIu64 " %11" PRIu64 ".%02u\n",
               MS_PARTS(ns), share / ONE, share % ONE, seen, inverse / 100,
               (unsigned)(inverse % 100));
    return seen < h->count;
}

static void put_steps(struct output *output, const struct histogram *h)
{
    unsigned half = 0, left = 2 * STEPS;

    while (put_step(output, h, half, left)) {
        if (--left == STEPS) {
            half++;
            left = 2 * STEPS;
        }
    }
    output_put(output, MS " 1.000000000000 %10" PRIu64 "\n", MS_PARTS(h->max_ns), h->count);
}

void load_report_hgrm_put(struct output *output, const struct load_figures *figures)
{
    const struct histogram *h = figures->reply;

    output_put(output, "%13s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
               "1/(1-Percentile)");
    if (h->count > 0) {
        put_steps(output, h);
    }
    output_put(output, "#[Mean    =" MS ", StdDeviation   =" MS "]\n",
               MS_PARTS(histogram_mean(h)), MS_PARTS(histogram_deviation(h)));
    output_put(output, "#[Max     =" MS ", Total count    = %12" PRIu64 "]\n",
               MS_PARTS(h->max_ns), h->count);
    output_put(output, "#[Buckets = %12u, SubBuckets     = %12u]\n", HISTOGRAM_RANGES,
               HISTOGRAM_SUB_BUCKETS);
}
