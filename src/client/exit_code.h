/* exit_code: the exit codes of echo-client, the loop's and the load's alike. A system call
 * outside the sandbox ends a program with SECCOMP_EXIT (sandbox/seccomp.h).
 *
 * Messages decide. These are failures, each of one kind (enum probe_outcome):
 *
 *   - a message that was lost: it was sent, and its exact echo did not come back. In the
 *     loop, where each message has a connection of its own, also one that could not be
 * sent;
 *   - a reply that differs, be it by bytes behind the last echo that nobody sent;
 *   - a connection of a load that failed and was not connected again, while there was more
 *     to send: the server was away at the end, or nobody could be reached at all.
 *
 * These are none: what failed and was tried again with success, be it at another address of
 * the name; a connection that failed after the last message; a message that a signal
 * interrupted; a message of an open loop that was due but not sent. The report tells them.
 *
 * 0 also needs a message that was echoed: nothing compared is no success.
 *
 * With an expectation (--expect) there are two codes instead: 0 if all that was tried came
 * to what was expected, CLIENT_UNEXPECTED if not, or if nothing was tried. */
#ifndef ECHOLAB_EXIT_CODE_H
#define ECHOLAB_EXIT_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/probe.h"

enum client_exit {
    CLIENT_ALL_ECHOED = 0,
    CLIENT_FATAL = 1,        /* it could not even begin, or not go on; nothing was echoed */
    CLIENT_USAGE = 2,        /* usage or configuration */
    CLIENT_NOT_RESOLVED = 3, /* the name has no address */
    CLIENT_NO_CONNECTION = 4, /* refused or unreachable */
    CLIENT_TIMED_OUT = 5,
    CLIENT_DIFFERS = 6,    /* a reply is not what was sent */
    CLIENT_CLOSED = 7,     /* closed early or reset */
    CLIENT_UNEXPECTED = 9, /* what was seen is not what --expect says */
    CLIENT_LIMIT = 10,     /* a limit of a load (--max-...) is broken */
};

/* The exit code that follows from how many messages were echoed, counts[PROBE_ECHOED], and
 * how many failures of each kind there were: the most frequent kind decides, of equals the
 * smaller code. Without any, 0 if a message was echoed, else CLIENT_FATAL. */
enum client_exit client_exit_code(const uint64_t counts[PROBE_OUTCOMES]);

/* Was this outcome seen, and no other? Interruptions do not count. */
bool client_saw_only(enum probe_outcome wanted, const uint64_t seen[PROBE_OUTCOMES]);

/* What was expected and what was seen, for people: "expected refused, seen: 1 echoed, 2
 * refused". `wants` of these are so since this side lacks something. Returns `out`. */
#define CLIENT_SEEN_TEXT 448
char *client_seen_text(char out[CLIENT_SEEN_TEXT], const char *expected,
                       const uint64_t seen[PROBE_OUTCOMES], uint64_t wants);

/* How many there are of each kind, from `first` on: "1 echoed, 2 refused", or "nothing".
 * Returns `out`. */
#define CLIENT_KINDS_TEXT 320
char *client_kinds_text(char out[CLIENT_KINDS_TEXT], enum probe_outcome first,
                        const uint64_t counts[PROBE_OUTCOMES]);

#endif
