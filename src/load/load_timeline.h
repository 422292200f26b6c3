/* load_timeline: what a load did in each interval of its time.
 *
 * Memory is fixed: a row for each interval, and so few that a long load has wider ones:
 * where its end is known, all of them by the same factor; where it is not, half of the rows
 * have the width that was asked for, half of the rest four times that, and so on.
 * Percentiles need a distribution, but only while the interval runs. Each thread has one of
 * its own, which is a part of no lock; at the interval's end it hands it over, and the last
 * thread to do so makes the row:
 *
 *   threads   0: ....... 7 | 8 ...      each is in one interval
 *             1: ....... 7 |
 *   open                 7   8          merged so far: up to LOAD_TIMELINE_OPEN intervals
 *   rows      0 1 2 ... 6               final
 *
 * A thread that is so late that there is no room for what others have is not waited for:
 * its counts still get into the right row, but its latencies not into that row's
 * percentiles.
 *
 * What came before the start belongs to the first interval, what came after the end to the
 * last. load makes the timeline; a part belongs to its thread. */
#ifndef ECHOLAB_LOAD_TIMELINE_H
#define ECHOLAB_LOAD_TIMELINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"
#include "client/client_config.h"
#include "load/load_result.h"

/* The most intervals: of a second, those of a day. */
#define LOAD_TIMELINE_MAX 86400

#define LOAD_TIMELINE_OPEN 8

struct load_interval {
    uint64_t at_ns;     /* its begin, since the start of the load */
    uint64_t length_ns; /* as far as the load went */
    uint64_t sent, echoed, lost;
    uint64_t errors[PROBE_OUTCOMES]; /* as in load_result.h */
    uint64_t connections;            /* open at its end */
    uint64_t p50_ns, p99_ns,
        max_ns; /* of the replies, a warm-up's, too; 0: there is none */
};

struct load_timeline {
    atomic_flag lock;    /* of all that follows, while threads run */
    uint64_t asked_ns;   /* the configuration's width */
    uint64_t width_ns;   /* the first intervals' */
    uint32_t same_width; /* how many have that */
    uint32_t count;      /* rows with anything in them */
    uint32_t first_open; /* the rows before are final */
    unsigned threads;
    uint32_t at[LOAD_THREADS_MAX]; /* the interval that each thread is in */
    struct histogram open[LOAD_TIMELINE_OPEN];
    struct load_interval rows[];
};

/* A thread's part. All zero but `timeline` and `thread` to begin with. The thread records
 * each reply in `reply`. */
struct load_timeline_part {
    struct load_timeline *timeline;
    unsigned thread;        /* its number */
    uint32_t index;         /* of the interval that it is in */
    uint32_t open;          /* its connections, set by the thread */
    uint64_t start_ns;      /* of the load, set by the thread; 0: not yet */
    struct histogram reply; /* in this interval */
    uint64_t sent, echoed, lost, errors[PROBE_OUTCOMES]; /* before this interval */
};

/* Make the timeline that the configuration asks for, to be released by free(). NULL: no
 * memory. */
struct load_timeline *load_timeline_new(const struct load_config *config);

/* The begin of an interval, in ns since the start; UINT64_MAX: there is no such interval.
 */
uint64_t load_timeline_begin_of(const struct load_timeline *timeline, uint32_t index);

/* The width of the last interval that was begun, the widest, in ns. */
uint64_t load_timeline_width(const struct load_timeline *timeline);

/* For the thread, once the load has started: hand over what `now_ns` shows to be past.
 * Returns when to call it again. */
uint64_t load_timeline_go_on(struct load_timeline_part *part,
                             const struct load_result *result, uint64_t now_ns);

/* For the thread, at its end: hand over the rest. */
void load_timeline_end(struct load_timeline_part *part, const struct load_result *result,
                       uint64_t now_ns);

/* When all threads ended: make the rows final. */
void load_timeline_finish(struct load_timeline *timeline);

#endif
