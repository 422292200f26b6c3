/* load_thread: one thread of a load: its loop, the start that all have in common, its end.
 *
 * Closed loop: a message is sent when an echo of the same connection came back. Open loop
 * (a rate): messages are sent when they are due (load_open_loop.h).
 *
 * A thread owns its poll set and its connections (load_connection.h), and writes its result
 * and its live figures, which the caller owns. */
#ifndef ECHOLAB_LOAD_THREAD_H
#define ECHOLAB_LOAD_THREAD_H

#include <stdint.h>

#include "load/load_live.h"
#include "load/load_plan.h"
#include "load/load_result.h"

/* The threads open their connections first, for one timeout at most; the last one to have
 * tried all of its own starts the schedule for all. All zero to begin with. */
struct load_start {
    _Atomic unsigned ready; /* threads that tried */
    _Atomic uint64_t at_ns; /* the start; 0: not yet */
};

/* Run the share of thread `number` to its end, in the calling thread. */
void load_thread_run(const struct load_plan *plan, struct load_start *start,
                     unsigned number, struct load_result *result, struct load_live *live);

#endif
