/* config: one table of keys per program; from it come the defaults, the INI file, the
 * environment, the command line, --help and --print-config.
 *
 * A key has one name in four places, the later wins:
 *
 *   built-in default   INI file            environment        command line
 *   5m                 [server]            SERVER_IDLE_       --idle-timeout 5m
 *                      idle_timeout = 5m   TIMEOUT=5m
 *
 * Keys of the program's own section have no section in their option's name; others have:
 * [log] level is --log-level and SERVER_LOG_LEVEL. A key may have another option's name.
 *
 * Nothing is ignored or clamped: an unknown or repeated section, key or option, a value
 * that is malformed or out of range, a line that is no INI. Every mistake is reported, one
 * line each: where, what, what is allowed. Environment variables that are no key's are
 * other people's business.
 *
 * This module opens the file and reads the environment; it prints nothing itself. */
#ifndef ECHOLAB_CONFIG_H
#define ECHOLAB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest INI file, and its longest line without the newline, in bytes: inih's line
 * buffer is 200 (INI_MAX_LINE), of which it needs three itself. */
#define CONFIG_FILE_MAX (64 * 1024)
#define CONFIG_LINE_MAX 197

/* More keys than any program has. */
#define CONFIG_KEYS_MAX 48

enum config_type {
    CONFIG_WHOLE,    /* uint64_t: decimal */
    CONFIG_DURATION, /* uint64_t: nanoseconds, from Go's notation (units.h) */
    CONFIG_SIZE,     /* uint64_t: bytes (units.h) */
    CONFIG_CHOICE,   /* int: index of one of `choices` */
    CONFIG_YES_NO,   /* bool */
    CONFIG_TEXT,     /* char[max]: printable text, with its NUL */
};

struct config_key {
    const char *section;
    const char *name;
    enum config_type type;
    size_t offset;     /* of the field in the program's struct */
    uint64_t min, max; /* inclusive; of CONFIG_TEXT, max is the size of the field */
    /* Of CONFIG_CHOICE: NULL at the end. Of CONFIG_WHOLE, optional: one word for 0. */
    const char *const *choices;
    /* Of CONFIG_TEXT, optional: returns NULL, or what is wrong with the value. */
    const char *(*check)(const char *value);
    const char *allowed;  /* of CONFIG_TEXT: what the value may be, for people */
    const char *standard; /* the built-in default, as text */
    const char *help;     /* one line, without a full stop */
    const char *option;   /* the option's name where it is not the key's; else NULL */
};

/* An option without value that stands for a key's option with one: --once for --count 1. */
struct config_shorthand {
    const char *name;
    const char *section, *key;
    const char *value;
};

/* One option that is an action and no key: --healthcheck. */
struct config_action {
    const char *name;
    const char *help;
};

struct config_program {
    const char *name;       /* echo-server */
    const char *purpose;    /* one line for --help */
    const char *section;    /* the program's own section: server */
    const char *env_prefix; /* SERVER */
    const char *file;       /* read when it exists and -c names no other */
    const struct config_key *keys;
    size_t key_count;
    const struct config_action *actions;
    size_t action_count;
    const struct config_shorthand *shorthands;
    size_t shorthand_count;
};

/* What the command line asks for. */
enum config_wish {
    CONFIG_MISTAKES = -1, /* they were reported: exit 2 */
    CONFIG_RUN = 0,
    CONFIG_HELP,
    CONFIG_VERSION,
    CONFIG_CHECK, /* --check-config */
    CONFIG_PRINT, /* --print-config */
    CONFIG_ACTION /* plus the index of the program's own action */
};

/* Called once per mistake with one line of text without newline. */
typedef void config_report(void *context, const char *line);

/* Fill `values`, the program's struct, from all four places. Returns the command line's
 * wish (after --help and --version nothing else is looked at), or CONFIG_MISTAKES; then
 * *values must not be used. Options are written --name value or --name=value;
 * those of CONFIG_YES_NO alone mean yes. */
int config_load(const struct config_program *program, int argc, char *const argv[],
                void *values, config_report *report, void *context);

/* The name of key's environment variable, and of its option without the dashes. `out` has
 * CONFIG_NAME_TEXT bytes; both return it. */
#define CONFIG_NAME_TEXT 64
char *config_env_name(const struct config_program *program, const struct config_key *key,
                      char *out);
char *config_option_name(const struct config_program *program, const struct config_key *key,
                         char *out);

/* Where the functions below send text: one call per piece. */
typedef void config_write(void *context, const char *text);

/* The text of --help. */
void config_help(const struct config_program *program, config_write *write, void *context);

/* `values` as a complete INI file with a comment for each key: reading it gives the same
 * values again. */
void config_print(const struct config_program *program, const void *values,
                  config_write *write, void *context);

#endif
