/* examine_report: an examination's findings as text for people, a JSON object, TAP or JUnit
 * XML.
 *
 * JUnit comes at the end, the others check by check. All that a server can determine in it
 * was escaped when it was found (base/escape). */
#ifndef ECHOLAB_EXAMINE_REPORT_H
#define ECHOLAB_EXAMINE_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "client/client_config.h"
#include "examine/character.h"
#include "examine/checks.h"
#include "io/output.h"

/* At first what is below `findings` is 0, but `output.fd` and `form`. */
struct examine_report {
    const struct client_config *config;
    const struct character *character;
    const struct check_finding *findings;
    enum load_report_form form;
    unsigned printed;      /* checks so far */
    unsigned counts[2][3]; /* of them, by is_demanded and result */
    uint64_t took_ns;
    struct output output;
};

/* The head of a report about `chosen` checks; the finding of check `i`; all the rest, which
 * returns false when printing failed. */
void examine_report_begin(struct examine_report *report, size_t chosen);
void examine_report_check(struct examine_report *report, size_t i);
bool examine_report_end(struct examine_report *report, unsigned exit_code);

/* Print the table of checks to stdout, for people. Returns false when that failed. */
bool examine_list(void);

#endif
