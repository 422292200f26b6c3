#include "load/load_report_prometheus.h"

#include <string.h>

#include "base/build.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/metrics_histogram.h"

#define KINDS (PROBE_OUTCOMES - 1)

/* The numbers of the table. */
enum {
    BUILD,
    START_NS,
    MEASURED_NS,
    MEASURED,
    CONNECTS,
    MOVED,
    OUTAGE_NS,
    CPU_NS,
    EXIT_CODE,
    ECHOED, /* from here on in the order of `outcomes` */
    LOST,
    UNFINISHED,
    SKIPPED,
    ERRORS, /* of each kind but echoed */
    FAILURES = ERRORS + KINDS,
    CONNECT = FAILURES + KINDS, /* distributions */
    REPLY = CONNECT + METRICS_HISTOGRAM_NUMBERS,
    NUMBERS = REPLY + METRICS_HISTOGRAM_NUMBERS,
};

static const char *const outcome_names[] = {"echoed", "lost", "unfinished", "skipped",
                                            NULL};

static const struct metrics_label build = {build_labels, NULL},
                                  outcomes = {"outcome", outcome_names},
                                  kinds = {"kind", probe_outcome_names + PROBE_ECHOED + 1};

#define NUMBER METRICS_GAUGE, 0
#define TIME   METRICS_GAUGE, 1

static const struct metrics_row rows[] = {
    {"build_info", "Version and commit", &build, NUMBER, BUILD},
    {"start_timestamp_seconds", "Unix time", NULL, TIME, START_NS},
    {"measured_seconds", "For how long", NULL, TIME, MEASURED_NS},
    {"measured_messages", "Echoed in that time", NULL, NUMBER, MEASURED},
    {"connects", "Connections made", NULL, NUMBER, CONNECTS},
    {"moved", "Connections that moved to another server", NULL, NUMBER, MOVED},
    {"outage_seconds", "Longest, from an error to an echo", NULL, TIME, OUTAGE_NS},
    {"cpu_seconds", "CPU time", NULL, TIME, CPU_NS},
    {"exit_code", "0: success", NULL, NUMBER, EXIT_CODE},
    {"messages", "By what became of them", &outcomes, NUMBER, ECHOED},
    {"errors", "Lost messages and connections", &kinds, NUMBER, ERRORS},
    {"failures", "Errors that the exit code follows from", &kinds, NUMBER, FAILURES},
    {"connect_duration_seconds", "To connect", NULL, METRICS_HISTOGRAM, 0, CONNECT},
    {"reply_duration_seconds", "Sent, or due, to echoed", NULL, METRICS_HISTOGRAM, 0,
     REPLY},
};

static void read_numbers(const struct load_figures *figures, uint64_t numbers[NUMBERS])
{
    const struct load_result *result = figures->result;

    numbers[BUILD] = 1;
    numbers[START_NS] =
        (uint64_t)figures->begin.tv_sec * CLOCK_S + (uint64_t)figures->begin.tv_nsec;
    numbers[MEASURED_NS] = figures->measured_ns;
    numbers[MEASURED] = result->in_time;
    numbers[CONNECTS] = load_figures_connects(figures);
    numbers[MOVED] = result->moved;
    numbers[OUTAGE_NS] = result->outage_ns;
    numbers[CPU_NS] = figures->cpu_ns;
    numbers[EXIT_CODE] = figures->exit_code;
    numbers[ECHOED] = result->echoed;
    numbers[LOST] = result->lost;
    numbers[UNFINISHED] = result->unfinished;
    numbers[SKIPPED] = result->skipped;
    memcpy(numbers + ERRORS, result->errors + 1, KINDS * sizeof numbers[0]);
    memcpy(numbers + FAILURES, result->failures + 1, KINDS * sizeof numbers[0]);
    metrics_histogram_read(&result->connect, numbers + CONNECT);
    metrics_histogram_read(figures->reply, numbers + REPLY);
}

static const struct metrics metrics = {
    .prefix = "echo_client_load_",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .histogram = metrics_histogram,
};

/* A line, and in a series the target as its first label. A target has neither quotes nor
 * backslashes. */
static void put_line(struct output *output, const char *target, const char *line,
                     size_t length)
{
    size_t name = strcspn(line, "{ ");
    bool has_labels = line[name] == '{';

    if (*line == '#') {
        output_put(output, "%.*s", (int)length, line);
        return;
    }
    output_put(output, "%.*s{target=\"%s\"%s%.*s", (int)name, line, target,
               has_labels ? "," : "}", (int)(length - name - has_labels),
               line + name + has_labels);
}

void load_report_prometheus_put(struct output *output, const struct load_figures *figures)
{
    uint64_t numbers[NUMBERS];
    char text[METRICS_TEXT];

    read_numbers(figures, numbers);
    const char *end = text + metrics_print(&metrics, numbers, text);
    for (const char *line = text; line < end;) {
        size_t length = strcspn(line, "\n") + 1;

        put_line(output, figures->plan->config->load.target, line, length);
        line += length;
    }
}
