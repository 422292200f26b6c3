#include "examine/checks.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/format.h"
#include "examine/crowd.h"

#define KIB      ((uint32_t)1024)
#define MIB      (1024 * KIB)
#define AT_ONCE  (16 * KIB)       /* a write as large as they come */
#define STALL_NS (100 * CLOCK_MS) /* a peer that took nothing for so long is busy */
#define PAUSE_NS (200 * CLOCK_MS) /* between two segments, so that they are read apart */
#define PARALLEL 100              /* connections open at once */
#define QUIET_NS (30 * CLOCK_MS)  /* behind the last byte, for what should not come */

/* ---- findings ------------------------------------------------------------------------ */

/* The finding that follows from a talk. Returns whether all is right. */
static bool conclude(struct check_finding *finding, const struct talk *talk)
{
    bool is_right = talk->outcome == PROBE_ECHOED;

    finding->result = is_right ? CHECK_PASSED : CHECK_FAILED;
    finding->outcome = talk->outcome;
    talk_seen(talk, finding->seen);
    return is_right;
}

/* The same for one talk of several: how many were right, and how this one was not. */
static void conclude_several(struct check_finding *finding, const struct talk *talk,
                             size_t right)
{
    char seen[TALK_SEEN_TEXT] = "";

    if (!conclude(finding, talk)) {
        format(seen, sizeof seen, ", then one: %s", finding->seen);
    }
    format(finding->seen, sizeof finding->seen, "%zu echoed%s", right, seen);
}

/* ---- one talk ------------------------------------------------------------------------ */

/* Read slowly until the server must have noticed. */
static void read_slowly(struct talk *talk, uint64_t to, size_t piece)
{
    for (int i = 0; i < 64 && talk->outcome == PROBE_ECHOED; i++) {
        talk_ready(talk, POLLIN, to, piece, 4 * KIB);
        talk_push(talk, to, piece, CLOCK_MS);
    }
}

static void make_step(const struct check_step *step, struct check_world *world,
                      struct talk *talk, size_t piece)
{
    uint64_t to = step->to;

    switch (step->what) {
    case STEP_SEND:
        talk_push(talk, to, piece, STALL_NS);
        break;
    case STEP_CUT:
        talk_push(talk, to, piece, STALL_NS);
        talk_pause(talk, PAUSE_NS);
        break;
    case STEP_URGENT:
        talk_urgent(talk);
        break;
    case STEP_EACH:
        while (talk->sent < to &&
               talk_run(talk, talk->sent + piece, talk->sent + piece, piece)) {
        }
        break;
    case STEP_IDLE:
        world->target.deadline_ns += world->idle_ns;
        talk_quiet(talk, world->idle_ns);
        break;
    case STEP_FINISH:
        talk_run(talk, to, 0, piece);
        talk_end(talk);
        break;
    case STEP_UNREAD:
        talk_push(talk, to, piece, CLOCK_S);
        to = talk->sent;
        talk_run(talk, to, to, piece);
        break;
    case STEP_SLOWLY:
        talk_push(talk, to, piece, STALL_NS);
        read_slowly(talk, to, piece);
        talk_run(talk, to, to, piece);
        break;
    case STEP_EXCHANGE:
        talk_run(talk, to, to, piece);
        break;
    case STEP_END:
        break;
    }
}

/* A server that took all that it may not take unread. */
static void judge_unread(struct check_finding *finding, uint64_t taken, uint64_t most)
{
    format(finding->seen, sizeof finding->seen, "it took %" PRIu64 " bytes unread%s", taken,
           taken < most ? ", and no more" : " and more");
    if (taken == most) {
        finding->result = CHECK_FAILED;
        finding->outcome = PROBE_DIFFERS;
    }
}

static void run_steps(const struct check *check, struct check_world *world,
                      struct check_finding *finding)
{
    const struct check_step *step = check->steps;
    struct talk talk;

    talk_open(&talk, &world->target, (struct talk_content){check->text, world->seed++});
    for (; step->what != STEP_END; step++) {
        make_step(step, world, &talk, check->piece);
    }
    talk_quiet(&talk, QUIET_NS);
    if (conclude(finding, &talk) && check->steps->what == STEP_UNREAD) {
        judge_unread(finding, talk.sent, check->steps->to);
    }
    talk_close(&talk);
}

/* ---- several talks ------------------------------------------------------------------- */

/* A connection with one line. Returns whether it came back. */
static bool exchange_line(struct check_world *world, struct talk *talk)
{
    struct talk_content content = {talk_lines, world->seed++};

    bool is_right = talk_open(talk, &world->target, content) &&
                    talk_run(talk, TALK_LINE, TALK_LINE, TALK_LINE);
    talk_close(talk);
    return is_right;
}

static void run_sequence(const struct check *check, struct check_world *world,
                         struct check_finding *finding)
{
    struct talk talk;
    size_t right = 0;

    while (exchange_line(world, &talk) && ++right < check->piece) {
    }
    conclude_several(finding, &talk, right);
}

static void run_crowd(const struct check *check, struct check_world *world,
                      struct check_finding *finding)
{
    /* What a queue has no room for comes again, after 15 s at the latest. */
    uint64_t least_ns = clock_now_ns() + 20 * CLOCK_S;
    struct talk failed;

    if (world->target.deadline_ns < least_ns) {
        world->target.deadline_ns = least_ns;
    }
    size_t right = crowd_run(&world->target, world->seed, check->piece, &failed);
    world->seed += check->piece;
    conclude_several(finding, &failed, right);
}

/* One line on each: the first time one after the other, so that no queue overflows, then on
 * all of them at once. */
static void run_parallel(const struct check *check, struct check_world *world,
                         struct check_finding *finding)
{
    struct talk talks[1 + PARALLEL], *end = talks;
    size_t right = 0;

    (void)check;
    do { /* the first one stays silent */
        struct talk_content content = {talk_lines, world->seed++};

        talk_open(end, &world->target, content);
        if (end > talks) {
            talk_run(end, TALK_LINE, TALK_LINE, TALK_LINE);
        }
    } while (end++->outcome == PROBE_ECHOED && end < talks + 1 + PARALLEL);
    for (struct talk *talk = talks + 1; talk < end; talk++) {
        talk_push(talk, (uint64_t)2 * TALK_LINE, TALK_LINE, STALL_NS);
    }
    struct talk *last = end - 1;
    for (struct talk *talk = talks + 1; talk < end; talk++) {
        bool is_right =
            talk_run(talk, (uint64_t)2 * TALK_LINE, (uint64_t)2 * TALK_LINE, TALK_LINE);

        right += is_right;
        last = is_right ? last : talk;
    }
    conclude_several(finding, last, right);
    while (end > talks) {
        talk_close(--end);
    }
}

static void run_deaf_peer(const struct check *check, struct check_world *world,
                          struct check_finding *finding)
{
    struct talk deaf;

    talk_open(&deaf, &world->target, (struct talk_content){talk_bytes, world->seed++});
    if (talk_push(&deaf, 32 * MIB, AT_ONCE, 3 * STALL_NS)) {
        run_steps(check, world, finding);
    } else {
        conclude(finding, &deaf);
    }
    talk_reset(&deaf);
}

static void run_reset(const struct check *check, struct check_world *world,
                      struct check_finding *finding)
{
    struct talk talk;

    for (size_t i = 0; i < check->piece; i++) {
        talk_open(&talk, &world->target, (struct talk_content){talk_lines, world->seed++});
        talk_push(&talk, 256 * KIB, AT_ONCE, STALL_NS / 10);
        talk_reset(&talk);
        if (!talk.is_connected) {
            conclude(finding, &talk);
            return;
        }
    }
    exchange_line(world, &talk);
    conclude(finding, &talk);
}

/* ---- the table ----------------------------------------------------------------------- */

/* Kinds of failure. */
#define WRONG  (1U << PROBE_DIFFERS)
#define LATE   (1U << PROBE_TIMED_OUT)
#define CLOSED (1U << PROBE_CLOSED_EARLY | 1U << PROBE_RESET)

#define STEPS(...)                                                                         \
    (const struct check_step[])                                                            \
    {                                                                                      \
        __VA_ARGS__,                                                                       \
        {                                                                                  \
            STEP_END, 0                                                                    \
        }                                                                                  \
    }

/* The texts of one check. */
#define TEXTS(id, title, sent, expected, why) id "\0" title "\0" sent "\0" expected "\0" why

/* clang-format off */
const struct check checks[] = {
    {TEXTS("one-byte", "one byte, no newline",
           "1 byte", "the byte at once, nothing else",
           "a server that waits for a line or adds something is no echo"),
     NULL, run_steps, STEPS({STEP_EXCHANGE, 1}), "e", 0, AT_ONCE, true, false, 1, 1},
    {TEXTS("one-mib", "1 MiB in one go",
           "1048576 bytes of all values", "the same bytes",
           "a message may be longer than any buffer, and send() may take a part of it"),
     NULL, run_steps, STEPS({STEP_EXCHANGE, MIB}), talk_bytes, 0, AT_ONCE, true, false, 4, 1},
    {TEXTS("bytewise", "a byte at a time",
           "64 bytes, each after the echo of the one before", "each byte at once",
           "TCP has no messages: a read may bring any part of them"),
     NULL, run_steps, STEPS({STEP_EACH, 64}), talk_lines, 0, 1, true, false, 2, 1},
    {TEXTS("all-bytes", "all 256 values",
           "the bytes 0 to 255, no newline at the end", "the same bytes",
           "strlen(), text modes and decoders stumble over NUL and others"),
     NULL, run_steps, STEPS({STEP_EXCHANGE, 256}), talk_values, 0, AT_ONCE, true, false, 1, 1},
    {TEXTS("utf8-cut", "UTF-8 cut in the middle",
           "characters of 2, 3 and 4 bytes, each cut by a pause", "the same bytes",
           "who decodes each read as text fails at half a character"),
     NULL, run_steps, STEPS({STEP_CUT, 2}, {STEP_CUT, 6}, {STEP_CUT, 10}, {STEP_EXCHANGE, 14}),
     "a\xc3\xb1o \xe2\x82\xac \xf0\x9f\x90\xa7\n", 0, AT_ONCE, true, false, 1, 1},
    {TEXTS("two-in-one", "two messages in one segment",
           "two lines in one write", "both lines",
           "one read may bring two messages, and the second must not be lost"),
     NULL, run_steps, STEPS({STEP_EXCHANGE, 29}), "first message\nsecond message\n", 0, AT_ONCE,
     true, false, 1, 1},
    {TEXTS("one-in-two", "one message in two segments",
           "a line in two writes with a pause", "the line",
           "one read may bring half a message, and the other half comes later"),
     NULL, run_steps, STEPS({STEP_CUT, 11}, {STEP_EXCHANGE, 28}), "one message in two segments\n",
     0, AT_ONCE, true, false, 1, 1},
    {TEXTS("urgent-byte", "an urgent byte",
           "2 bytes, an urgent one (MSG_OOB), 4 bytes", "7 bytes in their order",
           "without SO_OOBINLINE it leaves the stream; RFC 862 says nothing of it"),
     "drops urgent bytes", run_steps,
     STEPS({STEP_EXCHANGE, 2}, {STEP_URGENT, 0}, {STEP_EXCHANGE, 7}), "ab!cde\n", WRONG | LATE, AT_ONCE,
     false, false, 1, 1},
    {TEXTS("pipelining", "1,000 messages without waiting",
           "1000 messages of 64 bytes, none awaited", "all of them, in order",
           "a client need not wait for one echo before its next message"),
     NULL, run_steps, STEPS({STEP_EXCHANGE, 64000}), talk_lines, 0, 64, true, false, 2, 1},
    {TEXTS("half-close", "half-close, and the whole rest",
           "262144 bytes and the end of stream, unread so far", "all bytes, then the end of stream",
           "who has said all still listens: what is not sent yet must not be dropped"),
     "closes after a half-close without the rest", run_steps,
     STEPS({STEP_SEND, 256 * KIB}, {STEP_FINISH, 256 * KIB}), talk_lines, CLOSED, AT_ONCE,
     true, false, 2, 1},
    {TEXTS("slow-reader", "a peer that reads slowly",
           "8388608 bytes, as fast as they are taken", "all bytes, however late they are read",
           "send() takes a part when the peer is slow, and the rest must wait"),
     "loses bytes of slow readers", run_steps, STEPS({STEP_SLOWLY, 8 * MIB}), talk_bytes, WRONG | LATE, AT_ONCE,
     true, false, 4, 1},
    {TEXTS("parallel", "100 at once while one is silent",
           "64 bytes twice on each of 100, nothing on one before them", "200 echoes",
           "a server for one client at a time lets a silent one block all others"),
     NULL, run_parallel, NULL, NULL, 0, 0, true, false, 2, 101},
    {TEXTS("deaf-peer", "a peer that never reads, beside one that does",
           "up to 33554432 bytes unread; 100 messages on another connection", "100 echoes",
           "a send() that blocks for one client must not stop the others"),
     "stops while one peer does not read", run_deaf_peer, STEPS({STEP_EACH, 6400}), talk_lines, LATE, 64,
     true, false, 2, 2},
    {TEXTS("sequence", "1,000 connections, one after another",
           "64 bytes on each", "1000 echoes",
           "descriptors, threads and memory must be released with each connection"),
     NULL, run_sequence, NULL, NULL, 0, 1000, true, false, 12, 1},
    {TEXTS("reset", "a reset in the middle, then the next one",
           "10 connections reset with data under way, then 64 bytes on another", "the last one's echo",
           "ECONNRESET and SIGPIPE end one connection, not the server"),
     "does not survive a reset", run_reset, NULL, NULL, CLOSED | LATE, 10, true, false, 2, 1},
    {TEXTS("backlog", "1,000 connections begun at once",
           "64 bytes on each, more than wait in a queue", "1000 echoes",
           "those that the queue has no room for come again and must be served"),
     NULL, run_crowd, NULL, NULL, 0, 1000, true, false, 6, 1000},
    {TEXTS("idle", "an idle connection",
           "64 bytes, nothing for the time of --idle, 64 bytes", "both echoes",
           "people pause; whether a server waits for them is its policy"),
     "ends idle connections", run_steps,
     STEPS({STEP_EXCHANGE, 64}, {STEP_IDLE, 0}, {STEP_EXCHANGE, 128}), talk_lines, CLOSED, AT_ONCE,
     false, true, 2, 1},
    {TEXTS("bounded", "a peer that never reads is not read without end",
           "up to 67108864 bytes unread, then all is read", "it takes no more at some point, loses nothing",
           "who reads on and keeps what it cannot send runs out of memory"),
     "reads without end", run_steps, STEPS({STEP_UNREAD, 64 * MIB}), talk_bytes, WRONG, AT_ONCE,
     true, false, 4, 1},
};
/* clang-format on */

const size_t check_count = sizeof checks / sizeof checks[0];
_Static_assert(sizeof checks / sizeof checks[0] <= CHECKS_MAX, "room for the findings");

const char *check_text(const struct check *check, enum check_text which)
{
    const char *text = check->texts;

    for (int i = 0; i < (int)which; i++) {
        text += strlen(text) + 1;
    }
    return text;
}

size_t checks_find(const char *id, size_t length)
{
    size_t i = 0;

    while (i < check_count &&
           (strncmp(checks[i].texts, id, length) != 0 || checks[i].texts[length] != '\0')) {
        i++;
    }
    return i;
}
