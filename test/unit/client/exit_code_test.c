#include "client/exit_code.h"

#include "tap.h"

/* The exit code of `echoed` messages and of `a` and `b` failures of two kinds. */
static int code_of(uint64_t echoed, enum probe_outcome kind_a, uint64_t a,
                   enum probe_outcome kind_b, uint64_t b)
{
    uint64_t counts[PROBE_OUTCOMES] = {[PROBE_ECHOED] = echoed};

    counts[kind_a] += a;
    counts[kind_b] += b;
    return (int)client_exit_code(counts);
}

static void test_each_kind(void)
{
    static const int codes[PROBE_OUTCOMES] = {
        [PROBE_ECHOED] = 0,       [PROBE_NOT_RESOLVED] = 3, [PROBE_REFUSED] = 4,
        [PROBE_UNREACHABLE] = 4,  [PROBE_TIMED_OUT] = 5,    [PROBE_DIFFERS] = 6,
        [PROBE_CLOSED_EARLY] = 7, [PROBE_RESET] = 7,        [PROBE_INTERRUPTED] = 0,
    };

    group("one kind");
    for (int kind = 0; kind < PROBE_OUTCOMES; kind++) {
        is_int(code_of(1000, (enum probe_outcome)kind, 1, PROBE_ECHOED, 0), codes[kind],
               "one message %s among 1000 that were echoed: exit %d",
               probe_outcome_names[kind], codes[kind]);
    }
}

static void test_several_kinds(void)
{
    group("several kinds");
    is_int(code_of(0, PROBE_ECHOED, 0, PROBE_ECHOED, 0), 1,
           "no message at all: nothing was compared, exit 1");
    is_int(code_of(0, PROBE_INTERRUPTED, 1, PROBE_ECHOED, 0), 1,
           "the only message was interrupted: nothing was compared, exit 1");
    is_int(code_of(1, PROBE_INTERRUPTED, 1, PROBE_ECHOED, 0), 0,
           "one was echoed, one interrupted: exit 0");
    is_int(code_of(0, PROBE_TIMED_OUT, 2, PROBE_DIFFERS, 1), 5,
           "two timed out, one differs: the most frequent kind decides");
    is_int(code_of(0, PROBE_TIMED_OUT, 1, PROBE_DIFFERS, 2), 6,
           "one timed out, two differ: the most frequent kind decides");
    is_int(code_of(0, PROBE_NOT_RESOLVED, 1, PROBE_RESET, 1), 3,
           "one not resolved, one reset: of equals the smaller code");
    is_int(code_of(0, PROBE_DIFFERS, 1, PROBE_RESET, 1), 6,
           "one differs, one reset: of equals the smaller code");
    is_int(code_of(0, PROBE_INTERRUPTED, 9, PROBE_REFUSED, 1), 4,
           "an interrupted message is no failure, however many there are");
    is_int(code_of(0, PROBE_DIFFERS, UINT64_C(1) << 40, PROBE_RESET, 1), 6,
           "2^40 differ, one reset: counts of more than 32 bits");
}

/* Two kinds share a code: their sum counts. */
static void test_sums(void)
{
    uint64_t counts[PROBE_OUTCOMES] = {[PROBE_TIMED_OUT] = 3,
                                       [PROBE_REFUSED] = 2,
                                       [PROBE_UNREACHABLE] = 2,
                                       [PROBE_CLOSED_EARLY] = 1,
                                       [PROBE_RESET] = 1};

    group("kinds that share a code");
    is_int(client_exit_code(counts), 4,
           "two refused and two unreachable are four of exit 4");
    counts[PROBE_RESET] = 4;
    is_int(client_exit_code(counts), 7,
           "one closed early and four reset are five of exit 7");
}

static void test_saw_only(void)
{
    uint64_t seen[PROBE_OUTCOMES] = {0};

    group("only what was expected");
    ok(!client_saw_only(PROBE_REFUSED, seen), "nothing was seen: no");
    seen[PROBE_INTERRUPTED] = 1;
    ok(!client_saw_only(PROBE_REFUSED, seen), "an interruption alone: no");
    seen[PROBE_REFUSED] = 3;
    ok(client_saw_only(PROBE_REFUSED, seen), "three of that kind, one interrupted: yes");
    for (int kind = 0; kind < PROBE_INTERRUPTED; kind++) {
        if (kind != PROBE_REFUSED) {
            seen[kind] = 1;
            ok(!client_saw_only(PROBE_REFUSED, seen), "and one %s: no",
               probe_outcome_names[kind]);
            seen[kind] = 0;
        }
    }
}

static void test_text(void)
{
    uint64_t seen[PROBE_OUTCOMES] = {0};
    char text[CLIENT_KINDS_TEXT];

    group("kinds as text");
    is_str(client_kinds_text(text, PROBE_ECHOED, seen), "nothing", "none of them");
    seen[PROBE_ECHOED] = 2;
    seen[PROBE_RESET] = 1;
    is_str(client_kinds_text(text, PROBE_ECHOED, seen), "2 echoed, 1 reset", "two of them");
    is_str(client_kinds_text(text, PROBE_NOT_RESOLVED, seen), "1 reset",
           "those from the second on");
    for (int kind = 0; kind < PROBE_OUTCOMES; kind++) {
        seen[kind] = UINT64_MAX;
    }
    client_kinds_text(text, PROBE_ECHOED, seen);
    ok(strstr(text, "18446744073709551615 interrupted") != NULL,
       "all of them, each as many as can be: the last is there");
}

int main(void)
{
    test_saw_only();
    test_text();
    test_each_kind();
    test_several_kinds();
    test_sums();
    return done();
}
