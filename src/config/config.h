/* config: a program's configuration from one table of keys: defaults, INI file,
 * environment, command line, --help and --print-config.
 *
 * A key has one name in four places; the later place wins:
 *
 *   built-in default   INI file            environment        command line
 *   5m                 [server]            SERVER_IDLE_       --idle-timeout 5m
 *                      idle_timeout = 5m   TIMEOUT=5m
 *
 * A key of the program's own section has no section in its variable's name; other keys
 * have: [log] level is SERVER_LOG_LEVEL. An option has the key's name, or one that the key
 * itself tells: --log-level. A key may also have an alias, the same for all programs: [log]
 * logging_level, --logging-level and LOGGING_LEVEL. One key may be told by an argument that
 * is no option. The words that a value may be are read without regard to case.
 *
 * Nothing is ignored or clamped: neither an unknown or repeated section, key or option, nor
 * a value that is malformed or out of range, nor a line that is not INI. Every mistake is
 * reported, one line each: where, what, what is allowed. Where each value is right, the
 * program looks whether they are together, but not for --print-config: a file may hold
 * settings for several uses. Only environment variables that
 * belong to no key are ignored, and a Kubernetes service link (SERVER_PORT=tcp://...) where
 * the command line has the key.
 *
 * This module opens the file and reads the environment; it prints nothing itself. */
#ifndef ECHOLAB_CONFIG_H
#define ECHOLAB_CONFIG_H

#include "config/config_key.h"

/* The action that the command line asks for. */
enum config_action {
    CONFIG_EXIT = -1, /* nothing to run: mistakes were reported, or all is done already */
    CONFIG_RUN = 0,
    CONFIG_HELP,
    CONFIG_VERSION,
    CONFIG_CHECK,     /* --check-config */
    CONFIG_PRINT,     /* --print-config */
    CONFIG_OWN_ACTION /* plus the index of the program's own action */
};

/* Fill `values`, the program's struct, from all four places. Returns the action that the
 * command line asks for, or CONFIG_EXIT after a mistake; then *values must not be used.
 * --help and --version end the reading: nothing after them is looked at. Options are
 * written --name value or --name=value; an option of config_no_yes without a value
 * means yes. */
int config_load(const struct config_program *program, int argc, char *const argv[],
                void *values, config_report *report, void *context);

/* The name of the key's environment variable, and that of its option without the dashes.
 * Both write to `out`, which has CONFIG_NAME_TEXT bytes, and return it. */
#define CONFIG_NAME_TEXT 64
char *config_env_name(const struct config_program *program, const struct config_key *key,
                      char *out);
char *config_option_name(const struct config_key *key, char *out);

/* The output of the functions below: one call per piece of text. */
typedef void config_write(void *context, const char *text);

/* Print the text of --help. */
void config_help(const struct config_program *program, config_write *write, void *context);

/* Print `values` as a complete INI file with a comment for each key. Reading that file
 * gives the same values again. */
void config_print(const struct config_program *program, const void *values,
                  config_write *write, void *context);

#endif
