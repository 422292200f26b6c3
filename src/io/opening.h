/* opening: what a client says before its messages, if it is asked to: a PROXY header
 * (proxy_header.h) that names the ends of its own connection, and the question for the
 * server's identity (identity.h), whose answer comes before all echoes. A server that does
 * not know the question echoes it.
 *
 * Nothing here waits or logs. */
#ifndef ECHOLAB_OPENING_H
#define ECHOLAB_OPENING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/identity.h"

/* Send the opening on a socket that was just connected: a header of this version (0: none),
 * and the question if `asks`. It goes as a whole, as the protocol wants it. Returns 0 or an
 * errno. */
int opening_send(int fd, int proxy_version, bool asks);

/* An answer, or what is there of it. At first all is 0. */
struct opening_answer {
    uint8_t length;
    char text[IDENTITY_ANSWER_TEXT]; /* once it is told: without newline, to be escaped */
};

/* Text of an answer that is none. */
#define OPENING_UNTOLD "?"

enum opening_verdict {
    OPENING_PART,  /* more bytes are needed */
    OPENING_TOLD,  /* the answer is complete; OPENING_UNTOLD if the question came back */
    OPENING_WRONG, /* it is neither */
};

/* Take received bytes, `*length` of them. Sets *length to how many are the answer's. */
enum opening_verdict opening_take(struct opening_answer *answer, const unsigned char *bytes,
                                  size_t *length);

#endif
