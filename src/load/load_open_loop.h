/* load_open_loop: when an open loop sends, and on which connection.
 *
 * Messages are due on a schedule, whatever the server does. Each goes to the connection
 * that is free for the longest; while none is free, messages wait, and their latency counts
 * from the time at which they were due. So a server that stalls is charged with all that
 * should have happened meanwhile ("coordinated omission", G. Tene, How NOT to Measure
 * Latency).
 *
 * Messages that are due within one tick go together, when the last of them is due; each
 * keeps its own due time. So none waits a whole tick for the others, and where fewer than
 * two are due in a tick none waits at all. What the kernel needs to wake the thread comes
 * on top: a sleep for each message costs more than the message itself.
 *
 * It owns the ring of free connections, the place in the schedule and the timer's
 * descriptor. Connections are numbers to it. Whether one has room, and what a message is,
 * is the caller's business; so is the poll set that the timer is in. */
#ifndef ECHOLAB_LOAD_OPEN_LOOP_H
#define ECHOLAB_LOAD_OPEN_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "load/load_schedule.h"

struct load_open_loop {
    /* The ring: a list in a circle, from the one that is free for the longest to the last,
     * and from there back to the first. Numbers are kept plus 1.
     *
     *   last ─► next[last - 1] = the first ─► ... ─► last
     */
    uint32_t *next; /* of each connection: the one behind it; 0: it is not in the ring */
    uint32_t last;  /* 0: the ring is empty */
    struct load_schedule schedule;
    uint64_t begun;    /* messages of the schedule that began */
    uint64_t group;    /* so many go together, at least 1 */
    uint64_t timer_ns; /* when it expires or expired; 0: never */
    int timer;         /* -1: not started */
};

/* Make an empty ring for the connections 0 to count - 1. Returns false when there is no
 * memory; load_open_loop_close() is right after that, too. */
bool load_open_loop_open(struct load_open_loop *loop, uint32_t count);

/* Release the ring and close the timer. Take that out of the poll set before. */
void load_open_loop_close(struct load_open_loop *loop);

/* Follow this schedule from now on: make the timer, a non-blocking descriptor that is
 * readable once the first message has to go. Returns false with errno set when it cannot be
 * made (timerfd_create(2)). */
bool load_open_loop_start(struct load_open_loop *loop, const struct load_schedule *schedule,
                          uint64_t tick_ns);

/* Make the timer wait until the next message has to go, if that is not now already: then
 * messages wait for connections, and the timer for nothing. It is not readable any more.
 * Call it whenever messages began, and when the timer was readable. Returns false with
 * errno set when the timer cannot be set (timerfd_settime(2)). */
bool load_open_loop_wait(struct load_open_loop *loop, uint64_t now_ns);

/* Has the next message to go, and when was it due? After the schedule's end none is due. */
bool load_open_loop_is_due(const struct load_open_loop *loop, uint64_t now_ns,
                           uint64_t *due_ns);

/* That message began: the one behind it is the next. */
void load_open_loop_begun(struct load_open_loop *loop);

/* How many messages had to go before `now_ns`, but did not begin. */
uint64_t load_open_loop_late(const struct load_open_loop *loop, uint64_t now_ns);

/* A connection is free: put it at the end of the ring, unless it is in there already. */
void load_open_loop_add(struct load_open_loop *loop, uint32_t connection);

/* Take the connection that is free for the longest out of the ring. Returns false when
 * none is free. */
bool load_open_loop_take(struct load_open_loop *loop, uint32_t *connection);

#endif
