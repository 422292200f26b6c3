#include "client/client_metrics.h"

#include "base/build.h"
#include "base/log.h"
#include "base/metrics_histogram.h"

/* The numbers of the table. */
enum {
    BUILD,    /* always 1 */
    MESSAGES, /* by outcome */
    LAST_ECHO_NS = MESSAGES + PROBE_OUTCOMES,
    LOG_DROPPED,
    CONNECT, /* distributions */
    REPLY = CONNECT + METRICS_HISTOGRAM_NUMBERS,
    PROCESS = REPLY + METRICS_HISTOGRAM_NUMBERS,
    NUMBERS = PROCESS + PROCESS_NUMBERS,
};

static const struct metrics_label build = {build_labels, NULL},
                                  outcomes = {"outcome", probe_outcome_names};

static const struct metrics_row rows[] = {
    {"build_info", "Version and commit", &build, METRICS_GAUGE, 0, BUILD},
    {"messages_total", "By what became of them", &outcomes, METRICS_COUNTER, 0, MESSAGES},
    {"last_echo_timestamp_seconds", "Unix time", NULL, METRICS_GAUGE, 1, LAST_ECHO_NS},
    {"log_lines_dropped_total", "Lines nobody read", NULL, METRICS_COUNTER, 0, LOG_DROPPED},
    {"connect_duration_seconds", "To connect", NULL, METRICS_HISTOGRAM, 0, CONNECT},
    {"reply_duration_seconds", "Connected to echoed", NULL, METRICS_HISTOGRAM, 0, REPLY},
    PROCESS_ROWS(PROCESS),
};

static const struct metrics metrics = {
    .prefix = "echo_client_",
    .rows = rows,
    .count = sizeof rows / sizeof rows[0],
    .histogram = metrics_histogram,
};

size_t client_metrics_print(const struct client_live *live, const struct process *process,
                            uint64_t open_fds, char *out)
{
    uint64_t numbers[NUMBERS];

    numbers[BUILD] = 1;
    for (int i = 0; i < PROBE_OUTCOMES; i++) {
        numbers[MESSAGES + i] = counter_get(&live->messages[i]);
    }
    numbers[LAST_ECHO_NS] = counter_get(&live->last_echo_ns);
    numbers[LOG_DROPPED] = log_dropped();
    metrics_histogram_read(&live->connect, numbers + CONNECT);
    metrics_histogram_read(&live->reply, numbers + REPLY);
    process_read(process, open_fds + counter_get(&live->sockets), numbers + PROCESS);
    return metrics_print(&metrics, numbers, out);
}
