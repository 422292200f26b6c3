#include "load/load_open_loop.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

bool load_open_loop_open(struct load_open_loop *loop, uint32_t count)
{
    *loop = (struct load_open_loop){.timer = -1};
    loop->next = calloc(count, sizeof *loop->next);
    return loop->next != NULL;
}

void load_open_loop_close(struct load_open_loop *loop)
{
    free(loop->next);
    if (loop->timer != -1) {
        close(loop->timer);
    }
}

/* How many messages go together. */
static uint64_t group_of(const struct load_schedule *schedule, uint64_t tick_ns)
{
    uint64_t interval = load_schedule_interval(schedule);
    uint64_t group = interval == 0 ? tick_ns : tick_ns / interval;

    return group == 0 ? 1 : group;
}

/* When the next message goes: when the last of its group is due. At the schedule's end all
 * that are left go. */
static uint64_t next_ns(const struct load_open_loop *loop)
{
    uint64_t last = loop->begun - loop->begun % loop->group + loop->group - 1;
    uint64_t due_ns = load_schedule_due(&loop->schedule, last);

    return due_ns < loop->schedule.end_ns ? due_ns : loop->schedule.end_ns;
}

/* Make the timer expire at `when_ns`; 0: never. */
static bool set_timer(struct load_open_loop *loop, uint64_t when_ns)
{
    const struct itimerspec when = {
        .it_value = {(time_t)(when_ns / CLOCK_S), (long)(when_ns % CLOCK_S)}};

    loop->timer_ns = when_ns;
    return timerfd_settime(loop->timer, TFD_TIMER_ABSTIME, &when, NULL) == 0;
}

bool load_open_loop_start(struct load_open_loop *loop, const struct load_schedule *schedule,
                          uint64_t tick_ns)
{
    loop->schedule = *schedule;
    loop->group = group_of(schedule, tick_ns);
    loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return loop->timer != -1 && set_timer(loop, next_ns(loop));
}

bool load_open_loop_wait(struct load_open_loop *loop, uint64_t now_ns)
{
    uint64_t when_ns = next_ns(loop);
    uint64_t due_ns = load_schedule_due(&loop->schedule, loop->begun);

    if (loop->timer_ns > now_ns) {
        return true; /* it expires before that, or then */
    }
    if (when_ns <= now_ns || due_ns >= loop->schedule.end_ns) {
        when_ns = 0;
    }
    return when_ns == loop->timer_ns || set_timer(loop, when_ns);
}

bool load_open_loop_is_due(const struct load_open_loop *loop, uint64_t now_ns,
                           uint64_t *due_ns)
{
    *due_ns = load_schedule_due(&loop->schedule, loop->begun);
    return *due_ns < loop->schedule.end_ns && next_ns(loop) <= now_ns;
}

void load_open_loop_begun(struct load_open_loop *loop)
{
    loop->begun++;
}

uint64_t load_open_loop_late(const struct load_open_loop *loop, uint64_t now_ns)
{
    uint64_t due = load_schedule_count(&loop->schedule, now_ns);

    if (now_ns < loop->schedule.end_ns) {
        due -= due % loop->group; /* the others wait for their group */
    }
    return due > loop->begun ? due - loop->begun : 0;
}

void load_open_loop_add(struct load_open_loop *loop, uint32_t connection)
{
    uint32_t *next = loop->next, one = connection + 1;

    if (next[connection] != 0) {
        return;
    }
    if (loop->last == 0) {
        next[connection] = one;
    } else {
        next[connection] = next[loop->last - 1];
        next[loop->last - 1] = one;
    }
    loop->last = one;
}

bool load_open_loop_take(struct load_open_loop *loop, uint32_t *connection)
{
    uint32_t *next = loop->next;

    if (loop->last == 0) {
        return false;
    }
    uint32_t first = next[loop->last - 1];
    if (first == loop->last) {
        loop->last = 0;
    } else {
        next[loop->last - 1] = next[first - 1];
    }
    next[first - 1] = 0;
    *connection = first - 1;
    return true;
}
