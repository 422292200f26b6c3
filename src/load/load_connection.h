/* load_connection: one connection of a load: connect, send, receive, fail, end.
 *
 *   WAITING ──► CONNECTING ──► OPEN ──► CLOSING ──► ENDED
 *      ▲            │            │
 *      └────────────┴────────────┘ failed, or reconnects
 *
 * Every byte that comes back is compared (load_stream.h). A connection that fails loses the
 * messages under way on it; they are counted by what happened, and it is opened again after
 * a pause. One that cannot be connected tries the name's next address at once, and pauses
 * when it tried all. Only faults are logged.
 *
 * One that its peer ends with nothing under way moves: no error, and opened again at once.
 * So the end must be seen before the next message is sent into it. A peer that sends it in
 * one segment with the last byte of an echo (server/echo.h) makes that possible: where the
 * poll set told of the end (POLLRDHUP), and where an echo came in pieces or late, so that
 * the end may have come since poll(), one more recv() looks for it. What was sent and did
 * not come back is lost, and never sent again.
 *
 * This module owns the sockets: it opens and closes them, puts them into the share's poll
 * set and takes them out. The data is the share's (load_share.h). The thread decides when a
 * message begins and when a connection is opened. */
#ifndef ECHOLAB_LOAD_CONNECTION_H
#define ECHOLAB_LOAD_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "load/load_share.h"

/* Connects under way at once: more would overflow the server's backlog (listen(2)), and a
 * SYN that was dropped comes again after a second only. */
#define LOAD_CONNECTING_MAX 128

/* Connect one that waits. */
void load_connection_open(struct load_share *share, struct load_connection *c);

/* Its descriptor has these events. Returns true when messages may begin on it: it is open,
 * and something came or it was just connected. Then *now_ns is a fresh reading of the
 * clock. */
bool load_connection_ready(struct load_share *share, struct load_connection *c,
                           short revents, uint64_t *now_ns);

/* Its deadline has passed. */
void load_connection_expired(struct load_share *share, struct load_connection *c);

/* Is it open, with fewer messages under way than the pipeline has? */
bool load_connection_has_room(const struct load_share *share,
                              const struct load_connection *c);

/* Begin a message on one with room; load_connection_send() sends it. */
void load_connection_begin(struct load_share *share, struct load_connection *c,
                           uint64_t due_ns, uint64_t now_ns);

/* Send what was begun. Returns false when the connection failed. */
bool load_connection_send(struct load_share *share, struct load_connection *c);

/* Look whether one that rests (load_share.h) ended, just before a message begins on it.
 * Returns whether it is open. */
bool load_connection_look(struct load_share *share, struct load_connection *c);

/* Look at some that rest, in turn, so that the end of one is noticed although no message is
 * due on it. */
void load_connection_look_around(struct load_share *share);

/* Nothing is under way, and nothing more will be: end our direction and see what the peer
 * still says. */
void load_connection_finish(struct load_share *share, struct load_connection *c);

/* End it at once, in any state but ENDED. */
void load_connection_end(struct load_share *share, struct load_connection *c);

#endif
