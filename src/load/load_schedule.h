/* load_schedule: the times at which the messages of an open loop are due.
 *
 * Message k of the whole load is due k * rate_ns / rate after the start. The threads take
 * turns: thread t of T has the messages t, t + T, t + 2T, ... Each time is computed from
 * the message's number, so errors do not add up, however long the load runs. */
#ifndef ECHOLAB_LOAD_SCHEDULE_H
#define ECHOLAB_LOAD_SCHEDULE_H

#include <stdint.h>

struct load_schedule {
    uint64_t rate;    /* messages of all threads in each rate_ns, at least 1 */
    uint64_t rate_ns; /* at least 1; rate * rate_ns is below 2^63 */
    uint64_t threads; /* at least 1 */
    uint64_t thread;  /* number of this thread */
    uint64_t start_ns;
    uint64_t end_ns; /* nothing is due from here on; UINT64_MAX: no end */
};

/* The time at which the n-th message of this thread is due, in ns of the clock. */
uint64_t load_schedule_due(const struct load_schedule *schedule, uint64_t n);

/* The number of messages of this thread that were due before `now_ns` (and before the
 * end). */
uint64_t load_schedule_count(const struct load_schedule *schedule, uint64_t now_ns);

/* The time between two messages of this thread, in ns; 0 when it is less than 1. */
uint64_t load_schedule_interval(const struct load_schedule *schedule);

#endif
