/* echo: one session of the echo service (RFC 862): it sends back every byte that the peer
 * sends, in order. When the peer ends its direction, the session sends the rest and ends
 * ours.
 *
 * The caller notifies a session of readiness, and the session answers which events it wants
 * next, or that it is over. A session knows neither the poll set nor the log, and never
 * opens or closes a descriptor.
 *
 *   HOLDING
 *     |  |
 *     OPEN --- echo_end(), bytes pending ---> FLUSHING --- all taken by send() ---+
 *       |                                                                        |
 *       +--- peer's EOF read, or echo_end() with nothing pending ----------------+
 *                                                                                v
 *     ECHO_OVER <--- peer's EOF read and everything acknowledged --------- LINGERING
 *
 * An error leads from every state to ECHO_OVER. Where the server awaits a preamble, the
 * session is not OPEN yet, and its owner reads it (preamble.h): echo_await(), echo_init().
 *
 * Before an end that is ours (buffer->holds_back) a session holds the last byte of all that
 * it received back. A peer that waits for its whole echo before it sends the next message
 * sends nothing then, so when nothing came for a while this is where a message ends:
 * echo_end() sends that byte and our end of stream in one segment, the peer sees both at
 * once, and no message crosses our end of stream. A peer that does not wait sends more, and
 * its bytes go on as they come, one byte late. Where there is no memory for a pending block
 * nothing is held back.
 *
 * Bytes are received into one buffer that all sessions of a thread share, and sent from
 * there at once. Only bytes that send() did not take are copied to a pending block of the
 * session, at most one read's worth, and reading stops until they are sent: an idle session
 * owns no buffer. All blocks together are limited (pending.h). When there is no room for
 * another block, a session holds nothing: it peeks at the bytes in the kernel's receive
 * buffer (MSG_PEEK), sends them, and removes only those that send() took. The rest stays
 * unread in the kernel, whose window then stops the peer. That costs one more system
 * call. */
#ifndef ECHOLAB_ECHO_H
#define ECHOLAB_ECHO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/pending.h"
#include "server/preamble.h"

/* The most bytes of one read, and so of a pending block. */
#define ECHO_CHUNK (256 * 1024)

/* The most bytes of one read when the budget is used up, so that many busy connections do
 * not make a round so long that the others wait. */
#define ECHO_SMALL_CHUNK (16 * 1024)

/* echo_ready()'s answer when the session is over: close the descriptor. */
#define ECHO_OVER (-1)

enum echo_state {
    ECHO_OPEN,      /* both directions open: received bytes are echoed */
    ECHO_HOLDING,   /* the same, and the last of them is held back */
    ECHO_FLUSHING,  /* nothing more is read; pending bytes are still sent */
    ECHO_LINGERING, /* our end of stream is sent; the peer's, or acknowledgements, are
                       missing */
    ECHO_PREAMBLE,  /* nothing is read yet: the preamble comes first */
};

struct echo_pending;

/* The most answers of 0 (echo_ready()) that a session counts. */
#define ECHO_END_LOOKS_MAX 7

/* When a blocked peer last took bytes. */
struct echo_progress {
    uint32_t mark;    /* the low bits of bytes taken by send() plus acknowledged */
    uint32_t time_ms; /* the low bits of the time; 0: not checked yet */
};

/* Small on purpose: there is one for every descriptor in use. */
struct echo {
    union {
        struct echo_pending *pending;   /* bytes that send() did not take yet; NULL: none */
        unsigned char held_back;        /* if ECHO_HOLDING */
        struct echo_progress of_unread; /* if is_unread */
        struct preamble preamble;       /* in ECHO_PREAMBLE; then is_unread is set, too */
    };
    /* Bytes taken by send(): the kernel delivers them. 128 TiB are enough for one
     * connection. */
    __extension__ uint64_t echoed_bytes : 47;
    unsigned error : 8;          /* errno that ended the session; 0: none */
    unsigned state : 3;          /* enum echo_state */
    unsigned has_peer_eof : 1;   /* the peer ended its direction */
    unsigned has_late_bytes : 1; /* it sent bytes after our end of stream: not echoed */
    unsigned end_looks : 3;      /* answers of 0 so far, at most ECHO_END_LOOKS_MAX */
    unsigned is_unread : 1;      /* unsent bytes are in the kernel, not in a block */
};
_Static_assert(sizeof(struct echo) <= 16, "a part of the 49 bytes of an idle connection");

/* Shared by all sessions of a thread: the memory for pending bytes and the buffer. */
struct echo_receive_buffer {
    struct pending_share pending;
    size_t budget;      /* bytes of this round for whole chunks; set by the caller */
    bool holds_back;    /* our end is near; set by the caller */
    size_t length;      /* bytes that the last echo_ready() received for echoing */
    size_t late;        /* or behind our end of stream: they are not echoed */
    bool may_have_more; /* they filled the buffer: the kernel may have more */
    unsigned char bytes[ECHO_CHUNK];
};

/* Begin a session on a connected, non-blocking socket. All fields but `state` become 0. */
void echo_init(struct echo *echo);

/* Make a session of which a preamble is awaited; echo_init() begins it. Until then only
 * the functions that look at a session or free it may be called. */
void echo_await(struct echo *echo, struct preamble preamble);

/* Advance the session by at most one read and one send(). `revents` are those of poll(2);
 * POLLIN may also be tried without poll(). 0 only checks whether the session is over: call
 * it so from time to time after an answer of 0.
 *
 * Returns the events to wait for (POLLIN or POLLOUT); 0: none, only acknowledgements are
 * missing, which poll() cannot see; ECHO_OVER: close the descriptor, echo->error is the
 * reason. buffer->length is the number of bytes received; they are echoed or held, and at
 * ECHO_OVER the rest of them is lost. */
int echo_ready(struct echo *echo, int fd, short revents,
               struct echo_receive_buffer *buffer);

/* End our direction: pending bytes are still sent, nothing more is echoed. Returns as
 * echo_ready(). A byte that is held back and that send() does not take yet puts the end
 * off: the session is open still. */
int echo_end(struct echo *echo, int fd);

/* Does the session echo what it receives? */
static inline bool echo_is_open(const struct echo *echo)
{
    return echo->state <= ECHO_HOLDING;
}

/* Does the session wait for its peer to take bytes? */
bool echo_is_blocked(const struct echo *echo);

/* Bytes that were received and that send() did not take yet: those in its block, or the one
 * that is held back. */
size_t echo_held_bytes(const struct echo *echo);

/* Bytes of a blocked session that send() did not take yet: in its block, or unread. */
size_t echo_pending_bytes(const struct echo *echo, int fd);

/* The time since which the peer of a blocked session has taken nothing. Acknowledgements
 * count as progress, since poll() reports room only when much of the kernel's buffer is
 * free. `now_ns` is the present on the caller's clock. Returns now_ns if there was progress
 * since the last call or the session is not blocked; otherwise the time of an earlier call,
 * up to 1 ms late. Call it more often than once in 49 days. */
uint64_t echo_stalled_since(struct echo *echo, int fd, uint64_t now_ns);

/* Release the session's memory, in any state. */
void echo_free(struct echo *echo, struct echo_receive_buffer *buffer);

#endif
