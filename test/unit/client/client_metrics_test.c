/* The client's metrics: the longest text fits; each number is where it belongs. */
#include "client/client_metrics.h"

#include <string.h>

#include "tap.h"

static struct client_live live;
static char text[METRICS_TEXT];
static const struct process process = {.statm = -1, .start_ns = UINT64_C(1500000000)};

static void has(const char *line)
{
    ok(strstr(text, line) != NULL, "%s", line);
}

static void test_values(void)
{
    group("values");
    for (int i = 0; i < PROBE_OUTCOMES; i++) {
        counter_set(&live.messages[i], 100 + (uint64_t)i);
    }
    counter_set(&live.last_echo_ns, UINT64_C(1795722522121894009));
    counter_set(&live.sockets, 1);
    histogram_record(&live.connect, 60000);
    histogram_record(&live.reply, 70000);
    histogram_record(&live.reply, 700000);
    histogram_record(&live.first_byte, 1); /* is not shown */
    size_t length = client_metrics_print(&live, &process, 8, text);
    is_int(strlen(text), length, "the length is that of the text");
    has("\necho_client_messages_total{outcome=\"echoed\"} 100\n");
    has("\necho_client_messages_total{outcome=\"not resolved\"} 101\n");
    has("\necho_client_messages_total{outcome=\"interrupted\"} 108\n");
    has("\necho_client_last_echo_timestamp_seconds 1795722522.121894009\n");
    has("\necho_client_log_lines_dropped_total 0\n");
    has("\necho_client_connect_duration_seconds_bucket{le=\"0.00005\"} 0\n");
    has("\necho_client_connect_duration_seconds_bucket{le=\"0.0001\"} 1\n");
    has("\necho_client_connect_duration_seconds_sum 0.000060000\n");
    has("\necho_client_reply_duration_seconds_bucket{le=\"0.0001\"} 1\n");
    has("\necho_client_reply_duration_seconds_bucket{le=\"+Inf\"} 2\n");
    has("\necho_client_reply_duration_seconds_count 2\n");
    has("\nprocess_open_fds 9\n");
    has("\nprocess_start_time_seconds 1.500000000\n");
}

static void test_longest(void)
{
    group("the longest text");
    memset(&live, 0xff, sizeof live);
    size_t length = client_metrics_print(&live, &process, UINT64_MAX, text);
    ok(length < METRICS_TEXT / 2, "is %zu bytes, far from the limit", length);
}

int main(void)
{
    test_values();
    test_longest();
    return done();
}
