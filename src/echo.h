/* echo: one session of the echo service (RFC 862): what a peer sends goes back to it, every
 * byte, in order, until the peer ends its direction; then the rest goes out and we end
 * ours.
 *
 * A session is told readiness and answers which events it wants next, or that it is over.
 * It knows neither the poll set nor the log, and never opens or closes a descriptor.
 *
 *     OPEN --- echo_end(), bytes pending ---> FLUSHING --- all taken by send() ---+
 *       |                                                                        |
 *       +--- peer's EOF read, or echo_end() with nothing pending ----------------+
 *                                                                                v
 *     ECHO_OVER <--- peer's EOF read and everything acknowledged --------- LINGERING
 *
 * An error leads from every state to ECHO_OVER.
 *
 * Bytes are received into one buffer that all sessions share, and sent from there at once.
 * Only what send() did not take is copied to a pending buffer of the session, at most one
 * read's worth, and reading stops until that is gone: an idle session owns no buffer, and a
 * peer that never reads owns one. */
#ifndef ECHOLAB_ECHO_H
#define ECHOLAB_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of one read, and so of a pending buffer. */
#define ECHO_CHUNK (256 * 1024)

/* echo_ready()'s answer when the session is over: close the descriptor. */
#define ECHO_OVER (-1)

enum echo_state {
    ECHO_OPEN,      /* both directions open: what comes in goes out */
    ECHO_FLUSHING,  /* no more is read; what is pending still goes out */
    ECHO_LINGERING, /* our end of stream is sent; the peer's, or acknowledgements, are
                       missing */
};

struct echo_pending;

/* Small on purpose, 20 bytes: there is one for every descriptor in use. */
struct echo {
    struct echo_pending *pending; /* what send() did not take yet; NULL: nothing */
    /* Taken by send(): the kernel delivers them. 256 TiB are enough for one connection. */
    __extension__ uint64_t echoed_bytes : 48;
    unsigned error : 8;          /* errno that ended the session; 0: none */
    unsigned state : 2;          /* enum echo_state */
    unsigned has_peer_eof : 1;   /* the peer ended its direction */
    unsigned has_late_bytes : 1; /* it sent some after our end of stream: not echoed */
    unsigned is_quiet : 1;       /* the caller's; not used here */
    unsigned checks : 3;         /* the caller's; not used here */
    uint32_t id;                 /* the caller's; not used here */
} __attribute__((packed, aligned(4)));

/* The buffer that all sessions of a thread share. */
struct echo_scratch {
    size_t length; /* of what the last echo_ready() received for echoing */
    unsigned char bytes[ECHO_CHUNK];
};

/* Begin a session on a non-blocking connected socket. All fields but `state` are 0. */
void echo_init(struct echo *echo);

/* Go on, at most one recv() and one send() far. `revents` as poll(2) gave them; POLLIN may
 * be tried without asking poll() first. With 0 only the end is looked at: call it so, from
 * time to time, after an answer of 0.
 *
 * Returns the events to wait for (POLLIN or POLLOUT); 0: none, only acknowledgements are
 * missing, which poll() cannot see; ECHO_OVER: close it, echo->error says why.
 * scratch->length tells what was received: bytes that are echoed or pending. */
int echo_ready(struct echo *echo, int fd, short revents, struct echo_scratch *scratch);

/* End our direction: what is pending still goes out, nothing more is echoed. Returns like
 * echo_ready(). */
int echo_end(struct echo *echo, int fd);

/* Bytes received but not yet taken by send(). */
size_t echo_pending_bytes(const struct echo *echo);

/* Of a session with bytes pending: since when has the peer taken nothing? Acknowledgements
 * count, for poll() reports room only when much of the kernel's buffer is free. `now_ns` is
 * the present on the caller's clock, and the answer a time of that clock at which it was
 * called before; now_ns if there was progress since the last call, or nothing is pending.
 */
uint64_t echo_stalled_since(struct echo *echo, int fd, uint64_t now_ns);

/* Release what the session holds, in any state. */
void echo_free(struct echo *echo);

#endif
