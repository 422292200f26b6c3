/* load_share: one thread's share of a load: its connections and their common data.
 *
 * This module makes, finds and releases the data. The thread (load_thread.h) owns it, and
 * decides when a connection is opened and when a message begins. load_connection.h handles
 * the events of one connection. */
#ifndef ECHOLAB_LOAD_SHARE_H
#define ECHOLAB_LOAD_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/opening.h"
#include "io/pollset.h"
#include "load/load_plan.h"
#include "load/load_result.h"
#include "load/load_stream.h"

/* In an open loop most connections wait for their turn, and poll(2) costs time for each
 * that it looks at, once for each message or more. So those with nothing under way rest:
 * the poll set does not look at them. Their end is noticed before a message begins on them
 * (load_connection_look()), or by a look at some of them in turn
 * (load_connection_look_around()). While more messages than this are under way in the
 * share, connections do not begin to rest: what is slow had better stay in the poll set's
 * cold tier, from where it takes time to come to rest. */
#define LOAD_REST_MAX 64

/* The most bytes of one read and one write. */
#define LOAD_CHUNK (256 * 1024)

enum load_connection_state {
    LOAD_WAITING,    /* without a socket, until retry_ns */
    LOAD_CONNECTING, /* connect(2) is under way */
    LOAD_OPEN,       /* messages are sent and received */
    LOAD_CLOSING,    /* our end of stream is sent; nothing but the peer's may come */
    LOAD_ENDED,      /* not used any more */
};

struct load_connection {
    int fd;          /* -1: none */
    uint8_t state;   /* enum load_connection_state */
    uint8_t trouble; /* enum probe_outcome: how it failed, losing no message, without being
                      * connected since; PROBE_ECHOED: it did not */
    bool has_deadline, wants_out, is_tried;
    bool is_asking;   /* the answer to the question for the identity is not complete */
    bool has_echoed;  /* a message, since it was connected */
    uint16_t events;  /* that the poll set waits for; 0: none, so an open one rests */
    uint32_t address; /* index */
    uint64_t missed; /* addresses in a row that could not be connected to, a bit for each */
    uint64_t passed; /* of these, refused where it was connected before: no errors yet */
    struct load_stream stream;
    uint64_t since_ns; /* when the connect began */
    uint64_t retry_ns, backoff_ns;
};

struct load_share {
    /* Set by load_share_open(). */
    const struct load_plan *plan;
    const struct load_config *config; /* the plan's */
    struct load_connection *connections;
    struct load_flight *flights;    /* `pipeline` of each connection */
    struct opening_answer *answers; /* of each connection; NULL: no identity is asked for */
    uint32_t count;

    /* Set by the thread. */
    bool is_stopping; /* nothing more begins */
    struct pollset *set;
    struct histogram *interval; /* of the timeline's interval that runs; NULL: none */

    /* Changed by events of the connections. */
    struct load_result *result;
    uint64_t budget;                           /* messages that may still begin */
    uint32_t waiting, connecting, open, ended; /* connections in these states */
    uint32_t tried; /* that opened, or failed at all addresses, at least once */
    uint32_t next_address, next_source; /* to connect to, and from; modulo their number */
    uint64_t avoided;       /* addresses that ended or refused a connection ... */
    uint64_t avoided_until; /* ... are the last choice for so long */
    uint32_t look_next;     /* connection to be looked at next, if it rests */
    unsigned faults;        /* the first few are logged */
    uint32_t *by_fd;        /* connection's index + 1 */
    size_t by_fd_capacity;

    struct load_shape shape; /* set by load_share_open() */
    unsigned char in[LOAD_CHUNK], out[LOAD_CHUNK];
};

/* Fill in the zeroed share of thread `number`: all its connections wait, to be opened at
 * once. Returns false when there is no memory; load_share_close() must be called then,
 * too. */
bool load_share_open(struct load_share *share, const struct load_plan *plan,
                     unsigned number, struct load_result *result);

/* Release the memory of load_share_open(). No connection may still have a socket. */
void load_share_close(struct load_share *share);

/* Enter a connection under its descriptor, for load_share_find(). Returns false when there
 * is no memory. */
bool load_share_enter(struct load_share *share, const struct load_connection *connection);

/* The connection that was last entered with this descriptor. */
struct load_connection *load_share_find(const struct load_share *share, int fd);

/* Will there be more to send, once the schedule has started? */
bool load_share_has_more(const struct load_share *share);

/* The load is over: count the connections that are not connected although there was more to
 * send, as failures in the share's result. */
void load_share_count_failures(const struct load_share *share);

#endif
