/* load_judge: the exit code of a load, from what was measured, expected and allowed.
 *
 * Without limits and expectation the failures decide (client/exit_code.h). A limit
 * (--max-...) that is broken decides before them. A limit that is kept takes the place of
 * the rule for its kind: what it allows is no failure any more.
 *
 *   max_lost    messages that were lost
 *   max_errors  errors of all kinds, lost messages and connections that failed among them
 *   max_moved   connections that moved (load_result.h): they are no errors
 *   max_p99     the 99th percentile of the replies; in an open loop since they were due.
 *               Messages that were due and not sent count as slower than all others, and
 *               without a reply there is no percentile: that breaks the limit
 *   max_outage  the longest time from an error to the next echo, or to the end
 *
 * No limit allows a reply that differs, or that nothing was echoed at all.
 *
 * With an expectation (--expect) what was seen decides after the limits, whatever these
 * allow. Where a connection could be made, the failures must be of its kind; where none
 * could, each error must, at each address. */
#ifndef ECHOLAB_LOAD_JUDGE_H
#define ECHOLAB_LOAD_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/histogram.h"
#include "client/client_config.h"
#include "client/exit_code.h"
#include "load/load_result.h"

/* A limit, as reports show it. */
struct load_limit_form {
    const char *name; /* max-p99 */
    bool is_time;     /* in ns */
};
extern const struct load_limit_form load_limit_forms[LOAD_LIMITS];

struct load_judgement {
    enum client_exit exit_code;
    bool is_as_expected;        /* true where nothing is expected */
    bool has_run;               /* `seen` and `is_broken` are valid */
    uint64_t seen[LOAD_LIMITS]; /* what is held against each limit; LOAD_NOT_REACHED: more
                                 * than any */
    bool is_broken[LOAD_LIMITS];
};

#define LOAD_NOT_REACHED UINT64_MAX

/* Judge a load that ran to its end, or to a signal. `connects` are the connections that
 * could be made, `reply` the replies of all addresses; NULL: the load did not begin, since
 * the name has no address, and there is nothing to hold against limits. */
void load_judge(struct load_judgement *judgement, const struct client_config *config,
                const struct load_result *result, uint64_t connects,
                const struct histogram *reply);

/* What was seen, for people: "expected refused, seen: 12 refused; 0 connects". Returns
 * `out`. */
#define LOAD_JUDGE_SEEN (CLIENT_SEEN_TEXT + 32)
char *load_judge_seen(char out[LOAD_JUDGE_SEEN], const struct client_config *config,
                      const struct load_result *result, uint64_t connects);

/* One value of a limit: "3", "1.5s", "not reached". Returns `out`. */
#define LOAD_LIMIT_TEXT 48
const char *load_limit_text(char out[LOAD_LIMIT_TEXT], enum load_limit limit,
                            uint64_t value);

#endif
