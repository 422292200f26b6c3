#include "load/load_judge.h"

#include <stdlib.h>

#include "base/clock.h"
#include "tap.h"

enum { ADDRESSES = 1 };

/* What a load is judged by, of which each test changes a part: 1,000 messages were echoed
 * in 1 ms each, over 10 connections. */
static struct client_config config;
static struct load_result *result;
static struct histogram reply;
static uint64_t connects;
static struct load_judgement judgement;

static void good_load(void)
{
    free(result);
    result = load_result_new(ADDRESSES);
    config = (struct client_config){.expect = CLIENT_EXPECT_ANY};
    for (int i = 0; i < LOAD_LIMITS; i++) {
        config.load.limits[i] = CONFIG_NONE;
    }
    reply = (struct histogram){0};
    for (int i = 0; i < 1000; i++) {
        histogram_record(&reply, CLOCK_MS);
    }
    result->sent = result->echoed = 1000;
    connects = 10;
}

/* So many messages were lost. */
static void lose(enum probe_outcome kind, uint64_t count)
{
    result->lost += count;
    result->errors[kind] += count;
    result->failures[kind] += count;
}

/* A connection failed so often, and at the end it was not connected. */
static void disconnect(enum probe_outcome kind, uint64_t errors)
{
    result->errors[kind] += errors;
    result->failures[kind]++;
    result->unconnected[kind]++;
}

static int judged(void)
{
    judgement = (struct load_judgement){0};
    load_judge(&judgement, &config, result, connects, &reply);
    return (int)judgement.exit_code;
}

/* The same with one limit. */
static int judged_with(enum load_limit limit, uint64_t value)
{
    config.load.limits[limit] = value;
    return judged();
}

static bool is_only_broken(enum load_limit limit)
{
    for (int i = 0; i < LOAD_LIMITS; i++) {
        if (judgement.is_broken[i] != (i == (int)limit)) {
            return false;
        }
    }
    return true;
}

static void test_without(void)
{
    group("without limits and expectation");
    good_load();
    is_int(judged(), 0, "all echoed: exit 0");
    ok(is_only_broken(LOAD_LIMITS), "no limit is broken");
    ok(judgement.is_as_expected, "all is as expected");
    lose(PROBE_TIMED_OUT, 2);
    disconnect(PROBE_REFUSED, 1);
    is_int(judged(), 5, "the most frequent failure decides");
}

static void test_max_lost(void)
{
    group("max_lost");
    good_load();
    lose(PROBE_TIMED_OUT, 3);
    is_int(judged_with(LOAD_MAX_LOST, 2), 10, "3 lost of at most 2: exit 10");
    ok(is_only_broken(LOAD_MAX_LOST), "that limit alone is broken");
    is_int(judgement.seen[LOAD_MAX_LOST], 3, "3 were seen");
    is_int(judged_with(LOAD_MAX_LOST, 3), 0, "3 lost of at most 3: exit 0");
    disconnect(PROBE_REFUSED, 7);
    is_int(judged(), 4, "a connection that failed for good is not allowed by it: exit 4");
    good_load();
    lose(PROBE_DIFFERS, 1);
    is_int(judged_with(LOAD_MAX_LOST, 3), 6, "nor is a reply that differs: exit 6");
    good_load();
    is_int(judged_with(LOAD_MAX_LOST, 0), 0, "none lost of at most none: exit 0");
}

static void test_max_errors(void)
{
    group("max_errors");
    good_load();
    lose(PROBE_RESET, 2);
    disconnect(PROBE_REFUSED, 7);
    is_int(judged_with(LOAD_MAX_ERRORS, 8), 10, "9 errors of at most 8: exit 10");
    is_int(judgement.seen[LOAD_MAX_ERRORS], 9, "9 were seen");
    ok(is_only_broken(LOAD_MAX_ERRORS), "that limit alone is broken");
    is_int(judged_with(LOAD_MAX_ERRORS, 9), 0, "9 errors of at most 9: exit 0");
    is_int(judged_with(LOAD_MAX_LOST, 1), 10,
           "more lost than another limit allows: exit 10");
    good_load();
    result->errors[PROBE_DIFFERS] = result->failures[PROBE_DIFFERS] = 1;
    is_int(judged_with(LOAD_MAX_ERRORS, 9), 6,
           "a reply that differs is not allowed by it: exit 6");
    good_load();
    result->errors[PROBE_CLOSED_EARLY] = 4; /* all of them were connected again */
    is_int(judged(), 0, "errors that are no failures: exit 0");
    is_int(judged_with(LOAD_MAX_ERRORS, 3), 10,
           "unless they are more than a limit: exit 10");
}

static void test_nothing_echoed(void)
{
    group("nothing was echoed");
    good_load();
    result->echoed = 0;
    lose(PROBE_TIMED_OUT, 3);
    is_int(judged_with(LOAD_MAX_LOST, 100), 5, "no limit allows that: exit 5");
    is_int(judged_with(LOAD_MAX_ERRORS, 100), 5, "neither do two: exit 5");
    result->failures[PROBE_TIMED_OUT] = 0;
    is_int(judged(), 1, "without a failure: exit 1");
}

static void test_max_p99(void)
{
    group("max_p99");
    good_load();
    is_int(judged_with(LOAD_MAX_P99, CLOCK_MS), 0,
           "all took as long as is allowed: exit 0");
    is_int(judged_with(LOAD_MAX_P99, CLOCK_MS - 1), 10, "1 ns longer: exit 10");
    ok(is_only_broken(LOAD_MAX_P99), "that limit alone is broken");
    config.load.limits[LOAD_MAX_P99] = 2 * CLOCK_MS;
    for (int i = 0; i < 10; i++) {
        histogram_record(&reply, CLOCK_S);
    }
    is_int(judged(), 0, "10 of 1,010 took a second: exit 0");
    histogram_record(&reply, CLOCK_S);
    is_int(judged(), 10, "11 of 1,011 did: exit 10");
    good_load();
    config.load.limits[LOAD_MAX_P99] = 2 * CLOCK_MS;
    result->skipped = 10;
    is_int(judged(), 0, "10 were due but not sent, beside 1,000 replies: exit 0");
    result->skipped = 11;
    is_int(judged(), 10, "11 were: they are slower than all: exit 10");
    ok(judgement.seen[LOAD_MAX_P99] == LOAD_NOT_REACHED, "there is no percentile");
    result->skipped = UINT64_MAX / 1000;
    is_int(judged(), 10, "very many were: exit 10");
    good_load();
    reply = (struct histogram){0};
    is_int(judged_with(LOAD_MAX_P99, CLOCK_S), 10, "nothing was measured: exit 10");
    ok(judgement.seen[LOAD_MAX_P99] == LOAD_NOT_REACHED, "there is no percentile");
    reply = (struct histogram){0};
    histogram_record(&reply, 500 * CLOCK_S);
    is_int(judged_with(LOAD_MAX_P99, 400 * CLOCK_S), 10,
           "longer than the histogram has buckets for: exit 10");
    is_int(judgement.seen[LOAD_MAX_P99], 500 * CLOCK_S, "what was seen is the longest");
}

static void test_max_moved(void)
{
    group("max_moved");
    good_load();
    result->moved = 3;
    is_int(judged(), 0, "connections moved: exit 0");
    is_int(judged_with(LOAD_MAX_ERRORS, 0), 0, "they are no errors");
    is_int(judged_with(LOAD_MAX_MOVED, 3), 0, "as many as are allowed: exit 0");
    is_int(judged_with(LOAD_MAX_MOVED, 2), 10, "one more: exit 10");
    ok(is_only_broken(LOAD_MAX_MOVED), "that limit alone is broken");
}

static void test_max_outage(void)
{
    group("max_outage");
    good_load();
    result->outage_ns = CLOCK_S;
    is_int(judged_with(LOAD_MAX_OUTAGE, CLOCK_S), 0,
           "away for as long as is allowed: exit 0");
    is_int(judged_with(LOAD_MAX_OUTAGE, CLOCK_S - 1), 10, "1 ns longer: exit 10");
    ok(is_only_broken(LOAD_MAX_OUTAGE), "that limit alone is broken");
    lose(PROBE_RESET, 1);
    is_int(judged_with(LOAD_MAX_OUTAGE, CLOCK_S), 7, "it does not allow a loss: exit 7");
}

/* Nothing could be connected: so many errors of this kind. */
static void bad_load(enum probe_outcome expected, enum probe_outcome kind, uint64_t errors)
{
    good_load();
    result->sent = result->echoed = connects = 0;
    reply = (struct histogram){0};
    config.expect = (int)expected;
    disconnect(kind, errors);
}

static void test_expected(void)
{
    char text[LOAD_JUDGE_SEEN];

    group("expected");
    good_load();
    config.expect = PROBE_ECHOED;
    is_int(judged(), 0, "echo, and all were echoed: exit 0");
    result->errors[PROBE_REFUSED] = 3;
    result->wants = 1;
    is_int(judged(), 0, "errors that were tried again with success do not count: exit 0");
    lose(PROBE_RESET, 1);
    is_int(judged(), 9, "one was lost: exit 9");
    ok(!judgement.is_as_expected, "it is not as expected");
    good_load();
    config.expect = PROBE_REFUSED;
    is_int(judged(), 9, "refused, but all were echoed: exit 9");

    bad_load(PROBE_REFUSED, PROBE_REFUSED, 12);
    is_int(judged(), 0, "refused, and all were refused: exit 0");
    is_str(load_judge_seen(text, &config, result, connects),
           "expected refused, seen: 12 refused; 0 connects", "the text tells both");
    result->errors[PROBE_TIMED_OUT] = 1;
    is_int(judged(), 9, "one of these timed out: exit 9");
    bad_load(PROBE_REFUSED, PROBE_REFUSED, 12);
    connects = 1;
    is_int(judged(), 9, "one could be connected: exit 9");
    bad_load(PROBE_UNREACHABLE, PROBE_UNREACHABLE, 3);
    is_int(judged(), 0, "unreachable, and all were: exit 0");
    result->wants = 1;
    is_int(judged(), 9, "but one for want of a port: exit 9");
    bad_load(PROBE_ECHOED, PROBE_REFUSED, 3);
    is_int(judged(), 9, "echo, but all were refused: exit 9");

    bad_load(PROBE_RESET, PROBE_RESET, 0);
    connects = 1;
    result->unconnected[PROBE_RESET] = result->failures[PROBE_RESET] = 0;
    is_int(judged(), 9, "reset, but nothing came of the messages: exit 9");
    lose(PROBE_RESET, 2);
    result->errors[PROBE_REFUSED] = 1;
    is_int(judged(), 0, "reset, and so they were; another address had refused: exit 0");
    lose(PROBE_CLOSED_EARLY, 1);
    is_int(judged(), 9, "one was closed early: exit 9");
}

static void test_unresolved(void)
{
    group("the name has no address");
    bad_load(CLIENT_EXPECT_ANY, PROBE_NOT_RESOLVED, 1);
    config.load.limits[LOAD_MAX_ERRORS] = config.load.limits[LOAD_MAX_P99] = 0;
    judgement = (struct load_judgement){0};
    load_judge(&judgement, &config, result, 0, NULL);
    is_int((int)judgement.exit_code, 3, "nothing is held against limits: exit 3");
    ok(!judgement.has_run, "the judgement says so");
    config.expect = PROBE_NOT_RESOLVED;
    load_judge(&judgement, &config, result, 0, NULL);
    is_int((int)judgement.exit_code, 0, "that was expected: exit 0");
    config.expect = PROBE_REFUSED;
    load_judge(&judgement, &config, result, 0, NULL);
    is_int((int)judgement.exit_code, 9, "something else was expected: exit 9");
}

static void test_text(void)
{
    char text[LOAD_LIMIT_TEXT];

    group("values as text");
    is_str(load_limit_text(text, LOAD_MAX_LOST, 7), "7", "a number");
    is_str(load_limit_text(text, LOAD_MAX_P99, 1500 * CLOCK_US), "1ms500us", "a time");
    is_str(load_limit_text(text, LOAD_MAX_P99, LOAD_NOT_REACHED), "not reached", "no time");
}

int main(void)
{
    test_without();
    test_max_lost();
    test_max_errors();
    test_nothing_echoed();
    test_max_p99();
    test_max_moved();
    test_max_outage();
    test_expected();
    test_unresolved();
    test_text();
    free(result);
    return done();
}
