/* program: what both mains do alike: load the configuration, answer --help and its like. */
#ifndef ECHOLAB_PROGRAM_H
#define ECHOLAB_PROGRAM_H

#include <stdbool.h>

#include "config.h"

/* The exit code for a wrong option or setting. */
#define PROGRAM_USAGE 2

/* Load `values` as config_load() does, print mistakes to stderr, and do what --help,
 * --version, --check-config and --print-config ask for. Returns CONFIG_RUN or one of the
 * program's own actions; for everything else *exit_code is set and CONFIG_MISTAKES
 * returned. */
int program_start(const struct config_program *program, int argc, char *argv[],
                  void *values, int *exit_code);

/* Print a text to stdout, without buffering. Returns false when that fails. */
bool program_print(const char *text);

/* Print one line to stderr: a mistake in the configuration. */
void program_complain(const char *line);

#endif
