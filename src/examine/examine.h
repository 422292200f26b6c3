/* examine: whether a server is an echo server: checks, one after another, and a report.
 *
 * The name is looked up, then the sandbox closes; what kind of server it is comes first
 * (character.h), then each check that was chosen (checks.h). A server may die, hang or
 * flood: every check ends in its time. */
#ifndef ECHOLAB_EXAMINE_H
#define ECHOLAB_EXAMINE_H

#include <stdbool.h>

#include "client/client_config.h"
#include "client/exit_code.h"

/* A name in the setting `check` that is no check's. Returns false if there is none, else
 * writes one line about it to `out`. */
#define EXAMINE_MISTAKE_TEXT 256
bool examine_mistake(const struct client_config *config, char out[EXAMINE_MISTAKE_TEXT]);

/* Examine config->examine.target, until all is checked or a SIGTERM, SIGINT or SIGHUP
 * comes, and print the report to stdout. Returns the exit code: CLIENT_ALL_ECHOED only if
 * every demanded check passed, otherwise that of the most frequent kind of failure;
 * CLIENT_FATAL when none failed, but a demanded one could not be made. */
enum client_exit examine_run(const struct client_config *config);

#endif
