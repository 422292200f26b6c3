/* report: what a load measured, as tables for people, a JSON object or a line of CSV. */
#ifndef ECHOLAB_REPORT_H
#define ECHOLAB_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load_worker.h"

/* All threads together. */
struct report {
    const struct load_plan *plan;
    const struct load_result *result;
    const struct histogram *reply;   /* of all addresses */
    const struct histogram *resolve; /* of the look-up; empty for a numeric address */
    uint64_t measured_ns;            /* how long it was measured */
    uint64_t cpu_ns;                 /* what this process used, all in all */
    unsigned width;                  /* columns that the reader has */
};

/* Print to `fd`, in the form of enum load_report. Returns false when that fails. */
bool report_print(const struct report *report, enum load_report form, int fd);

#endif
