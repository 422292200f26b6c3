/* load_live: the figures of a load that can be read while its threads run.
 *
 * Each thread writes a struct of its own, and one reader reads all of them, without a lock.
 * The counters are atomic. The histogram has one owner at a time: the reader asks for it,
 * the thread fills it in, and neither touches it while the other owns it. The reader sets
 * the pace: without a reader the histogram is filled in once. */
#ifndef ECHOLAB_LOAD_LIVE_H
#define ECHOLAB_LOAD_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"
#include "load/load_result.h"

/* The owner of the histogram. */
enum load_live_state {
    LOAD_LIVE_WANTED, /* the thread's, to be filled in */
    LOAD_LIVE_THERE,  /* the reader's, until it asks for it again */
    LOAD_LIVE_LAST,   /* the reader's for good: the thread ended */
};

/* All zero to begin with. */
struct load_live {
    _Atomic uint64_t echoed;
    _Atomic uint64_t errors;
    _Atomic uint32_t open; /* connections now */
    _Atomic int state;     /* enum load_live_state */
    struct histogram reply;
};

/* For the thread: update the counters. Cheap enough for each round of its loop. */
void load_live_count(struct load_live *live, const struct load_result *result,
                     uint32_t open);

/* For the thread: fill the histogram in if the reader asked for it. */
void load_live_fill(struct load_live *live, const struct load_result *result,
                    size_t address_count);

/* For the thread, at its end: update the counters, and the histogram for the last time. */
void load_live_end(struct load_live *live, const struct load_result *result,
                   size_t address_count);

/* For the reader: if all of `count` threads filled their histograms in, set `reply` to all
 * of them together and ask for them again. */
void load_live_collect(struct load_live *live, unsigned count, struct histogram *reply);

#endif
