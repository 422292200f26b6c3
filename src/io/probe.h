/* probe: one exchange with an echo server: connect, send a message, receive, compare. It
 * records how the exchange ended and how long each step took.
 *
 * The caller notifies a probe of readiness, and the probe answers whether it is finished.
 * It knows neither the poll set nor the log, and never opens or closes a descriptor: the
 * caller makes the socket with net_connect() and closes it. probe_wait() is the loop for a
 * caller that has one probe. */
#ifndef ECHOLAB_PROBE_H
#define ECHOLAB_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How an exchange ended. */
enum probe_outcome {
    PROBE_ECHOED,       /* every byte came back (or, without verifying, a whole reply) */
    PROBE_NOT_RESOLVED, /* the name has no address */
    PROBE_REFUSED,      /* no server listens at the address */
    PROBE_UNREACHABLE,  /* no route, or an error of the network */
    PROBE_TIMED_OUT,    /* resolving, connecting or the whole reply took too long */
    PROBE_DIFFERS,      /* the reply differs from the message, or is longer */
    PROBE_CLOSED_EARLY, /* the peer ended the connection before the whole reply */
    PROBE_RESET,        /* the peer reset the connection */
    PROBE_INTERRUPTED,  /* a signal stopped us */
    PROBE_OUTCOMES      /* the number of outcomes */
};

/* The names of the outcomes: "echoed", "not resolved", ..., NULL at the end. */
extern const char *const probe_outcome_names[PROBE_OUTCOMES + 1];

enum probe_state {
    PROBE_CONNECTING, /* connect(2) is under way */
    PROBE_EXCHANGING, /* sending and receiving, both at once */
    PROBE_FINISHED,   /* outcome and times are valid */
};

/* The most bytes of a reply that are kept, to be shown. */
#define PROBE_REPLY_MAX 512

struct probe {
    enum probe_state state;
    enum probe_outcome outcome; /* once finished */
    int error;                  /* errno behind the outcome; 0: none */

    const unsigned char *message;
    size_t length;
    bool verify; /* compare every byte; otherwise the first newline ends the reply */
    uint64_t timeout_ns;

    size_t sent;
    size_t received;
    size_t differs_at; /* PROBE_DIFFERS: offset of the first wrong byte; the length */
                       /* of the message if the reply is longer */
    unsigned char expected, got;          /* the bytes there */
    unsigned char reply[PROBE_REPLY_MAX]; /* the reply's first bytes */
    size_t reply_length;

    uint64_t start_ns;     /* probe_start() */
    uint64_t connected_ns; /* times of clock_now_ns(); 0: not reached */
    uint64_t first_byte_ns;
    uint64_t end_ns;
    uint64_t deadline_ns; /* of the present step: connecting, then the whole reply */
};

/* Begin an exchange on a socket from net_connect(). `message` (length > 0) must stay valid
 * until the end. `timeout_ns` limits connecting, and then the reply. */
void probe_start(struct probe *probe, const void *message, size_t length, bool verify,
                 uint64_t timeout_ns);

/* The events to wait for: POLLIN, POLLOUT or both. */
short probe_wants(const struct probe *probe);

/* Advance the probe by `revents` of poll(2); 0 only checks the deadline. Returns true once
 * the probe is finished. */
bool probe_ready(struct probe *probe, int fd, short revents);

/* Finish a probe with an outcome that the caller found. probe_outcome_of() gives the
 * outcome for an errno of connect(2), recv(2) or send(2). */
void probe_fail(struct probe *probe, enum probe_outcome outcome, int error);
enum probe_outcome probe_outcome_of(int error);

/* Does an errno tell that this side lacks something (a port, a descriptor, memory), and
 * nothing of the network or the peer? */
bool probe_is_own_want(int error);

/* Run the probe to its end. Its outcome is PROBE_INTERRUPTED as soon as `stop_fd` is
 * readable. */
void probe_wait(struct probe *probe, int fd, int stop_fd);

#endif
