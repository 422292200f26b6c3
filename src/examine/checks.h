/* checks: what an echo server must do, and what it may do, as one table of checks.
 *
 * A check talks to the server and leaves a finding. It is demanded when RFC 862 asks for it
 * or a service for many clients cannot do without it; others only describe. */
#ifndef ECHOLAB_CHECKS_H
#define ECHOLAB_CHECKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "examine/character.h"
#include "examine/talk.h"

enum check_result {
    CHECK_SKIPPED,
    CHECK_PASSED,
    CHECK_FAILED,
};

struct check_finding {
    bool is_selected;
    bool is_demanded; /* the table's, or because it was asked for by its name */
    enum check_result result;
    enum probe_outcome outcome; /* the kind of failure */
    uint64_t took_ns;
    char seen[TALK_SEEN_TEXT + 64]; /* or why it was skipped */
};

/* What checks work with. */
struct check_world {
    struct talk_target target;
    uint64_t seed;    /* of what is sent */
    uint64_t idle_ns; /* for `idle` */
    const struct character *character;
};

/* One step of a talk; `to` is the number of bytes sent in all when it is done. */
struct check_step {
    enum {
        STEP_END,      /* of the list */
        STEP_SEND,     /* without reading; a peer that takes no more is no failure */
        STEP_CUT,      /* the same, and a pause */
        STEP_URGENT,   /* one urgent byte */
        STEP_EXCHANGE, /* send, and all that was sent comes back */
        STEP_EACH,     /* the same after each write */
        STEP_SLOWLY,   /* the same, with a reader that is slow at first */
        STEP_FINISH,   /* send, half-close; all comes back, and the end of the stream */
        STEP_IDLE,     /* nothing for the time of the setting */
        STEP_UNREAD,   /* as much as is taken, which must be less; then read all */
    } what;
    uint32_t to;
};

/* The texts of a check, in their order. */
enum check_text { CHECK_ID, CHECK_TITLE, CHECK_SENT, CHECK_EXPECTED, CHECK_WHY };

struct check {
    const char *texts; /* one after the other, each with its NUL */
    const char *trait; /* what a failure says of a server that echoes; NULL: nothing */
    void (*run)(const struct check *check, struct check_world *world,
                struct check_finding *finding);
    const struct check_step *steps; /* of one talk, at whose end nothing more may come */
    const char *text;               /* what is sent in it (talk_content) */
    uint16_t trait_when;            /* of which kinds: bits by enum probe_outcome */
    uint16_t piece;                 /* the most bytes of a write; or how many connections */
    bool is_demanded : 1;
    bool is_asked_only : 1; /* skipped unless it is asked for */
    uint8_t limit : 6;      /* of its time, in timeouts */
    uint16_t files;         /* descriptors that it needs */
};

#define CHECKS_MAX 24
extern const struct check checks[];
extern const size_t check_count;

const char *check_text(const struct check *check, enum check_text which);

/* The index of the check with this id of `length` bytes; check_count: there is none. */
size_t checks_find(const char *id, size_t length);

#endif
