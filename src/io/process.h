/* process: what the standard metrics of a process tell (process_cpu_seconds_total and so
 * on). What has to be read is opened before the sandbox. */
#ifndef ECHOLAB_PROCESS_H
#define ECHOLAB_PROCESS_H

#include <stdint.h>

#include "base/metrics.h"

/* The numbers of the rows below, from the index that is given to them. */
enum process_number {
    PROCESS_CPU_NS,
    PROCESS_OPEN_FDS,
    PROCESS_MAX_FDS,
    PROCESS_START_NS,
    PROCESS_RESIDENT_BYTES,
    PROCESS_NUMBERS,
};

/* Rows for a program's table, whose numbers begin at index `base`. */
/* clang-format off */
#define PROCESS_ROWS(base)                                                                 \
    {"process_cpu_seconds_total", "CPU time", NULL, METRICS_COUNTER, 1,                    \
     (base) + PROCESS_CPU_NS},                                                             \
    {"process_open_fds", "Open descriptors", NULL, METRICS_GAUGE, 0,                       \
     (base) + PROCESS_OPEN_FDS},                                                           \
    {"process_max_fds", "Their limit", NULL, METRICS_GAUGE, 0,                             \
     (base) + PROCESS_MAX_FDS},                                                            \
    {"process_start_time_seconds", "Unix time", NULL, METRICS_GAUGE, 1,                    \
     (base) + PROCESS_START_NS},                                                           \
    {"process_resident_memory_bytes", "Resident", NULL, METRICS_GAUGE, 0,                  \
     (base) + PROCESS_RESIDENT_BYTES}
/* clang-format on */

struct process {
    int statm; /* /proc/self/statm; -1: there is none, and the resident memory is 0 */
    uint64_t start_ns;
};

/* Descriptors that it has open at most. */
#define PROCESS_FDS 1

/* Take the time of the start, and open what will be read. */
void process_open(struct process *process);
void process_close(struct process *process);

/* Fill PROCESS_NUMBERS numbers. `open_fds` is what the program knows to be open without
 * this module's own: to look would need a file to be opened. */
void process_read(const struct process *process, uint64_t open_fds, uint64_t *numbers);

#endif
