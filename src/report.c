#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "clock.h"
#include "escape.h"
#include "format.h"
#include "latency.h"
#include "probe.h"
#include "write_all.h"

/* Written when it is full. */
struct output {
    int fd;
    bool is_broken;
    size_t used;
    char text[4096];
};

static void flush(struct output *output)
{
    output->is_broken =
        output->is_broken || !write_all(output->fd, output->text, output->used);
    output->used = 0;
}

static void put(struct output *output, const char *pattern, ...)
    __attribute__((format(printf, 2, 3)));

static void put(struct output *output, const char *pattern, ...)
{
    va_list arguments;

    if (output->used > sizeof output->text - 512) {
        flush(output);
    }
    va_start(arguments, pattern);
    size_t length = format_list(output->text + output->used,
                                sizeof output->text - output->used, pattern, arguments);
    va_end(arguments);
    size_t room = sizeof output->text - output->used - 1;
    output->used += length < room ? length : room;
}

/* ---- what all forms say ----------------------------------------------------------------
 */

static uint64_t per_second(const struct report *report, uint64_t count)
{
    uint64_t us = report->measured_ns / CLOCK_US;

    /* In milliseconds where the product would be more than 64 bits. */
    if (count >= UINT64_MAX / 1000000) {
        return us < 1000 ? 0 : count / (us / 1000) * 1000;
    }
    return us == 0 ? 0 : count * 1000000 / us;
}

static uint64_t errors(const struct load_result *result)
{
    uint64_t sum = 0;

    for (int i = PROBE_ECHOED + 1; i < PROBE_OUTCOMES; i++) {
        sum += result->errors[i];
    }
    return sum;
}

static uint64_t connects(const struct report *report)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < report->plan->address_count; i++) {
        sum += report->result->addresses[i].connects;
    }
    return sum;
}

static uint64_t cpu_per_message(const struct report *report)
{
    return report->result->echoed == 0 ? 0 : report->cpu_ns / report->result->echoed;
}

/* ---- for people ------------------------------------------------------------------------
 */

static void put_row(struct output *output, const char *name, const struct histogram *h)
{
    char text[LATENCY_TEXT];

    if (h->count == 0) {
        return;
    }
    put(output, "  %-11s", name);
    put(output, " %8s", latency_text(text, h->min_ns));
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        put(output, " %8s",
            latency_text(text, histogram_percentile(h, latency_percentiles[i].per_100000)));
    }
    put(output, " %8s", latency_text(text, h->max_ns));
    put(output, " %8s\n", latency_text(text, histogram_mean(h)));
}

/* One row for each third of a power of ten that has any; the bar's length is its share. */
static void put_bars(struct output *output, const struct histogram *h, unsigned width)
{
    static const unsigned steps[] = {10, 20, 50};
    char from_text[LATENCY_TEXT], to_text[LATENCY_TEXT];
    uint64_t most = 0;
    unsigned room = width > 50 ? width - 38 : 12;

    room = room > 50 ? 50 : room;
    for (int pass = 0; pass < 2; pass++) {
        uint64_t scale = 100, from = 0;

        for (unsigned i = 0; from <= h->max_ns; i++) {
            uint64_t to = scale * steps[i % 3];
            uint64_t count = histogram_between(h, from, to);

            scale *= i % 3 == 2 ? 10 : 1;
            if (pass == 0) {
                most = count > most ? count : most;
            } else if (count > 0 && most > 0) {
                unsigned length = (unsigned)(count * room / most);

                put(output, "  %7s to %-7s %12" PRIu64 " ",
                    from == 0 ? "0" : latency_text(from_text, from),
                    latency_text(to_text, to), count);
                for (unsigned n = 0; n < (length == 0 ? 1 : length); n++) {
                    put(output, length == 0 ? "." : "#");
                }
                put(output, "\n");
            }
            from = to;
        }
    }
}

static void put_errors(struct output *output, const struct load_result *result)
{
    char text[LATENCY_TEXT];
    const char *before = "  errors     ";

    for (int i = PROBE_ECHOED + 1; i < PROBE_OUTCOMES; i++) {
        if (result->errors[i] > 0) {
            put(output, "%s%" PRIu64 " %s", before, result->errors[i],
                probe_outcome_names[i]);
            before = ", ";
        }
    }
    if (errors(result) > 0) {
        put(output, "\n  away       %s at most, from an error to the next echo\n",
            latency_text(text, result->away_ns));
    }
}

static void put_addresses(struct output *output, const struct report *report)
{
    char text[NET_ADDRESS_TEXT], p99[LATENCY_TEXT];

    if (report->plan->address_count < 2) {
        return;
    }
    put(output, "\n  %-32s %10s %12s %8s %8s\n", "address", "connects", "echoed", "errors",
        "p99");
    for (size_t i = 0; i < report->plan->address_count; i++) {
        const struct load_address_result *a = &report->result->addresses[i];

        put(output, "  %-32s %10" PRIu64 " %12" PRIu64 " %8" PRIu64 " %8s\n",
            net_address_text(&report->plan->addresses[i], text), a->connects, a->echoed,
            a->errors, latency_text(p99, histogram_percentile(&a->reply, 99000)));
    }
}

static void put_text(struct output *output, const struct report *report)
{
    const struct load_config *load = &report->plan->config->load;
    const struct load_result *result = report->result;
    uint64_t rate = per_second(report, result->in_time);
    uint64_t bytes = per_second(report, result->in_time * load->size);
    char text[LATENCY_TEXT];

    put(output, "echo-client: %s, %" PRIu64 " connection%s, %" PRIu64 " byte%s",
        load->target, load->connections, load->connections == 1 ? "" : "s", load->size,
        load->size == 1 ? "" : "s");
    if (load->rate > 0) {
        put(output, ", open loop of %" PRIu64 "/s", load->rate);
    } else {
        put(output, ", closed loop");
    }
    put(output, ", measured for %s\n\n", latency_text(text, report->measured_ns));
    put(output, "  messages   %" PRIu64 " sent, %" PRIu64 " echoed%s, %" PRIu64 " lost",
        result->sent, result->echoed, report->plan->config->verify ? " exactly" : "",
        result->lost);
    if (result->unfinished > 0) {
        put(output, ", %" PRIu64 " unfinished", result->unfinished);
    }
    if (result->skipped > 0) {
        put(output, ", %" PRIu64 " due but not sent", result->skipped);
    }
    put(output, "\n  rate       %" PRIu64 " messages/s, %" PRIu64 ".%02u MB/s each way\n",
        rate, bytes / 1000000, (unsigned)(bytes % 1000000 / 10000));
    put(output, "  cost       %s of this client's CPU per message\n",
        latency_text(text, cpu_per_message(report)));
    put_errors(output, result);
    put(output, "\n  %-11s %8s", "", "min");
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        put(output, " %8s", latency_percentiles[i].name);
    }
    put(output, " %8s %8s\n", "max", "mean");
    put_row(output, "resolve", report->resolve);
    put_row(output, "connect", &result->connect);
    put_row(output, "first byte", &result->first_byte);
    if (load->rate > 0) {
        put_row(output, "reply, raw", &result->raw);
    }
    put_row(output, load->rate > 0 ? "since due" : "reply", report->reply);
    put_addresses(output, report);
    if (report->reply->count > 0) {
        put(output, "\n");
        put_bars(output, report->reply, report->width);
    }
}

/* ---- for programs ----------------------------------------------------------------------
 */

static void put_json_histogram(struct output *output, const char *name,
                               const struct histogram *h)
{
    put(output, ",\"%s\":{\"count\":%" PRIu64 ",\"min_ns\":%" PRIu64, name, h->count,
        h->min_ns);
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        put(output, ",\"%s\":%" PRIu64, latency_percentiles[i].key,
            histogram_percentile(h, latency_percentiles[i].per_100000));
    }
    put(output, ",\"max_ns\":%" PRIu64 ",\"mean_ns\":%" PRIu64 "}", h->max_ns,
        histogram_mean(h));
}

static void put_json(struct output *output, const struct report *report)
{
    const struct load_config *load = &report->plan->config->load;
    const struct load_result *result = report->result;
    char text[NET_ADDRESS_TEXT];

    put(output,
        "{\"connections\":%" PRIu64 ",\"size_bytes\":%" PRIu64 ",\"rate_per_s\":%" PRIu64
        ",\"pipeline\":%" PRIu64 ",\"threads\":%" PRIu64,
        load->connections, load->size, load->rate, load->pipeline, load->threads);
    put(output,
        ",\"measured_ns\":%" PRIu64 ",\"messages_sent\":%" PRIu64
        ",\"messages_echoed\":%" PRIu64 ",\"messages_measured\":%" PRIu64
        ",\"messages_lost\":%" PRIu64 ",\"messages_unfinished\":%" PRIu64
        ",\"messages_skipped\":%" PRIu64,
        report->measured_ns, result->sent, result->echoed, result->measured, result->lost,
        result->unfinished, result->skipped);
    put(output,
        ",\"messages_per_s\":%" PRIu64 ",\"bytes_per_s\":%" PRIu64 ",\"connects\":%" PRIu64
        ",\"cpu_ns_per_message\":%" PRIu64 ",\"away_ns\":%" PRIu64,
        per_second(report, result->in_time),
        per_second(report, result->in_time * load->size), connects(report),
        cpu_per_message(report), result->away_ns);
    put(output, ",\"errors\":{");
    for (int i = PROBE_ECHOED + 1; i < PROBE_INTERRUPTED; i++) {
        put(output, i == PROBE_ECHOED + 1 ? "\"" : ",\"");
        for (const char *c = probe_outcome_names[i]; *c != '\0'; c++) {
            put(output, "%c", *c == ' ' ? '_' : *c);
        }
        put(output, "\":%" PRIu64, result->errors[i]);
    }
    put(output, "}");
    put_json_histogram(output, "resolve", report->resolve);
    put_json_histogram(output, "connect", &result->connect);
    put_json_histogram(output, "first_byte", &result->first_byte);
    put_json_histogram(output, "reply", report->reply);
    put_json_histogram(output, "reply_raw", load->rate > 0 ? &result->raw : report->reply);
    put(output, ",\"addresses\":[");
    for (size_t i = 0; i < report->plan->address_count; i++) {
        const struct load_address_result *a = &report->result->addresses[i];

        put(output,
            "%s{\"address\":\"%s\",\"connects\":%" PRIu64 ",\"messages_echoed\":%" PRIu64
            ",\"errors\":%" PRIu64 ",\"p99_ns\":%" PRIu64 "}",
            i == 0 ? "" : ",", net_address_text(&report->plan->addresses[i], text),
            a->connects, a->echoed, a->errors, histogram_percentile(&a->reply, 99000));
    }
    put(output, "]}\n");
}

/* The order is part of the contract: README's Measuring names the columns. */
static void put_csv(struct output *output, const struct report *report)
{
    const struct load_config *load = &report->plan->config->load;
    const struct load_result *result = report->result;

    put(output,
        "%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64,
        load->connections, load->size, load->rate, result->sent, result->echoed,
        result->lost, errors(result));
    put(output, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, report->measured_ns,
        per_second(report, result->in_time),
        per_second(report, result->in_time * load->size));
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        put(output, ",%" PRIu64,
            histogram_percentile(report->reply, latency_percentiles[i].per_100000));
    }
    put(output, ",%" PRIu64 ",%" PRIu64 "\n", report->reply->max_ns,
        histogram_mean(report->reply));
}

bool report_print(const struct report *report, enum load_report form, int fd)
{
    struct output output = {.fd = fd};

    switch (form) {
    case LOAD_REPORT_TEXT:
        put_text(&output, report);
        break;
    case LOAD_REPORT_JSON:
        put_json(&output, report);
        break;
    case LOAD_REPORT_CSV:
        put_csv(&output, report);
        break;
    case LOAD_REPORT_NONE:
        break;
    }
    flush(&output);
    return !output.is_broken;
}
