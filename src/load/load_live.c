#include "load/load_live.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

void load_live_count(struct load_live *live, const struct load_result *result,
                     uint32_t open)
{
    atomic_store_explicit(&live->echoed, result->echoed, memory_order_relaxed);
    atomic_store_explicit(&live->errors, load_result_errors(result), memory_order_relaxed);
    atomic_store_explicit(&live->open, open, memory_order_relaxed);
}

/* Fill the histogram in and hand it over, if the thread owns it. */
static void hand_over(struct load_live *live, const struct load_result *result,
                      size_t address_count, enum load_live_state state)
{
    if (atomic_load(&live->state) != LOAD_LIVE_WANTED) {
        return;
    }
    memset(&live->reply, 0, sizeof live->reply);
    for (size_t i = 0; i < address_count; i++) {
        histogram_merge(&live->reply, &result->addresses[i].reply);
    }
    atomic_store(&live->state, state);
}

void load_live_fill(struct load_live *live, const struct load_result *result,
                    size_t address_count)
{
    hand_over(live, result, address_count, LOAD_LIVE_THERE);
}

void load_live_end(struct load_live *live, const struct load_result *result,
                   size_t address_count)
{
    int there = LOAD_LIVE_THERE;

    load_live_count(live, result, 0);
    if (!atomic_compare_exchange_strong(&live->state, &there, LOAD_LIVE_LAST)) {
        hand_over(live, result, address_count, LOAD_LIVE_LAST);
    }
}

static bool is_complete(struct load_live *live, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (atomic_load(&live[i].state) == LOAD_LIVE_WANTED) {
            return false;
        }
    }
    return true;
}

void load_live_collect(struct load_live *live, unsigned count, struct histogram *reply)
{
    if (!is_complete(live, count)) {
        return;
    }
    memset(reply, 0, sizeof *reply);
    for (unsigned i = 0; i < count; i++) {
        int there = LOAD_LIVE_THERE;

        histogram_merge(reply, &live[i].reply);
        atomic_compare_exchange_strong(&live[i].state, &there, LOAD_LIVE_WANTED);
    }
}
