/* load_figures: the figures of a load that was run, of all threads together, from which
 * each form of its report is made (load_report.h). */
#ifndef ECHOLAB_LOAD_FIGURES_H
#define ECHOLAB_LOAD_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/histogram.h"
#include "io/output.h"
#include "load/load_judge.h"
#include "load/load_plan.h"
#include "load/load_result.h"

struct load_figures {
    const struct load_plan *plan;
    const struct load_result *result;
    const struct load_judgement *judgement;
    struct timespec begin;                /* when the load began, by the calendar */
    const struct histogram *reply;        /* of all addresses */
    const struct histogram *resolve;      /* of the look-up; empty for a numeric address */
    uint64_t measured_ns;                 /* how long it was measured */
    uint64_t cpu_ns;                      /* what this process used, all in all */
    const struct load_timeline *timeline; /* NULL: none */
    unsigned exit_code;                   /* enum client_exit */
    unsigned width;                       /* columns that the reader has */
};

/* So much in the time that was measured, in a second. */
uint64_t load_figures_per_second(const struct load_figures *figures, uint64_t count);

/* The number of connections that could be made. */
uint64_t load_figures_connects(const struct load_figures *figures);

/* This client's CPU time for an echoed message, in ns; 0 without any. */
uint64_t load_figures_cpu(const struct load_figures *figures);

/* Print the rate that was asked for, in messages per second; where they are no whole
 * number, with up to nine digits behind the point. */
void load_figures_put_rate(struct output *output, const struct load_config *load);

#endif
