#include "load/load_thread.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/pollset.h"
#include "load/load_connection.h"
#include "load/load_open_loop.h"
#include "load/load_share.h"

/* How often to look around. */
#define TICK_NS (10 * CLOCK_MS)

/* From the last thread's being ready to the start: time for all to see it. */
#define START_NS (2 * CLOCK_MS)

/* Timers of the poll set. */
enum {
    TIMER_TICK, /* look around: start, end, pauses that are over, live figures */
};

struct load_thread {
    struct load_share share;
    struct load_open_loop open_loop;
    struct load_start *start;
    struct load_live *live;
    struct load_timeline_part timeline;
    unsigned number;
    uint32_t cursor;   /* the connection to be opened next, if it waits */
    uint64_t begin_ns; /* of opening connections */
    uint64_t start_ns; /* 0: the start is not known yet */
    bool is_ready;     /* the other threads know */
    bool is_cut;       /* end after this round */
};

/* ---- when messages begin ------------------------------------------------------------- */

static bool may_begin(const struct load_thread *thread)
{
    return load_share_has_more(&thread->share) && thread->start_ns != 0;
}

/* Open what waits and may be opened, from the one after the last on. */
static void open_some(struct load_thread *thread)
{
    struct load_share *share = &thread->share;

    for (uint32_t i = 0;
         i < share->count && share->waiting > 0 && share->connecting < LOAD_CONNECTING_MAX;
         i++) {
        struct load_connection *c = &share->connections[thread->cursor];

        thread->cursor = thread->cursor + 1 < share->count ? thread->cursor + 1 : 0;
        if (c->state == LOAD_WAITING && c->retry_ns <= pollset_now(share->set)) {
            load_connection_open(share, c);
        }
    }
}

/* Closed loop: as many as the pipeline has. */
static void fill_pipeline(struct load_thread *thread, struct load_connection *c,
                          uint64_t now)
{
    while (may_begin(thread) && load_connection_has_room(&thread->share, c)) {
        load_connection_begin(&thread->share, c, now, now);
    }
    load_connection_send(&thread->share, c);
}

/* Open loop: the connection waits for a message, if it has room. */
static void queue(struct load_thread *thread, const struct load_connection *c)
{
    if (load_connection_has_room(&thread->share, c)) {
        load_open_loop_add(&thread->open_loop, (uint32_t)(c - thread->share.connections));
    }
}

/* The connection that is free for the longest; NULL: none. A connection that failed
 * meanwhile is still in the ring, but has no room. */
static struct load_connection *next_free(struct load_thread *thread)
{
    uint32_t number;

    while (load_open_loop_take(&thread->open_loop, &number)) {
        struct load_connection *c = &thread->share.connections[number];

        if (load_connection_has_room(&thread->share, c) &&
            load_connection_look(&thread->share, c)) {
            return c;
        }
    }
    return NULL;
}

/* Open loop: send what is due, as far as connections are free. */
static void send_due(struct load_thread *thread)
{
    struct load_share *share = &thread->share;
    struct load_open_loop *loop = &thread->open_loop;
    uint64_t now = clock_now_ns(), due_ns;
    struct load_connection *c;

    if (loop->timer == -1) { /* no start yet */
        return;
    }
    while (may_begin(thread) && load_open_loop_is_due(loop, now, &due_ns) &&
           (c = next_free(thread)) != NULL) {
        load_open_loop_begun(loop);
        load_connection_begin(share, c, due_ns, now);
        if (load_connection_send(share, c)) {
            queue(thread, c);
        }
        now = clock_now_ns();
    }
    if (!load_open_loop_wait(loop, now)) {
        share->result->fatal = errno;
        thread->is_cut = true;
    }
}

/* Begin what may begin now that this one is free, and send it. `now` is a fresh reading of
 * the clock. */
static void go_on(struct load_thread *thread, struct load_connection *c, uint64_t now)
{
    if (thread->share.config->rate == 0) {
        fill_pipeline(thread, c, now);
    } else {
        queue(thread, c);
        send_due(thread);
    }
    if (c->state == LOAD_OPEN && !load_share_has_more(&thread->share) &&
        load_stream_under_way(&c->stream) == 0) {
        load_connection_finish(&thread->share, c);
    }
}

/* ---- start and stop ------------------------------------------------------------------ */

/* Nothing more begins; connections without a message under way end. */
static void stop(struct load_thread *thread)
{
    struct load_share *share = &thread->share;

    share->is_stopping = true;
    for (uint32_t i = 0; i < share->count; i++) {
        struct load_connection *c = &share->connections[i];

        if (c->state != LOAD_ENDED && c->state != LOAD_CLOSING &&
            load_stream_under_way(&c->stream) == 0) {
            load_connection_finish(share, c);
        }
    }
}

/* A signal: messages under way after this round are left unfinished. */
static void cut(struct load_thread *thread)
{
    stop(thread);
    thread->is_cut = true;
    thread->share.result->last_ns = pollset_now(thread->share.set);
}

/* Begin to follow the schedule. Returns false with errno set when there is no timer. */
static bool start_open_loop(struct load_thread *thread)
{
    const struct load_share *share = &thread->share;
    struct load_open_loop *loop = &thread->open_loop;
    const struct load_schedule schedule = {
        .rate = share->config->rate,
        .rate_ns = share->config->rate_ns,
        .threads = share->config->threads,
        .thread = thread->number,
        .start_ns = thread->start_ns,
        .end_ns = share->result->end_ns,
    };

    if (!load_open_loop_start(loop, &schedule, share->config->tick_ns) ||
        !pollset_add(share->set, loop->timer, POLLIN)) {
        return false;
    }
    pollset_pin(share->set, loop->timer);
    return true;
}

/* The start has come: begin the first messages. */
static void begin_messages(struct load_thread *thread, uint64_t start_ns)
{
    struct load_share *share = &thread->share;

    thread->start_ns = start_ns;
    load_result_start(share->result, share->config, start_ns);
    thread->timeline.start_ns = start_ns;
    if (share->config->rate != 0 && !start_open_loop(thread)) {
        share->result->fatal = errno;
        cut(thread);
        return;
    }
    for (uint32_t i = 0; i < share->count; i++) {
        if (share->connections[i].state == LOAD_OPEN) {
            go_on(thread, &share->connections[i], clock_now_ns());
        }
    }
}

/* The other threads need not wait for this one; the last one starts all. */
static void announce_ready(const struct load_plan *plan, struct load_start *start,
                           uint64_t now)
{
    if (atomic_fetch_add(&start->ready, 1) + 1 == plan->config->load.threads) {
        atomic_store(&start->at_ns, now + START_NS);
    }
}

/* All connections were tried, or had the time for it: start as soon as all threads did. */
static void get_ready(struct load_thread *thread, uint64_t now)
{
    const struct load_share *share = &thread->share;

    if (!thread->is_ready && (share->tried == share->count ||
                              now - thread->begin_ns >= share->plan->config->timeout_ns)) {
        thread->is_ready = true;
        announce_ready(share->plan, thread->start, now);
    }
    uint64_t at_ns = atomic_load(&thread->start->at_ns);
    if (at_ns != 0 && at_ns <= now) {
        begin_messages(thread, at_ns);
    }
}

/* The schedule's end, or that of the messages. */
static void stop_at_end(struct load_thread *thread, uint64_t now)
{
    const struct load_share *share = &thread->share;
    bool is_over = now >= share->result->end_ns;

    if (is_over) {
        send_due(thread); /* the last group, in an open loop */
        share->result->last_ns = now;
    }
    if (is_over || share->budget == 0) {
        stop(thread);
    }
}

/* ---- the loop ------------------------------------------------------------------------ */

/* Returns when the timeline's next interval begins. Connections that end since the load
 * does are none that are missing. */
static uint64_t follow_timeline(struct load_thread *thread, uint64_t now)
{
    const struct load_share *share = &thread->share;

    if (share->interval == NULL) {
        return UINT64_MAX;
    }
    if (!share->is_stopping) {
        thread->timeline.open = share->open;
    }
    return thread->start_ns == 0
               ? UINT64_MAX
               : load_timeline_go_on(&thread->timeline, share->result, now);
}

static void tick(struct load_thread *thread, uint64_t now)
{
    const struct load_share *share = &thread->share;
    uint64_t next = now + (thread->start_ns == 0 ? CLOCK_MS : TICK_NS);
    uint64_t interval_ns = follow_timeline(thread, now);

    load_live_fill(thread->live, share->result, share->plan->addresses->count);
    if (thread->start_ns == 0 && !share->is_stopping) {
        get_ready(thread, now);
    }
    if (thread->start_ns != 0 && !share->is_stopping) {
        stop_at_end(thread, now);
    }
    if (!share->is_stopping) {
        load_connection_look_around(&thread->share);
        open_some(thread);
    }
    if (thread->start_ns != 0 && !share->is_stopping && share->result->end_ns < next) {
        next = share->result->end_ns;
    }
    pollset_timer(share->set, TIMER_TICK, interval_ns < next ? interval_ns : next);
}

static void on_event(void *context, int fd, short revents)
{
    struct load_thread *thread = context;
    uint64_t now;

    if (fd == thread->share.plan->stop_fd) {
        cut(thread);
        return;
    }
    if (fd == thread->open_loop.timer) {
        send_due(thread);
        return;
    }
    struct load_connection *c = load_share_find(&thread->share, fd);
    bool was_connecting = c->state == LOAD_CONNECTING;
    if (load_connection_ready(&thread->share, c, revents, &now)) {
        go_on(thread, c, now);
    }
    if (was_connecting) { /* there is room for another connect */
        open_some(thread);
    }
}

static void on_deadline(void *context, int fd)
{
    struct load_thread *thread = context;

    load_connection_expired(&thread->share, load_share_find(&thread->share, fd));
}

/* There is one timer. */
static void on_timer(void *context, unsigned slot)
{
    struct load_thread *thread = context;

    (void)slot;
    tick(thread, pollset_now(thread->share.set));
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline, on_timer};

/* Messages that are still under way are unfinished. */
static void end_all(struct load_share *share)
{
    for (uint32_t i = 0; i < share->count; i++) {
        share->result->unfinished += load_stream_under_way(&share->connections[i].stream);
        if (share->connections[i].fd != -1) {
            load_connection_end(share, &share->connections[i]);
        }
    }
}

static void run(struct load_thread *thread)
{
    struct load_share *share = &thread->share;

    thread->begin_ns = clock_now_ns();
    tick(thread, thread->begin_ns);
    while (share->ended < share->count && !thread->is_cut) {
        if (!pollset_wait(share->set)) {
            share->result->fatal = errno;
            break;
        }
        load_live_count(thread->live, share->result, share->open);
        log_flush();
    }
    end_all(share);
    load_share_count_failures(share);
}

/* ---- before and after ---------------------------------------------------------------- */

static bool prepare(struct load_thread *thread, const struct load_plan *plan,
                    struct load_result *result)
{
    struct load_share *share = &thread->share;
    bool has_share = load_share_open(share, plan, thread->number, result);
    bool has_ring = load_open_loop_open(&thread->open_loop, share->count);

    thread->timeline.timeline = plan->timeline;
    thread->timeline.thread = thread->number;
    if (plan->timeline != NULL) {
        share->interval = &thread->timeline.reply;
    }
    share->set = pollset_new(&callbacks, thread);
    if (!has_share || !has_ring || share->set == NULL ||
        !pollset_add(share->set, plan->stop_fd, POLLIN)) {
        errno = ENOMEM;
        return false;
    }
    pollset_use_signals(share->set); /* without, it is slower only */
    pollset_pin(share->set, plan->stop_fd);
    return true;
}

static void release(struct load_thread *thread)
{
    pollset_free(thread->share.set);
    load_open_loop_close(&thread->open_loop);
    load_share_close(&thread->share);
    free(thread);
}

/* Figures that are known at the end only. */
static void conclude(struct load_thread *thread, uint64_t now)
{
    const struct load_share *share = &thread->share;

    if (thread->open_loop.timer != -1) {
        uint64_t late = load_open_loop_late(&thread->open_loop, now);

        share->result->skipped = late < share->budget ? late : share->budget;
    }
    load_result_end_outage(share->result, now); /* one that did not end before we did */
    if (share->interval != NULL) {
        follow_timeline(thread, now);
        load_timeline_end(&thread->timeline, share->result, now);
    }
}

void load_thread_run(const struct load_plan *plan, struct load_start *start,
                     unsigned number, struct load_result *result, struct load_live *live)
{
    struct load_thread *thread = calloc(1, sizeof *thread);

    if (thread == NULL) {
        result->fatal = ENOMEM;
        load_live_end(live, result, plan->addresses->count);
        announce_ready(plan, start, clock_now_ns());
        return;
    }
    thread->start = start;
    thread->live = live;
    thread->number = number;
    if (prepare(thread, plan, result)) {
        run(thread);
    } else {
        result->fatal = errno;
    }
    load_live_end(live, result, plan->addresses->count);
    if (!thread->is_ready) { /* it ended before it began */
        announce_ready(plan, start, clock_now_ns());
    }
    conclude(thread, clock_now_ns());
    release(thread);
}
