#include "load/load_report_json.h"

#include <inttypes.h>

#include "base/calendar.h"
#include "base/format.h"
#include "base/latency.h"

static void put_json_histogram(struct output *output, const char *name,
                               const struct histogram *h)
{
    output_put(output, ",\"%s\":{\"count\":%" PRIu64 ",\"min_ns\":%" PRIu64, name, h->count,
               h->min_ns);
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        output_put(output, ",\"%s\":%" PRIu64, latency_percentiles[i].key,
                   histogram_percentile(h, latency_percentiles[i].per_100000));
    }
    output_put(output, ",\"max_ns\":%" PRIu64 ",\"mean_ns\":%" PRIu64 "}", h->max_ns,
               histogram_mean(h));
}

/* A name with blanks or hyphens as a key. */
static void put_json_key(struct output *output, const char *before, const char *name,
                         const char *after)
{
    output_put(output, "%s\"", before);
    for (; *name != '\0'; name++) {
        output_put(output, "%c", *name == ' ' || *name == '-' ? '_' : *name);
    }
    output_put(output, "%s\":", after);
}

static void put_json_kinds(struct output *output, const char *name,
                           const uint64_t counts[PROBE_OUTCOMES])
{
    const char *before = "";

    output_put(output, ",\"%s\":{", name);
    for (int i = PROBE_ECHOED + 1; i < PROBE_INTERRUPTED; i++) {
        put_json_key(output, before, probe_outcome_names[i], "");
        output_put(output, "%" PRIu64, counts[i]);
        before = ",";
    }
    output_put(output, "}");
}

/* What was measured, by what, and when. A target has neither quotes nor backslashes. */
static void put_json_head(struct output *output, const struct load_figures *figures)
{
    char date[CALENDAR_TEXT];

    output_put(
        output,
        "{\"version\":\"" ECHOLAB_VERSION "\",\"start\":\"%s.%03uZ\",\"target\":\"%s\"",
        calendar_text(date, figures->begin.tv_sec, 'T'),
        (unsigned)(figures->begin.tv_nsec / 1000000), figures->plan->config->load.target);
}

static const char *truth(bool is_true)
{
    return is_true ? "true" : "false";
}

static void put_json_verdict(struct output *output, const struct load_figures *figures)
{
    const struct client_config *config = figures->plan->config;
    const struct load_judgement *judgement = figures->judgement;
    const char *before = "";
    char seen[24];

    output_put(output, ",\"expected\":\"%s\",\"is_as_expected\":%s,\"limits\":{",
               client_expect_names[config->expect],
               truth(judgement->is_as_expected || config->expect == CLIENT_EXPECT_ANY));
    for (int i = 0; judgement->has_run && i < LOAD_LIMITS; i++) {
        if (config->load.limits[i] == CONFIG_NONE) {
            continue;
        }
        format(seen, sizeof seen, "%" PRIu64, judgement->seen[i]);
        put_json_key(output, before, load_limit_forms[i].name,
                     load_limit_forms[i].is_time ? "_ns" : "");
        output_put(output, "{\"allowed\":%" PRIu64 ",\"seen\":%s,\"is_broken\":%s}",
                   config->load.limits[i],
                   judgement->seen[i] == LOAD_NOT_REACHED ? "null" : seen,
                   truth(judgement->is_broken[i]));
        before = ",";
    }
    output_put(output, "}");
}

static void put_json_interval(struct output *output, const struct load_interval *row)
{
    static const char *const names[] = {"at_ns",  "length_ns", "sent",
                                        "echoed", "lost",      "connections",
                                        "p50_ns", "p99_ns",    "max_ns"};
    const uint64_t numbers[] = {row->at_ns,  row->length_ns, row->sent,
                                row->echoed, row->lost,      row->connections,
                                row->p50_ns, row->p99_ns,    row->max_ns};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        output_put(output, "%s\"%s\":%" PRIu64, i == 0 ? "{" : ",", names[i], numbers[i]);
    }
    put_json_kinds(output, "errors", row->errors);
    output_put(output, "}");
}

/* Of a load without end the intervals grow: the width of the last one is told. */
static void put_json_timeline(struct output *output, const struct load_timeline *timeline)
{
    uint64_t width = load_timeline_width(timeline);

    output_put(output,
               ",\"timeline\":{\"asked_ns\":%" PRIu64 ",\"interval_ns\":%" PRIu64
               ",\"is_wider\":%s,\"intervals\":[",
               timeline->asked_ns, width, truth(width > timeline->asked_ns));
    for (uint32_t i = 0; i < timeline->count; i++) {
        output_put(output, i == 0 ? "" : ",");
        put_json_interval(output, &timeline->rows[i]);
    }
    output_put(output, "]}");
}

void load_report_json_put(struct output *output, const struct load_figures *figures)
{
    const struct load_config *load = &figures->plan->config->load;
    const struct load_result *result = figures->result;
    char text[NET_ADDRESS_TEXT];

    put_json_head(output, figures);
    output_put(output,
               ",\"connections\":%" PRIu64 ",\"size_bytes\":%" PRIu64 ",\"rate_per_s\":",
               load->connections, load->size);
    load_figures_put_rate(output, load);
    output_put(output,
               ",\"tick_ns\":%" PRIu64 ",\"pipeline\":%" PRIu64 ",\"threads\":%" PRIu64,
               load->tick_ns, load->pipeline, load->threads);
    output_put(output,
               ",\"measured_ns\":%" PRIu64 ",\"messages_sent\":%" PRIu64
               ",\"messages_echoed\":%" PRIu64 ",\"messages_measured\":%" PRIu64
               ",\"messages_lost\":%" PRIu64 ",\"messages_unfinished\":%" PRIu64
               ",\"messages_skipped\":%" PRIu64,
               figures->measured_ns, result->sent, result->echoed, result->measured,
               result->lost, result->unfinished, result->skipped);
    output_put(output,
               ",\"messages_per_s\":%" PRIu64 ",\"bytes_per_s\":%" PRIu64
               ",\"connects\":%" PRIu64 ",\"moved\":%" PRIu64
               ",\"cpu_ns_per_message\":%" PRIu64 ",\"outage_ns\":%" PRIu64,
               load_figures_per_second(figures, result->in_time),
               load_figures_per_second(figures, result->in_time * load->size),
               load_figures_connects(figures), result->moved, load_figures_cpu(figures),
               result->outage_ns);
    put_json_kinds(output, "errors", result->errors);
    put_json_kinds(output, "failures", result->failures);
    output_put(output, ",\"exit_code\":%u", figures->exit_code);
    put_json_verdict(output, figures);
    put_json_histogram(output, "resolve", figures->resolve);
    put_json_histogram(output, "connect", &result->connect);
    put_json_histogram(output, "first_byte", &result->first_byte);
    put_json_histogram(output, "reply", figures->reply);
    put_json_histogram(output, "reply_raw", load->rate > 0 ? &result->raw : figures->reply);
    output_put(output, ",\"addresses\":[");
    for (size_t i = 0; i < figures->plan->addresses->count; i++) {
        const struct load_address_result *a = &figures->result->addresses[i];

        output_put(
            output,
            "%s{\"address\":\"%s\",\"connects\":%" PRIu64 ",\"messages_echoed\":%" PRIu64
            ",\"errors\":%" PRIu64 ",\"p99_ns\":%" PRIu64 "}",
            i == 0 ? "" : ",", net_address_text(&figures->plan->addresses->list[i], text),
            a->connects, a->echoed, a->errors, histogram_percentile(&a->reply, 99000));
    }
    output_put(output, "]");
    if (figures->timeline != NULL) {
        put_json_timeline(output, figures->timeline);
    }
    output_put(output, "}\n");
}
