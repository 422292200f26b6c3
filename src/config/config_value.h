/* config_value: reads, checks and prints one value of one key, and reports mistakes in it.
 * For config and config_file only; keys and programs are in config_key.h. */
#ifndef ECHOLAB_CONFIG_VALUE_H
#define ECHOLAB_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "config/config_key.h"

/* Where mistakes go. */
struct config_mistakes {
    config_report *report;
    void *context;
    bool any; /* was one reported? */
};

/* Enough for every message here: a line of the file, escaped, and the text about it. */
#define CONFIG_MESSAGE_TEXT 1600

/* Report a mistake at a place ("server.ini:7: port", "SERVER_PORT", "--port"). */
void config_mistake(struct config_mistakes *mistakes, const char *place,
                    const char *pattern, ...) __attribute__((format(printf, 3, 4)));

/* Untrusted text, escaped and cut for a message of one line. Returns `out`. */
#define CONFIG_SHOWN_TEXT 96
const char *config_shown(const char *text, char out[CONFIG_SHOWN_TEXT]);

/* The allowed values of a key, in words: "0 to 65535", "text, json". Returns `out`. */
#define CONFIG_ALLOWED_TEXT 160
const char *config_allowed(const struct config_key *key, char out[CONFIG_ALLOWED_TEXT]);

/* The key's other name; NULL: it has none. */
const char *config_alias(const struct config_key *key);

/* The index of a section's key by its name or alias, or of the section's first key if
 * `name` is NULL; key_count: none. */
size_t config_find(const struct config_program *program, const char *section,
                   const char *name);

/* Set the key's field in `values` from text. Returns NULL, or the mistake in the text; the
 * field is then unchanged. */
const char *config_set(const struct config_key *key, const char *text, void *values);

/* The same; a mistake is reported with the allowed values. */
void config_apply(struct config_mistakes *mistakes, const char *place,
                  const struct config_key *key, const char *text, void *values);

/* The key's field as text, so that config_set() can read it again; it may be in `out`. */
const char *config_text(const struct config_key *key, const void *values,
                        char out[CONFIG_VALUE_TEXT]);

#endif
