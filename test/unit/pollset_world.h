/* pollset_world: a poll set in a simulated world: poll(2), the clock and the notifications
 * of sigio.h are simulated (--wrap). A naive reference knows at any time what the set must
 * do; a wrong callback, or a missing one, breaks a promise (model.h).
 *
 * A test calls the set through this world, so that the reference sees each call. The
 * world's own choices come from model.h: random ones, or the fuzzer's. */
#ifndef ECHOLAB_POLLSET_WORLD_H
#define ECHOLAB_POLLSET_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/pollset.h"

#define WORLD_FDS_MAX 400

/* Settings that a test may change, and counters. */
extern struct world {
    struct pollset *set;
    uint64_t now_ns; /* polls and waits take time */
    bool is_random;  /* callbacks do random things */
    bool is_resting; /* nothing becomes ready by itself */
    bool can_arm;    /* initially true; while false, sigio_arm() fails */
    bool can_queue;  /* initially true; while false, every notification is an overflow */
    int poll_errno;  /* the next poll() fails with it */
    long event_calls, deadline_calls, timer_calls, poll_calls;
    long wait_calls;  /* of sigio_wait() */
    long empty_calls; /* of event_calls: nothing was ready */
    size_t looks;     /* descriptors polled, in all calls of poll() */
} world;

/* Make a world with an empty set, for descriptors 0 to `fd_count` - 1. */
void world_begin(int fd_count);
void world_end(void);

/* The functions of pollset.h; the reference notes each call. */
void world_add(int fd, short events);
void world_want(int fd, short events);
void world_remove(int fd);
void world_set_deadline(int fd, uint64_t when_ns);
void world_clear_deadline(int fd);
void world_set_timer(unsigned slot, uint64_t when_ns);
void world_clear_timer(unsigned slot);

/* The descriptor becomes ready for `events`. */
void world_become_ready(int fd, short events);

/* One random call for one random descriptor or timer. */
void world_random_step(void);

/* Make descriptor 0 a member with wanted events: it ends a wait that nothing else would
 * end. Call it before each round in which the set may have no other. */
void world_keep_going(void);

/* Drop one pending wakeup, if there is any, without an overflow: a fault that the reference
 * must find. */
void world_lose_wakeup(void);

/* Run one round of the set and check what must be true after it. */
void world_round(void);

/* The reference's state: is the descriptor ready for a wanted event and not called back
 * yet? Does it have a deadline? Is the timer set? */
bool world_is_waiting(int fd);
bool world_has_deadline(int fd);
bool world_has_timer(unsigned slot);

#endif
