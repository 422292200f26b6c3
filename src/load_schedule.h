/* load_schedule: when the messages of an open loop are due.
 *
 * Message k of the whole load is due k / rate after the start; the threads take turns, so
 * that thread t of T has the messages t, t + T, t + 2T, ... Everything follows from the
 * numbers: nothing adds up errors, however long the load runs. */
#ifndef ECHOLAB_LOAD_SCHEDULE_H
#define ECHOLAB_LOAD_SCHEDULE_H

#include <stdint.h>

struct load_schedule {
    uint64_t rate;    /* messages per second of all threads, at least 1 */
    uint64_t threads; /* at least 1 */
    uint64_t thread;  /* number of this one */
    uint64_t start_ns;
    uint64_t end_ns; /* nothing is due from here on; UINT64_MAX: no end */
};

/* When the n-th message of this thread is due, in ns of the clock. */
uint64_t load_schedule_due(const struct load_schedule *schedule, uint64_t n);

/* How many messages of this thread were due before `now_ns` (and before the end). */
uint64_t load_schedule_count(const struct load_schedule *schedule, uint64_t now_ns);

/* The time between two messages of this thread, in ns; 0 when it is less than 1. */
uint64_t load_schedule_interval(const struct load_schedule *schedule);

#endif
