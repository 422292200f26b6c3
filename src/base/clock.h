/* clock: monotonic time in nanoseconds.
 *
 * The clock never goes back and ignores changes of the date (CLOCK_MONOTONIC,
 * clock_gettime(2)). Deadlines and measurements use no other time. */
#ifndef ECHOLAB_CLOCK_H
#define ECHOLAB_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_US UINT64_C(1000)
#define CLOCK_MS UINT64_C(1000000)
#define CLOCK_S  UINT64_C(1000000000)

/* Nanoseconds since an arbitrary point in the past. Cannot fail on Linux. */
static inline uint64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec;
}

#endif
