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
 * poll then, but looks again after a while. A preamble that comes as a whole, as its sender
 * has to send it, costs one look. */
#ifndef ECHOLAB_PREAMBLE_H
#define ECHOLAB_PREAMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/proxy_header.h"

/* What is awaited of one connection. Small on purpose: a part of struct echo. */
struct preamble {
    uint32_t since_ms;  /* the caller's: the low bits of the time of its beginning */
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
 * of them, *length their number; `answer` is the line that the question is answered with.
 * PREAMBLE_HEADER and PREAMBLE_WRONG fill *header. */
enum preamble_step preamble_look(struct preamble *preamble, int fd, unsigned char *bytes,
                                 size_t *length, const char *answer,
                                 struct proxy_header *header);

#endif
