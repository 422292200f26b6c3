/* program: the start of both mains: load the configuration, answer --help, --version and
 * the like. */
#ifndef ECHOLAB_PROGRAM_H
#define ECHOLAB_PROGRAM_H

#include <stdbool.h>

#include "config/config.h"

/* The exit code for a wrong option or setting. */
#define PROGRAM_USAGE 2

/* Load `values` as config_load() does, print mistakes to stderr, and carry out --help,
 * --version, --check-config and --print-config. From here on a write beyond the limit of a
 * file's size fails (EFBIG) instead of killing the process (SIGXFSZ). Returns CONFIG_RUN or
 * one of the program's own actions; otherwise sets *exit_code and returns CONFIG_EXIT. */
int program_start(const struct config_program *program, int argc, char *argv[],
                  void *values, int *exit_code);

/* Print a text to stdout, without buffering. Returns false when that fails. */
bool program_print(const char *text);

/* Print one line to stderr: a mistake in the configuration. */
void program_complain(const char *line);

#endif
