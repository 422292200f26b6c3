/* config_key: the parts of a program's table of configuration keys. The tables are in
 * server_config.c and client_config.c; config.h describes their use. */
#ifndef ECHOLAB_CONFIG_KEY_H
#define ECHOLAB_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest INI file, and its longest line without the newline, in bytes: inih's line
 * buffer has 200 (INI_MAX_LINE), of which inih needs three. */
#define CONFIG_FILE_MAX (64 * 1024)
#define CONFIG_LINE_MAX 197

/* A number that no text gives: nothing is set where 0 is a value like others. */
#define CONFIG_NONE UINT64_MAX

/* The most keys of one program. */
#define CONFIG_KEYS_MAX 48

enum config_type {
    CONFIG_WHOLE,    /* uint64_t: decimal */
    CONFIG_DURATION, /* uint64_t: nanoseconds, from Go's notation (units.h) */
    CONFIG_SIZE,     /* uint64_t: bytes (units.h) */
    CONFIG_CHOICE,   /* int: index of one of `choices`; a setting that is on or off has
                      * config_no_yes, and is yes where an option has no value */
    CONFIG_TEXT,     /* char[size]: printable text, with its NUL */
    CONFIG_OWN,      /* what `own` makes of it */
};

/* Enough for the text of a number or of a type of the program's own. */
#define CONFIG_VALUE_TEXT 64

/* A type of the program's own: several fields in one value. */
struct config_own {
    /* Set the fields in the program's struct from text. Returns NULL, or the mistake in the
     * text; the fields are then unchanged. */
    const char *(*set)(const char *text, void *values);
    /* The fields as text, so that set() can read it again; it may be in `out`. */
    const char *(*print)(const void *values, char out[CONFIG_VALUE_TEXT]);
};

/* The name of a key's option: the key's with dashes, the section's (--load), or both
 * (--log-level). */
enum config_option { CONFIG_BY_KEY, CONFIG_BY_SECTION, CONFIG_BY_BOTH };

/* There are many: numbers have no more bits than they need. */
struct config_key {
    const char *section;
    const char *name;
    enum config_type type : 8;
    unsigned offset : 16;  /* of the field in the program's struct; not for CONFIG_OWN */
    bool is_frequent : 1;  /* --help begins with it */
    bool word_is_none : 1; /* the word of `choices` stands for CONFIG_NONE, not for 0 */
    enum config_option option : 2;
    union {
        uint32_t min;  /* for numbers: inclusive */
        uint32_t size; /* for CONFIG_TEXT: of the field */
    };
    union {
        struct { /* for numbers and CONFIG_CHOICE */
            union {
                uint64_t max; /* for numbers: inclusive */
                /* For CONFIG_CHOICE, optional: another name of the key, which stands alone
                 * in the environment and on the command line. */
                const char *alias;
            };
            /* For CONFIG_CHOICE: the choices, NULL at the end. For CONFIG_WHOLE and
             * CONFIG_DURATION, optional: one word for 0. */
            const char *const *choices;
        };
        struct {                 /* for CONFIG_TEXT and CONFIG_OWN */
            const char *allowed; /* the allowed values, in words */
            union {
                /* For CONFIG_TEXT, optional: returns NULL, or the mistake in the value. */
                const char *(*check)(const char *value);
                const struct config_own *own; /* for CONFIG_OWN */
            };
        };
    };
    const char *value;         /* what --help calls the value: PORT */
    const char *default_value; /* the built-in default, as text */
    const char *help;          /* one line, without a full stop */
};

/* Enough for a line about a contradiction. */
#define CONFIG_CONTRADICTION_TEXT 160

/* "no" is 0, "yes" is 1. */
extern const char *const config_no_yes[];

/* An option without value that stands for another option with its value: --once for --count
 * 1. */
struct config_shorthand {
    const char *name;
    const char *section, *key;
    const char *value;
};

/* An option that is an action, not a key: --healthcheck. A program's table begins with the
 * common ones (config.h: enum config_action). */
struct config_action_option {
    const char *name;
    const char *help;
};

#define CONFIG_COMMON_ACTIONS                                                              \
    {"help", "print this text (also -h), exit"}, {"version", "print the version, exit"},   \
        {"check-config", "report every mistake in the settings, exit"},                    \
    {                                                                                      \
        "print-config", "print the configuration as an INI file, exit"                     \
    }

struct config_program {
    const char *name;       /* echo-server */
    const char *purpose;    /* one line for --help */
    const char *argument;   /* the key, of its own section, that an argument without dashes
                             * is the value of; NULL: there is none */
    const char *section;    /* the program's own section: server */
    const char *env_prefix; /* SERVER */
    const char *file;       /* read if it exists and -c names no other */
    const struct config_key *keys;
    size_t key_count;
    const struct config_action_option *actions;
    size_t action_count;
    const struct config_shorthand *shorthands;
    size_t shorthand_count;
    /* Optional: settings that are right one by one, but not together. `texts` has for each
     * key what the command line says, or NULL. Returns NULL, or one line, perhaps in `out`:
     * which, and what is allowed. */
    const char *(*contradiction)(const void *values, const char *const texts[],
                                 char out[CONFIG_CONTRADICTION_TEXT]);
};

/* Called once per mistake, with one line of text without newline. */
typedef void config_report(void *context, const char *line);

#endif
