/* config_value: one value of one key: how it is read, checked and printed, and how a
 * mistake in it is reported. For config and config_file only; keys and programs are
 * config.h's. */
#ifndef ECHOLAB_CONFIG_VALUE_H
#define ECHOLAB_CONFIG_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"

/* Where mistakes go. */
struct config_mistakes {
    config_report *report;
    void *context;
    bool any; /* was one reported? */
};

/* Enough for every message here: a line of the file, escaped, and what is said of it. */
#define CONFIG_MESSAGE_TEXT 1600

/* Report a place ("server.ini:7: port", "SERVER_PORT", "--port") and what is wrong there.
 */
void config_mistake(struct config_mistakes *mistakes, const char *place,
                    const char *pattern, ...) __attribute__((format(printf, 3, 4)));

/* Text of unknown origin made fit for a message of one line. Returns `out`. */
#define CONFIG_SHOWN_TEXT 96
const char *config_shown(const char *text, char out[CONFIG_SHOWN_TEXT]);

/* What the key's value may be: "0 to 65535", "text, json". Returns `out`. */
#define CONFIG_ALLOWED_TEXT 160
const char *config_allowed(const struct config_key *key, char out[CONFIG_ALLOWED_TEXT]);

/* The index of a section's key, or of its first key if `name` is NULL; key_count: none. */
size_t config_find(const struct config_program *program, const char *section,
                   const char *name);

/* Set the key's field in `values` from text. Returns NULL, or what is wrong with the text;
 * then the field is unchanged. */
const char *config_set(const struct config_key *key, const char *text, void *values);

/* The same, and report what is wrong, with what is allowed. */
void config_apply(struct config_mistakes *mistakes, const char *place,
                  const struct config_key *key, const char *text, void *values);

/* Print the key's field as config_set() reads it. */
void config_format(const struct config_key *key, const void *values, char *out,
                   size_t size);

#endif
