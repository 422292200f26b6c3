/* load_worker: one thread's share of a load: its connections, its schedule, its counts.
 *
 * Closed loop: a message is sent when an echo of the same connection came back. Open loop
 * (a rate): messages are due on a schedule; each goes to the connection that is free for
 * the longest, or waits until one is free, and its latency counts from the time at which it
 * was due. So a server that stalls is charged with all that should have happened meanwhile
 * ("coordinated omission", G. Tene, How NOT to Measure Latency).
 *
 * Every byte that comes back is compared (payload.h). A connection that fails loses the
 * messages under way on it; they are counted by what happened, and it is opened again after
 * a pause. Nothing but what a fault was is logged here. */
#ifndef ECHOLAB_LOAD_WORKER_H
#define ECHOLAB_LOAD_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client_config.h"
#include "histogram.h"
#include "net.h"
#include "probe.h"

/* The threads open their connections first, for one timeout at most; the last one to have
 * tried all of its own starts the schedule for all. */
struct load_start {
    _Atomic unsigned ready; /* threads that tried */
    _Atomic uint64_t at_ns; /* the start; 0: not yet */
};

/* What all threads share: made before they start, and not changed until they ended. */
struct load_plan {
    const struct client_config *config;
    const struct net_address *addresses;
    size_t address_count;
    const struct net_address *sources; /* to connect from, in turn; none: the kernel's */
    size_t source_count; /* each address has one of its family, if there are any */
    uint64_t seed;       /* of the payload */
    struct load_start *start;
    bool is_live; /* somebody reads load_live's histogram */
    int stop_fd;  /* readable, or hung up: stop at once */
};

/* When the warm-up ends, and when nothing is sent any more (UINT64_MAX: no limit), if the
 * schedule starts at `start_ns`. */
uint64_t load_measure_ns(const struct load_config *config, uint64_t start_ns);
uint64_t load_end_ns(const struct load_config *config, uint64_t start_ns);

/* Of one address. */
struct load_address_result {
    uint64_t connects; /* that succeeded */
    uint64_t echoed;   /* messages, measured or not */
    uint64_t errors;
    struct histogram reply; /* sent (or due) to the last byte of the echo */
};

/* All zero to begin with. Messages of the warm-up are not in the histograms. */
struct load_result {
    uint64_t sent, echoed, measured; /* messages; measured: echoed after the warm-up */
    uint64_t in_time;    /* of those measured: echoed before the end; for the rate */
    uint64_t last_ns;    /* the last echo or error, or when it was told to stop */
    uint64_t unfinished; /* under way when a signal came */
    uint64_t skipped;    /* due, but not sent before the end */
    uint64_t lost;       /* messages that were sent and did not come back */
    uint64_t errors[PROBE_OUTCOMES]; /* lost messages and connections, by kind */
    uint64_t away_ns;                /* the longest time from an error to the next echo */
    int fatal;                       /* errno that ended it; 0: none */
    struct histogram connect;
    struct histogram first_byte; /* sent to the first byte of the echo */
    struct histogram raw;        /* of an open loop: really sent to the last byte */
    struct load_address_result addresses[]; /* address_count of the plan */
};

/* Who may touch a live histogram: it passes to and fro between two threads, without a lock.
 */
enum load_live_state {
    LOAD_LIVE_WANTED, /* the worker's: to be brought up to date */
    LOAD_LIVE_THERE,  /* the reader's, until it sets LOAD_LIVE_WANTED */
    LOAD_LIVE_LAST,   /* the reader's: the worker ended */
};

/* What may be read while the thread runs. */
struct load_live {
    _Atomic uint64_t echoed;
    _Atomic uint64_t errors;
    _Atomic uint32_t open;  /* connections now */
    _Atomic int state;      /* enum load_live_state: whose the histogram is */
    struct histogram reply; /* as it was a moment ago */
};

/* Run the share of thread `number` to its end, in the calling thread. */
void load_worker_run(const struct load_plan *plan, unsigned number,
                     struct load_result *result, struct load_live *live);

#endif
