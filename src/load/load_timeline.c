#include "load/load_timeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/events.h"
#include "base/latency.h"
#include "base/log.h"
#include "base/spinlock.h"
#include "client/exit_code.h"

/* How much wider the intervals of a load without end become, again and again. */
#define WIDER 4

/* ---- the intervals ------------------------------------------------------------------- */

/* Where an interval begins, and its width. Returns false if there is no such interval. */
static bool find(const struct load_timeline *timeline, uint32_t index, uint64_t *begin_ns,
                 uint64_t *width_ns)
{
    uint32_t rows = timeline->same_width;

    *begin_ns = 0;
    *width_ns = timeline->width_ns;
    while (index >= rows && rows > 0) {
        *begin_ns += rows * *width_ns;
        index -= rows;
        rows /= 2;
        *width_ns *= WIDER;
    }
    *begin_ns += index * *width_ns;
    return rows > 0;
}

uint64_t load_timeline_begin_of(const struct load_timeline *timeline, uint32_t index)
{
    uint64_t begin_ns, width_ns;

    return find(timeline, index, &begin_ns, &width_ns) ? begin_ns : UINT64_MAX;
}

uint64_t load_timeline_width(const struct load_timeline *timeline)
{
    uint64_t begin_ns, width_ns;

    find(timeline, timeline->count == 0 ? 0 : timeline->count - 1, &begin_ns, &width_ns);
    return width_ns;
}

struct load_timeline *load_timeline_new(const struct load_config *config)
{
    uint64_t asked = config->timeline_ns, whole = config->warmup_ns + config->duration_ns;
    uint64_t rows = (whole + asked - 1) / asked, factor = 1;
    bool has_end = config->duration_ns != 0;

    if (!has_end) {
        rows = LOAD_TIMELINE_MAX;
    } else if (rows > LOAD_TIMELINE_MAX) {
        factor = (rows + LOAD_TIMELINE_MAX - 1) / LOAD_TIMELINE_MAX;
        rows = (rows + factor - 1) / factor;
    }
    struct load_timeline *timeline =
        calloc(1, sizeof *timeline + rows * sizeof timeline->rows[0]);
    if (timeline != NULL) {
        timeline->asked_ns = asked;
        timeline->width_ns = asked * factor;
        timeline->same_width = (uint32_t)(has_end ? rows : rows / 2);
        timeline->threads = (unsigned)config->threads;
    }
    return timeline;
}

/* ---- a row is final ------------------------------------------------------------------ */

static void log_row(const struct load_interval *row)
{
    char at[LATENCY_TEXT], p50[LATENCY_TEXT], p99[LATENCY_TEXT], max[LATENCY_TEXT];
    char kinds[CLIENT_KINDS_TEXT] = "";
    const enum probe_outcome first = PROBE_ECHOED + 1;

    log_event(EVENT_INTERVAL, latency_text(at, row->at_ns), row->sent, row->echoed,
              row->lost, row->connections, latency_text(p50, row->p50_ns),
              latency_text(p99, row->p99_ns), latency_text(max, row->max_ns),
              client_kinds_text(kinds, first, row->errors), row->at_ns, row->p50_ns,
              row->p99_ns, row->max_ns);
}

static void close_first(struct load_timeline *timeline)
{
    uint32_t index = timeline->first_open++;
    struct load_interval *row = &timeline->rows[index];
    struct histogram *reply = &timeline->open[index % LOAD_TIMELINE_OPEN];

    row->p50_ns = histogram_percentile(reply, 50000);
    row->p99_ns = histogram_percentile(reply, 99000);
    memset(reply, 0, sizeof *reply);
    if (log_enabled(LOG_DEBUG)) {
        log_row(row);
    }
}

/* No thread will hand over more of the first one. */
static bool is_first_complete(const struct load_timeline *timeline)
{
    for (unsigned i = 0; i < timeline->threads; i++) {
        if (timeline->at[i] <= timeline->first_open) {
            return false;
        }
    }
    return timeline->first_open < timeline->count;
}

/* ---- one thread's interval is over --------------------------------------------------- */

/* The difference to what was there before, which is set to `now`. */
static uint64_t since(uint64_t *before, uint64_t now)
{
    uint64_t more = now - *before;

    *before = now;
    return more;
}

static void add_counts(struct load_interval *row, struct load_timeline_part *part,
                       const struct load_result *result)
{
    row->sent += since(&part->sent, result->sent);
    row->echoed += since(&part->echoed, result->echoed);
    row->lost += since(&part->lost, result->lost);
    for (int kind = 0; kind < PROBE_OUTCOMES; kind++) {
        row->errors[kind] += since(&part->errors[kind], result->errors[kind]);
    }
    if (part->reply.max_ns > row->max_ns) {
        row->max_ns = part->reply.max_ns;
    }
}

/* `passed_ns`: since the start, but not beyond the interval's end. */
static void hand_over(struct load_timeline_part *part, const struct load_result *result,
                      uint64_t passed_ns)
{
    struct load_timeline *timeline = part->timeline;
    uint32_t index = part->index;
    struct load_interval *row = &timeline->rows[index];

    row->at_ns = load_timeline_begin_of(timeline, index);
    if (passed_ns - row->at_ns > row->length_ns) {
        row->length_ns = passed_ns - row->at_ns;
    }
    row->connections += part->open;
    add_counts(row, part, result);
    while (index >= timeline->first_open + LOAD_TIMELINE_OPEN) { /* too late for others */
        close_first(timeline);
    }
    if (index >= timeline->first_open) {
        histogram_merge(&timeline->open[index % LOAD_TIMELINE_OPEN], &part->reply);
    }
    if (index >= timeline->count) {
        timeline->count = index + 1;
    }
}

/* Hand the interval over; the thread is in interval `next` then. */
static void move_on(struct load_timeline_part *part, const struct load_result *result,
                    uint64_t passed_ns, uint32_t next)
{
    struct load_timeline *timeline = part->timeline;

    spinlock_lock(&timeline->lock);
    hand_over(part, result, passed_ns);
    timeline->at[part->thread] = next;
    while (is_first_complete(timeline)) {
        close_first(timeline);
    }
    spinlock_unlock(&timeline->lock);
    part->index = next;
    memset(&part->reply, 0, sizeof part->reply);
}

/* ---- the public side ----------------------------------------------------------------- */

/* The end of the interval that the thread is in, by the clock. */
static uint64_t end_of(const struct load_timeline_part *part,
                       const struct load_result *result)
{
    uint64_t end = load_timeline_begin_of(part->timeline, part->index + 1);

    end = end == UINT64_MAX ? end : part->start_ns + end;
    return end < result->end_ns ? end : result->end_ns;
}

uint64_t load_timeline_go_on(struct load_timeline_part *part,
                             const struct load_result *result, uint64_t now_ns)
{
    uint64_t end;

    while ((end = end_of(part, result)) <= now_ns && end < result->end_ns) {
        move_on(part, result, end - part->start_ns, part->index + 1);
    }
    return end > now_ns ? end : UINT64_MAX;
}

void load_timeline_end(struct load_timeline_part *part, const struct load_result *result,
                       uint64_t now_ns)
{
    uint64_t passed_ns = 0;

    if (part->start_ns != 0) {
        load_timeline_go_on(part, result, now_ns);
        uint64_t end = end_of(part, result);
        passed_ns = (now_ns < end ? now_ns : end) - part->start_ns;
    }
    move_on(part, result, passed_ns, UINT32_MAX);
}

void load_timeline_finish(struct load_timeline *timeline)
{
    while (timeline->first_open < timeline->count) {
        close_first(timeline);
    }
}
