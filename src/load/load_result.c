#include "load/load_result.h"

#include <stdlib.h>

struct load_result *load_result_new(size_t address_count)
{
    return calloc(1, sizeof(struct load_result) +
                         address_count * sizeof(struct load_address_result));
}

void load_result_start(struct load_result *result, const struct load_config *config,
                       uint64_t start_ns)
{
    result->measure_ns = start_ns + config->warmup_ns;
    result->end_ns =
        config->duration_ns == 0 ? UINT64_MAX : result->measure_ns + config->duration_ns;
}

bool load_result_echoed(struct load_result *result, size_t address,
                        const struct load_flight *flight, uint64_t now_ns)
{
    result->echoed++;
    result->last_ns = now_ns;
    result->addresses[address].echoed++;
    load_result_end_outage(result, now_ns);
    if (now_ns < result->measure_ns) {
        return false;
    }
    result->measured++;
    result->in_time += now_ns < result->end_ns ? 1 : 0;
    histogram_record(&result->addresses[address].reply, now_ns - flight->due_ns);
    histogram_record(&result->first_byte, flight->first_ns - flight->sent_ns);
    return true;
}

void load_result_failed(struct load_result *result, size_t address,
                        enum probe_outcome outcome, uint64_t lost, uint64_t now_ns)
{
    uint64_t errors = lost > 0 ? lost : 1;

    result->last_ns = now_ns;
    result->lost += lost;
    result->errors[outcome] += errors;
    result->failures[outcome] += outcome == PROBE_DIFFERS ? errors : lost;
    result->addresses[address].errors += errors;
    if (result->outage_since_ns == 0) {
        result->outage_since_ns = now_ns;
    }
}

void load_result_end_outage(struct load_result *result, uint64_t now_ns)
{
    if (result->outage_since_ns != 0) {
        uint64_t outage_ns = now_ns - result->outage_since_ns;

        result->outage_ns = outage_ns > result->outage_ns ? outage_ns : result->outage_ns;
        result->outage_since_ns = 0;
    }
}

uint64_t load_result_connects(const struct load_result *result, size_t address_count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < address_count; i++) {
        sum += result->addresses[i].connects;
    }
    return sum;
}

uint64_t load_result_errors(const struct load_result *result)
{
    uint64_t sum = 0;

    for (int kind = PROBE_ECHOED + 1; kind < PROBE_OUTCOMES; kind++) {
        sum += result->errors[kind];
    }
    return sum;
}

void load_result_merge(struct load_result *all, const struct load_result *one,
                       size_t address_count)
{
    all->sent += one->sent;
    all->echoed += one->echoed;
    all->measured += one->measured;
    all->in_time += one->in_time;
    all->last_ns = one->last_ns > all->last_ns ? one->last_ns : all->last_ns;
    all->unfinished += one->unfinished;
    all->skipped += one->skipped;
    all->lost += one->lost;
    all->moved += one->moved;
    all->wants += one->wants;
    all->outage_ns = one->outage_ns > all->outage_ns ? one->outage_ns : all->outage_ns;
    all->fatal = one->fatal != 0 ? one->fatal : all->fatal;
    for (int kind = 0; kind < PROBE_OUTCOMES; kind++) {
        all->errors[kind] += one->errors[kind];
        all->failures[kind] += one->failures[kind];
        all->unconnected[kind] += one->unconnected[kind];
    }
    histogram_merge(&all->connect, &one->connect);
    histogram_merge(&all->first_byte, &one->first_byte);
    histogram_merge(&all->raw, &one->raw);
    for (size_t i = 0; i < address_count; i++) {
        all->addresses[i].connects += one->addresses[i].connects;
        all->addresses[i].echoed += one->addresses[i].echoed;
        all->addresses[i].errors += one->addresses[i].errors;
        histogram_merge(&all->addresses[i].reply, &one->addresses[i].reply);
    }
}
