#include "load/load_judge.h"

#include <inttypes.h>
#include <string.h>

#include "base/format.h"
#include "base/units.h"

const struct load_limit_form load_limit_forms[LOAD_LIMITS] = {
    [LOAD_MAX_LOST] = {"max-lost", false},    [LOAD_MAX_ERRORS] = {"max-errors", false},
    [LOAD_MAX_MOVED] = {"max-moved", false},  [LOAD_MAX_P99] = {"max-p99", true},
    [LOAD_MAX_OUTAGE] = {"max-outage", true},
};

/* ---- limits -------------------------------------------------------------------------- */

/* The time that 99 % of the messages that were due did not exceed. */
static uint64_t p99_of(const struct histogram *reply, uint64_t skipped)
{
    if (reply->count == 0 || skipped > reply->count) {
        return LOAD_NOT_REACHED;
    }
    /* The same rank among the replies alone. */
    uint64_t share = (99000 * (reply->count + skipped) + reply->count - 1) / reply->count;
    if (share > 100000) {
        return LOAD_NOT_REACHED;
    }
    uint64_t ns = histogram_percentile(reply, (uint32_t)share);
    /* The last bucket has all that is longer, too. */
    return ns > HISTOGRAM_MAX_NS / 256 * 255 ? reply->max_ns : ns;
}

/* Returns whether a limit is broken. */
static bool check_limits(struct load_judgement *judgement, const struct load_config *config,
                         const struct load_result *result, const struct histogram *reply)
{
    bool is_any = false;

    judgement->has_run = true;
    judgement->seen[LOAD_MAX_LOST] = result->lost;
    judgement->seen[LOAD_MAX_ERRORS] = load_result_errors(result);
    judgement->seen[LOAD_MAX_MOVED] = result->moved;
    judgement->seen[LOAD_MAX_P99] = p99_of(reply, result->skipped);
    judgement->seen[LOAD_MAX_OUTAGE] = result->outage_ns;
    for (int i = 0; i < LOAD_LIMITS; i++) {
        uint64_t limit = config->limits[i];

        judgement->is_broken[i] = limit != CONFIG_NONE && judgement->seen[i] > limit;
        is_any = is_any || judgement->is_broken[i];
    }
    return is_any;
}

/* The failures of a kind that no limit allows, now that all are kept. */
static uint64_t not_allowed(const struct load_config *config,
                            const struct load_result *result, enum probe_outcome kind)
{
    if (kind == PROBE_DIFFERS || result->echoed == 0) {
        return result->failures[kind];
    }
    if (config->limits[LOAD_MAX_ERRORS] != CONFIG_NONE) {
        return 0;
    }
    return config->limits[LOAD_MAX_LOST] != CONFIG_NONE ? result->unconnected[kind]
                                                        : result->failures[kind];
}

/* ---- what was expected --------------------------------------------------------------- */

/* What was seen of each kind. */
static void count_seen(const struct load_result *result, uint64_t connects, bool wants_echo,
                       uint64_t seen[PROBE_OUTCOMES])
{
    memcpy(seen, connects > 0 || wants_echo ? result->failures : result->errors,
           sizeof result->errors);
    seen[PROBE_ECHOED] = result->echoed;
}

static bool is_as_expected(enum probe_outcome wanted, const struct load_result *result,
                           uint64_t connects)
{
    uint64_t seen[PROBE_OUTCOMES];
    bool means_none = wanted == PROBE_NOT_RESOLVED || wanted == PROBE_REFUSED ||
                      wanted == PROBE_UNREACHABLE;

    if (wanted == CLIENT_EXPECT_ANY) {
        return true;
    }
    count_seen(result, connects, wanted == PROBE_ECHOED, seen);
    return client_saw_only(wanted, seen) &&
           (wanted == PROBE_ECHOED || result->wants == 0) && !(means_none && connects > 0);
}

char *load_judge_seen(char out[LOAD_JUDGE_SEEN], const struct client_config *config,
                      const struct load_result *result, uint64_t connects)
{
    uint64_t seen[PROBE_OUTCOMES];
    char text[CLIENT_SEEN_TEXT];

    count_seen(result, connects, config->expect == PROBE_ECHOED, seen);
    client_seen_text(text, client_expect_names[config->expect], seen, result->wants);
    format(out, LOAD_JUDGE_SEEN, "%s; %" PRIu64 " connects", text, connects);
    return out;
}

/* ---- all together -------------------------------------------------------------------- */

void load_judge(struct load_judgement *judgement, const struct client_config *config,
                const struct load_result *result, uint64_t connects,
                const struct histogram *reply)
{
    enum probe_outcome wanted = (enum probe_outcome)config->expect;
    uint64_t counts[PROBE_OUTCOMES];

    judgement->is_as_expected = is_as_expected(wanted, result, connects);
    if (reply != NULL && check_limits(judgement, &config->load, result, reply)) {
        judgement->exit_code = CLIENT_LIMIT;
    } else if (wanted != CLIENT_EXPECT_ANY) {
        judgement->exit_code =
            judgement->is_as_expected ? CLIENT_ALL_ECHOED : CLIENT_UNEXPECTED;
    } else {
        for (int kind = 0; kind < PROBE_OUTCOMES; kind++) {
            counts[kind] = not_allowed(&config->load, result, (enum probe_outcome)kind);
        }
        counts[PROBE_ECHOED] = result->echoed;
        judgement->exit_code = client_exit_code(counts);
    }
}

const char *load_limit_text(char out[LOAD_LIMIT_TEXT], enum load_limit limit,
                            uint64_t value)
{
    if (value == LOAD_NOT_REACHED) {
        return "not reached";
    }
    if (load_limit_forms[limit].is_time) {
        return units_format_duration(out, value);
    }
    format(out, LOAD_LIMIT_TEXT, "%" PRIu64, value);
    return out;
}
