/* load_result: the measurements of a load: counts, errors by kind, distributions, outages.
 *
 * Each thread has a result of its own and changes it without a lock. load makes and
 * releases the results, and merges them once the threads ended. */
#ifndef ECHOLAB_LOAD_RESULT_H
#define ECHOLAB_LOAD_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"
#include "client/client_config.h"
#include "io/probe.h"
#include "load/load_stream.h"

/* The results of one address. */
struct load_address_result {
    uint64_t connects; /* that succeeded */
    uint64_t echoed;   /* messages, measured or not */
    uint64_t errors;
    struct histogram reply; /* from sent (or due) to the last byte of the echo */
};

/* At first all zero. */
struct load_result {
    uint64_t measure_ns; /* the end of the warm-up: messages echoed before are not in the */
                         /* histograms */
    uint64_t end_ns;     /* nothing is sent from here on; UINT64_MAX: no limit */

    uint64_t sent, echoed, measured; /* messages; measured: echoed after the warm-up */
    uint64_t in_time;    /* of the measured ones: echoed before the end; for the rate */
    uint64_t last_ns;    /* the last echo or error, or when it was stopped */
    uint64_t unfinished; /* under way when a signal came */
    uint64_t skipped;    /* due, but not sent before the end */
    uint64_t lost;       /* messages that were sent and did not come back */
    uint64_t moved; /* connections that their server ended between two messages, or that
                     * one refused which had some before, and another one took */
    uint64_t outage_since_ns; /* the first error after the last echo; 0: no outage now */
    uint64_t outage_ns;       /* the longest time from an error to the next echo */
    int fatal;                /* errno that ended it; 0: none */
    uint64_t errors[PROBE_OUTCOMES];      /* lost messages and connections, by kind */
    uint64_t failures[PROBE_OUTCOMES];    /* what the exit code follows from: exit_code.h */
    uint64_t unconnected[PROBE_OUTCOMES]; /* of these: connections that failed for good */
    uint64_t wants; /* errors since this side lacks something: probe_is_own_want() */
    struct histogram connect;
    struct histogram first_byte; /* sent to the first byte of the echo */
    struct histogram raw;        /* open loop: from really sent to the last byte */
    struct load_address_result addresses[]; /* as many as the plan has */
};

/* Make a result for so many addresses, to be released by free(). NULL: no memory. */
struct load_result *load_result_new(size_t address_count);

/* The schedule starts at `start_ns`: set measure_ns and end_ns. */
void load_result_start(struct load_result *result, const struct load_config *config,
                       uint64_t start_ns);

/* Record the whole echo of a message from address number `address`. Returns whether it is
 * measured. */
bool load_result_echoed(struct load_result *result, size_t address,
                        const struct load_flight *flight, uint64_t now_ns);

/* Record a connection to address number `address` that failed or could not be made. It lost
 * `lost` messages; each is an error, and the connection is at least one. The lost messages
 * are failures, too, and so is a reply that differs. */
void load_result_failed(struct load_result *result, size_t address,
                        enum probe_outcome outcome, uint64_t lost, uint64_t now_ns);

/* End the present outage, if there is one: at an echo, or at the end of the load. */
void load_result_end_outage(struct load_result *result, uint64_t now_ns);

/* The number of connections that could be made. */
uint64_t load_result_connects(const struct load_result *result, size_t address_count);

/* The number of errors of all kinds. */
uint64_t load_result_errors(const struct load_result *result);

/* Add `one`, which has as many addresses, to `all`. The times of the schedule stay. */
void load_result_merge(struct load_result *all, const struct load_result *one,
                       size_t address_count);

#endif
