/* identity: the question that a client may begin a connection with, and its answer: which
 * server is this? Everything behind the question is echoed; the answer stands before it.
 *
 *     client: \5echolab: who?\r\n       16 bytes, the first ones of the connection
 *     server: web-1 0.1.0 3\n           name, version, number of the worker
 *
 * The question begins with ENQ, the character for "who are you" (RFC 20, 5.2), with which
 * no text begins. A server that does not know the question echoes it, so a client can tell:
 * no name begins with ENQ. */
#ifndef ECHOLAB_IDENTITY_H
#define ECHOLAB_IDENTITY_H

#define IDENTITY_QUESTION        "\5echolab: who?\r\n"
#define IDENTITY_QUESTION_LENGTH 16
_Static_assert(sizeof IDENTITY_QUESTION == IDENTITY_QUESTION_LENGTH + 1, "without its NUL");

/* The longest name, and its NUL: a longer one of a host (gethostname(2)) is cut. */
#define IDENTITY_NAME_TEXT 64

/* The longest answer, and its NUL. */
#define IDENTITY_ANSWER_TEXT 96

#endif
