#include "load/load_figures.h"

#include <inttypes.h>

#include "base/clock.h"

uint64_t load_figures_per_second(const struct load_figures *figures, uint64_t count)
{
    uint64_t us = figures->measured_ns / CLOCK_US;

    /* In milliseconds where the product would be more than 64 bits. */
    if (count >= UINT64_MAX / 1000000) {
        return us < 1000 ? 0 : count / (us / 1000) * 1000;
    }
    return us == 0 ? 0 : count * 1000000 / us;
}

uint64_t load_figures_connects(const struct load_figures *figures)
{
    return load_result_connects(figures->result, figures->plan->addresses->count);
}

uint64_t load_figures_cpu(const struct load_figures *figures)
{
    return figures->result->echoed == 0 ? 0 : figures->cpu_ns / figures->result->echoed;
}

void load_figures_put_rate(struct output *output, const struct load_config *load)
{
    uint64_t times = load->rate * CLOCK_S; /* far below 2^64, as rate_ns is */
    uint64_t rest = times % load->rate_ns;

    output_put(output, "%" PRIu64, times / load->rate_ns);
    for (int digit = 0; rest != 0 && digit < 9; digit++) {
        output_put(output, digit == 0 ? ".%u" : "%u",
                   (unsigned)(rest * 10 / load->rate_ns));
        rest = rest * 10 % load->rate_ns;
    }
}
