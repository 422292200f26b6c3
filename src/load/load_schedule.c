#include "load/load_schedule.h"

uint64_t load_schedule_due(const struct load_schedule *schedule, uint64_t n)
{
    uint64_t index = n * schedule->threads + schedule->thread;
    uint64_t rate = schedule->rate, rate_ns = schedule->rate_ns;

    return schedule->start_ns + index / rate * rate_ns + index % rate * rate_ns / rate;
}

uint64_t load_schedule_count(const struct load_schedule *schedule, uint64_t now_ns)
{
    uint64_t until = now_ns < schedule->end_ns ? now_ns : schedule->end_ns;
    uint64_t passed = until > schedule->start_ns ? until - schedule->start_ns : 0;
    uint64_t rate = schedule->rate, rate_ns = schedule->rate_ns;
    uint64_t threads = schedule->threads;
    /* The messages of all threads that were due; every `threads`-th is ours. */
    uint64_t all =
        passed / rate_ns * rate + (passed % rate_ns * rate + rate_ns - 1) / rate_ns;

    return (all + threads - 1 - schedule->thread) / threads;
}

uint64_t load_schedule_interval(const struct load_schedule *schedule)
{
    return schedule->rate_ns * schedule->threads / schedule->rate;
}
