#include "examine/crowd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

struct crowd {
    const struct talk_target *target;
    size_t count;
    struct talk *talks;
    struct pollfd *pollfds; /* of each talk, and behind them the target's stop_fd */
    size_t begun;           /* of the talks; those behind them are nothing yet */
    size_t open;
    size_t echoed;
    struct talk *failed; /* the first one */
};

/* A talk is at its end, one way or the other. */
static void finish(struct crowd *crowd, size_t i)
{
    struct talk *talk = &crowd->talks[i];

    if (talk->outcome == PROBE_ECHOED) {
        crowd->echoed++;
    } else {
        *crowd->failed = *talk;
    }
    talk_close(talk);
    crowd->pollfds[i].fd = -1;
    crowd->open--;
}

static void begin_all(struct crowd *crowd, uint64_t key)
{
    while (crowd->begun < crowd->count && crowd->failed->outcome == PROBE_ECHOED) {
        size_t i = crowd->begun++;
        struct talk *talk = &crowd->talks[i];
        bool is_good =
            talk_begin(talk, crowd->target, (struct talk_content){talk_lines, key + i});

        crowd->open++;
        crowd->pollfds[i] = (struct pollfd){.fd = talk->fd, .events = POLLIN | POLLOUT};
        if (!is_good) {
            finish(crowd, i);
        }
    }
}

static void advance(struct crowd *crowd, size_t i)
{
    struct talk *talk = &crowd->talks[i];
    short events = crowd->pollfds[i].revents;

    bool is_good = talk->is_connected || talk_connected(talk);
    is_good = is_good && talk_ready(talk, events, TALK_LINE, TALK_LINE, TALK_LINE);
    if (is_good && talk->is_over && talk->received < TALK_LINE) {
        talk->outcome = PROBE_CLOSED_EARLY;
    }
    if (talk->outcome != PROBE_ECHOED || talk->received == TALK_LINE) {
        finish(crowd, i);
    } else if (talk->sent == TALK_LINE) {
        crowd->pollfds[i].events = POLLIN;
    }
}

/* One round of poll(2). Returns false when a signal came or the deadline has passed. */
static bool advance_ready(struct crowd *crowd)
{
    uint64_t now = clock_now_ns(), end = crowd->target->deadline_ns;
    struct timespec left = {0, 0};

    if (now >= end) {
        return false;
    }
    left.tv_sec = (time_t)((end - now) / CLOCK_S);
    left.tv_nsec = (long)((end - now) % CLOCK_S);
    if (ppoll(crowd->pollfds, crowd->count + 1, &left, NULL) > 0) {
        for (size_t i = 0; i < crowd->count; i++) {
            if (crowd->pollfds[i].fd != -1 && crowd->pollfds[i].revents != 0) {
                advance(crowd, i);
            }
        }
    }
    return crowd->pollfds[crowd->count].revents == 0;
}

/* Those that are left when the time is over, or one has failed. */
static void end_all(struct crowd *crowd)
{
    bool is_stopped = crowd->pollfds[crowd->count].revents != 0;

    for (size_t i = 0; i < crowd->begun; i++) {
        struct talk *talk = &crowd->talks[i];

        if (crowd->pollfds[i].fd != -1 && crowd->failed->outcome == PROBE_ECHOED) {
            talk->outcome = is_stopped ? PROBE_INTERRUPTED : PROBE_TIMED_OUT;
            *crowd->failed = *talk;
        }
        talk_close(talk);
    }
}

size_t crowd_run(const struct talk_target *target, uint64_t key, size_t count,
                 struct talk *failed)
{
    struct crowd crowd = {.target = target, .count = count, .failed = failed};

    *failed = (struct talk){.outcome = PROBE_UNREACHABLE, .error = ENOMEM, .fd = -1};
    crowd.talks = calloc(count, sizeof *crowd.talks);
    crowd.pollfds = calloc(count + 1, sizeof *crowd.pollfds);
    if (crowd.talks != NULL && crowd.pollfds != NULL) {
        failed->outcome = PROBE_ECHOED;
        crowd.pollfds[count] = (struct pollfd){.fd = target->stop_fd, .events = POLLIN};
        begin_all(&crowd, key);
        while (crowd.open > 0 && failed->outcome == PROBE_ECHOED && advance_ready(&crowd)) {
        }
        end_all(&crowd);
    }
    free(crowd.pollfds);
    free(crowd.talks);
    return crowd.echoed;
}
