/* preamble: the first bytes of a connection, before its echo begins, where the server
 * wants them: a PROXY header (proxy_header.h), then, if the client asks it, the question
 * for the server's identity (identity.h). Clients speak first: nothing is sent unasked.
 *
 *     header --- taken ---> question --- taken and answered, or it is none ---> the echo
 *        |                                                       (PREAMBLE_OVER)
 *        +--- PREAMBLE_WRONG: close
 *
 * Nothing is received before it is decided: bytes are peeked at (MSG_PEEK) and stay in the
 * kernel, so a preamble needs no memory, and what turns out to be none is echoed like all
 * else, exactly. A part of one would wake poll(2) again and again; so the caller does not
 * poll then, but looks again after preamble_wait_ns(): 4, 8, 16, 32, then each 64 ms. A
 * preamble that comes as a whole, as its sender has to send it, costs one look.
 *
 * A header has 3 s from the connection's beginning, as the specification wants it. The
 * question has 0.5 s from its first byte: a plain client whose message is a part of the
 * question gets its echo then. */
#ifndef ECHOLAB_PREAMBLE_H
#define ECHOLAB_PREAMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/proxy_header.h"

/* What is awaited of one connection. Small on purpose: a part of struct echo. */
struct preamble {
    uint32_t since_ms;  /* the low bits of the time from which its time counts */
    uint8_t looks;      /* at a part of it, at most PREAMBLE_LOOKS_MAX */
    bool awaits_header; /* a PROXY header is required */
    bool awaits_question;
};

enum preamble_step {
    PREAMBLE_NOTHING, /* no byte is there: wait for POLLIN */
    PREAMBLE_PART,    /* a part is there: do not poll, look again */
    PREAMBLE_HEADER,  /* a header was taken: look again at once */
    PREAMBLE_OVER,    /* the echo begins with what is there, or comes */
    PREAMBLE_WRONG,   /* the header is wrong */
    PREAMBLE_ENDED, /* the peer ended before a header (errno 0), or an error is in errno */
};

/* Look at what a connected, non-blocking socket has. `bytes` is room for PROXY_HEADER_MAX
 * of them; `answer` is the line that the question is answered with. PREAMBLE_HEADER and
 * PREAMBLE_WRONG fill *header; of PREAMBLE_PART header->wrong_at is the number of bytes. */
enum preamble_step preamble_look(struct preamble *preamble, int fd, unsigned char *bytes,
                                 const char *answer, struct proxy_header *header);

/* After PREAMBLE_NOTHING or PREAMBLE_PART: how many ns to wait for more. 0: its time is
 * up. `now_ns` is the present on the clock that since_ms is of. */
uint64_t preamble_wait_ns(struct preamble *preamble, enum preamble_step step,
                          uint64_t now_ns);

#endif
