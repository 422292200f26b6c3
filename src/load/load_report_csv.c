#include "load/load_report_csv.h"

#include <inttypes.h>

#include "base/latency.h"

/* The order is part of the contract: docs/load.md names the columns. */
const char load_report_csv_header[] =
    "connections,size,rate,sent,echoed,lost,errors,measured_ns,messages_per_s,bytes_per_s,"
    "p50_ns,p90_ns,p99_ns,p99_9_ns,p99_99_ns,max_ns,mean_ns\n";

void load_report_csv_put(struct output *output, const struct load_figures *figures)
{
    const struct load_config *load = &figures->plan->config->load;
    const struct load_result *result = figures->result;

    output_put(output, "%" PRIu64 ",%" PRIu64 ",", load->connections, load->size);
    load_figures_put_rate(output, load);
    output_put(output, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, result->sent,
               result->echoed, result->lost, load_result_errors(result));
    output_put(output, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, figures->measured_ns,
               load_figures_per_second(figures, result->in_time),
               load_figures_per_second(figures, result->in_time * load->size));
    for (size_t i = 0; i < LATENCY_PERCENTILES; i++) {
        output_put(output, ",%" PRIu64,
                   histogram_percentile(figures->reply, latency_percentiles[i].per_100000));
    }
    output_put(output, ",%" PRIu64 ",%" PRIu64 "\n", figures->reply->max_ns,
               histogram_mean(figures->reply));
}
