/* load_progress: the line of progress that a load draws on a terminal, again and again:
 * elapsed, a bar where the end is known, messages per second, latencies, errors. */
#ifndef ECHOLAB_LOAD_PROGRESS_H
#define ECHOLAB_LOAD_PROGRESS_H

#include <stdint.h>

#include "base/histogram.h"
#include "client/client_config.h"
#include "load/load_live.h"

struct load_progress {
    const struct load_config *config;
    uint64_t begin_ns;         /* of opening connections */
    uint64_t drawn_ns, echoed; /* of the line before */
    struct histogram reply;    /* of all threads, as shown */
};

/* Begin, at `begin_ns` of the clock. */
void load_progress_start(struct load_progress *progress, const struct load_config *config,
                         uint64_t begin_ns);

/* Draw it on stdout, over the one before, no wider than the terminal. `live` are the
 * figures of the `count` threads, of which this is the reader; `start_ns` is the schedule's
 * start, 0: not yet. */
void load_progress_draw(struct load_progress *progress, struct load_live *live,
                        unsigned count, uint64_t start_ns, uint64_t now_ns);

/* Leave the terminal as it was before. */
void load_progress_erase(void);

/* The width of the terminal that stdout is; 80 if it is none or does not say
 * (tty_ioctl(4), TIOCGWINSZ). */
unsigned load_progress_columns(void);

#endif
