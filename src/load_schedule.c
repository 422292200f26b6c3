#include "load_schedule.h"

#include "clock.h"

uint64_t load_schedule_due(const struct load_schedule *schedule, uint64_t n)
{
    uint64_t index = n * schedule->threads + schedule->thread, rate = schedule->rate;

    return schedule->start_ns + index / rate * CLOCK_S + index % rate * CLOCK_S / rate;
}

uint64_t load_schedule_count(const struct load_schedule *schedule, uint64_t now_ns)
{
    uint64_t until = now_ns < schedule->end_ns ? now_ns : schedule->end_ns;
    uint64_t passed = until > schedule->start_ns ? until - schedule->start_ns : 0;
    uint64_t rate = schedule->rate, threads = schedule->threads;
    /* Of all threads: those with an index below; then every threads-th is ours. */
    uint64_t all =
        passed / CLOCK_S * rate + (passed % CLOCK_S * rate + CLOCK_S - 1) / CLOCK_S;

    return (all + threads - 1 - schedule->thread) / threads;
}

uint64_t load_schedule_interval(const struct load_schedule *schedule)
{
    return CLOCK_S * schedule->threads / schedule->rate;
}
