#include "load/load_report_text.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/format.h"
#include "base/latency.h"

static void put_row(struct output *output, const char *name, const struct histogram *h)
{
    char text[LATENCY_TEXT];

    if (h->count == 0) {
        return;
    }
    output_put(output, "  %-11s", name);
    output_put(output, " %8s", latency_text(text, h->min_ns));
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        output_put(
            output, " %8s",
            latency_text(text, histogram_percentile(h, latency_percentiles[i].per_100000)));
    }
    output_put(output, " %8s", latency_text(text, h->max_ns));
    output_put(output, " %8s\n", latency_text(text, histogram_mean(h)));
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

                output_put(output, "  %7s to %-7s %12" PRIu64 " ",
                           from == 0 ? "0" : latency_text(from_text, from),
                           latency_text(to_text, to), count);
                for (unsigned n = 0; n < (length == 0 ? 1 : length); n++) {
                    output_put(output, length == 0 ? "." : "#");
                }
                output_put(output, "\n");
            }
            from = to;
        }
    }
}

static void put_errors(struct output *output, const struct load_result *result)
{
    char text[LATENCY_TEXT], kinds[CLIENT_KINDS_TEXT];
    const enum probe_outcome first = PROBE_ECHOED + 1;

    if (result->moved > 0) {
        output_put(output,
                   "  moved      %" PRIu64 " connection" FORMAT_S
                   " that the server ended between two messages, or refused while it "
                   "was replaced\n",
                   result->moved);
    }

    if (load_result_errors(result) > 0) {
        output_put(output, "  errors     %s\n",
                   client_kinds_text(kinds, first, result->errors));
        client_kinds_text(kinds, first, result->failures);
        output_put(output, "  failures   %s\n",
                   *kinds == 'n' ? "none: no message was lost" : kinds);
        output_put(output, "  outage     %s at most, from an error to the next echo\n",
                   latency_text(text, result->outage_ns));
    }
}

/* What was expected, or a line for each limit. */
static void put_verdict(struct output *output, const struct load_figures *figures)
{
    const struct client_config *config = figures->plan->config;
    const struct load_judgement *judgement = figures->judgement;
    char text[LOAD_JUDGE_SEEN], limit[LOAD_LIMIT_TEXT];

    if (config->expect != CLIENT_EXPECT_ANY) {
        output_put(
            output, "  verdict    %s\n",
            load_judge_seen(text, config, figures->result, load_figures_connects(figures)));
    }
    for (int i = 0; judgement->has_run && i < LOAD_LIMITS; i++) {
        if (config->load.limits[i] != CONFIG_NONE) {
            output_put(output, "  %-10s %s, allowed %s%s\n", load_limit_forms[i].name,
                       load_limit_text(text, i, judgement->seen[i]),
                       load_limit_text(limit, i, config->load.limits[i]),
                       judgement->is_broken[i] ? ": broken" : "");
        }
    }
}

static void put_addresses(struct output *output, const struct load_figures *figures)
{
    char text[NET_ADDRESS_TEXT], p99[LATENCY_TEXT];

    if (figures->plan->addresses->count < 2) {
        return;
    }
    output_put(output, "\n  %-32s %10s %12s %8s %8s\n", "address", "connects", "echoed",
               "errors", "p99");
    for (size_t i = 0; i < figures->plan->addresses->count; i++) {
        const struct load_address_result *a = &figures->result->addresses[i];

        output_put(output, "  %-32s %10" PRIu64 " %12" PRIu64 " %8" PRIu64 " %8s\n",
                   net_address_text(&figures->plan->addresses->list[i], text), a->connects,
                   a->echoed, a->errors,
                   latency_text(p99, histogram_percentile(&a->reply, 99000)));
    }
}

void load_report_text_put(struct output *output, const struct load_figures *figures)
{
    const struct load_config *load = &figures->plan->config->load;
    const struct load_result *result = figures->result;
    uint64_t rate = load_figures_per_second(figures, result->in_time);
    uint64_t bytes = load_figures_per_second(figures, result->in_time * load->size);
    char text[LATENCY_TEXT], rate_text[CONFIG_VALUE_TEXT];

    output_put(output,
               "echo-client: %s, %" PRIu64 " connection" FORMAT_S ", %" PRIu64
               " byte" FORMAT_S,
               load->target, load->connections, load->size);
    if (load->rate > 0) {
        output_put(output, ", open loop of %s%s", client_config_rate(load, rate_text),
                   load->rate_ns == CLOCK_S ? "/s" : "");
        if (load->tick_ns != LOAD_TICK_NS) {
            output_put(output, " in ticks of %s", latency_text(text, load->tick_ns));
        }
    } else {
        output_put(output, ", closed loop");
    }
    output_put(output, ", measured for %s\n\n", latency_text(text, figures->measured_ns));
    output_put(output,
               "  messages   %" PRIu64 " sent, %" PRIu64 " echoed%s, %" PRIu64 " lost",
               result->sent, result->echoed,
               figures->plan->config->verify ? " exactly" : "", result->lost);
    if (result->unfinished > 0) {
        output_put(output, ", %" PRIu64 " unfinished", result->unfinished);
    }
    if (result->skipped > 0) {
        output_put(output, ", %" PRIu64 " due but not sent", result->skipped);
    }
    output_put(output,
               "\n  rate       %" PRIu64 " messages/s, %" PRIu64 ".%02u MB/s each way\n",
               rate, bytes / 1000000, (unsigned)(bytes % 1000000 / 10000));
    output_put(output, "  cost       %s of this client's CPU per message\n",
               latency_text(text, load_figures_cpu(figures)));
    put_errors(output, result);
    put_verdict(output, figures);
    output_put(output, "\n  %-11s %8s", "", "min");
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        output_put(output, " %8s", latency_percentiles[i].name);
    }
    output_put(output, " %8s %8s\n", "max", "mean");
    put_row(output, "resolve", figures->resolve);
    put_row(output, "connect", &result->connect);
    put_row(output, "first byte", &result->first_byte);
    if (load->rate > 0) {
        put_row(output, "reply, raw", &result->raw);
    }
    put_row(output, load->rate > 0 ? "since due" : "reply", figures->reply);
    put_addresses(output, figures);
    if (figures->reply->count > 0) {
        output_put(output, "\n");
        put_bars(output, figures->reply, figures->width);
    }
}
