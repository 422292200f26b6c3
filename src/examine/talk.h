/* talk: one connection of an examination, step by step: bytes go out, and every byte that
 * comes back is compared.
 *
 * A step blocks until it is done, and never longer than a timeout without a byte or the
 * examination's deadline for the check. The first step that fails decides: the talk keeps
 * its outcome, and the steps after it do nothing. What is sent is made from its position
 * and kept nowhere; what comes back is read in blocks and dropped, and the reading ends
 * with the first byte that is wrong or that nobody sent. So a server may flood.
 *
 * The owner of a talk closes it; a talk that is all 0 but for `fd` = -1 is closed. */
#ifndef ECHOLAB_TALK_H
#define ECHOLAB_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/net.h"
#include "io/probe.h"

/* What all talks of a check have in common. */
struct talk_target {
    struct net_address address;
    int stop_fd;          /* readable: stop */
    uint64_t timeout_ns;  /* without progress */
    uint64_t deadline_ns; /* of all steps of the check */
};

/* What is sent: a text, or bytes that follow from a key and their position. */
#define TALK_LINE 64
extern const char talk_bytes[];  /* stands for: all values (payload) */
extern const char talk_lines[];  /* letters, in lines of TALK_LINE bytes */
extern const char talk_values[]; /* 0, 1, 2 ... */
struct talk_content {
    const char *text;
    uint64_t key;
};

struct talk {
    const struct talk_target *target;
    struct talk_content content;
    int fd;                     /* -1: closed */
    enum probe_outcome outcome; /* PROBE_ECHOED: all is right so far */
    int error;                  /* errno behind the outcome; 0: none */
    bool is_connected;
    bool is_over; /* the peer's end of stream was read */
    uint64_t sent, received;
    unsigned char expected,
        got; /* PROBE_DIFFERS, at `received`; nobody sent that byte if */
             /* `received` is `sent` */
};

/* Begin to connect; talk_connected() is next, once poll(2) says POLLOUT. Both steps at once
 * are talk_open(). Like all steps they return false when the talk has failed. */
bool talk_begin(struct talk *talk, const struct talk_target *target,
                struct talk_content content);
bool talk_connected(struct talk *talk);
bool talk_open(struct talk *talk, const struct talk_target *target,
               struct talk_content content);

/* Send, in writes of at most `piece` bytes, until `to` bytes were sent in all, and receive
 * meanwhile, until `back` bytes came back in all. */
bool talk_run(struct talk *talk, uint64_t to, uint64_t back, size_t piece);

/* Send the same way without reading, until `to` bytes were sent or the peer has taken none
 * for `patience_ns`, which is no failure. */
bool talk_push(struct talk *talk, uint64_t to, size_t piece, uint64_t patience_ns);

/* Send the next byte as an urgent one (MSG_OOB). */
bool talk_urgent(struct talk *talk);

/* One read of at most `most` bytes and one write of at most `piece`, whichever the events
 * of poll(2) allow. The end of the stream is no failure here. */
bool talk_ready(struct talk *talk, short events, uint64_t to, size_t piece, size_t most);

/* No byte may come for this time; the end of the stream may. */
bool talk_quiet(struct talk *talk, uint64_t ns);

/* End our direction: all that is missing must come, and then the end of the stream. */
bool talk_end(struct talk *talk);

/* Wait for this time, or until all that was sent came back. */
bool talk_pause(struct talk *talk, uint64_t ns);

/* Close the connection, or reset it; closed already is allowed. */
void talk_close(struct talk *talk);
void talk_reset(struct talk *talk);

/* What was seen, in words: "3 of 5 bytes came back, then the peer closed". Returns
 * `out`. */
#define TALK_SEEN_TEXT 160
char *talk_seen(const struct talk *talk, char out[TALK_SEEN_TEXT]);

#endif
