#include "config/config_value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/escape.h"
#include "base/format.h"
#include "base/units.h"

void config_mistake(struct config_mistakes *mistakes, const char *place,
                    const char *pattern, ...)
{
    char message[CONFIG_MESSAGE_TEXT];
    va_list arguments;
    size_t used = format(message, sizeof message, "%s: ", place);

    va_start(arguments, pattern);
    format_list(message + used, sizeof message - used, pattern, arguments);
    va_end(arguments);
    mistakes->any = true;
    mistakes->report(mistakes->context, message);
}

const char *config_shown(const char *text, char out[CONFIG_SHOWN_TEXT])
{
    return escape_bytes(out, CONFIG_SHOWN_TEXT, text, strlen(text));
}

const char *config_allowed(const struct config_key *key, char out[CONFIG_ALLOWED_TEXT])
{
    char low[UNITS_DURATION_TEXT], high[UNITS_DURATION_TEXT];
    size_t used = 0;

    switch (key->type) {
    case CONFIG_WHOLE:
        used = format(out, CONFIG_ALLOWED_TEXT, "%u to %" PRIu64, key->min, key->max);
        break;
    case CONFIG_DURATION:
        used = format(out, CONFIG_ALLOWED_TEXT, "%s to %s, like 500ms, 10s or 1m2s",
                      units_format_duration(low, key->min),
                      units_format_duration(high, key->max));
        break;
    case CONFIG_SIZE:
        format(out, CONFIG_ALLOWED_TEXT, "%s to %s bytes, like 1000, 64KiB or 1MB",
               units_format_size(low, key->min), units_format_size(high, key->max));
        break;
    case CONFIG_CHOICE:
        break;
    case CONFIG_TEXT:
    case CONFIG_OWN:
        format(out, CONFIG_ALLOWED_TEXT, "%s", key->allowed);
        return out;
    }
    for (size_t i = 0; key->choices != NULL && key->choices[i] != NULL; i++) {
        used += format(out + used, CONFIG_ALLOWED_TEXT - used, "%s%s",
                       used == 0 ? "" : ", ", key->choices[i]);
    }
    return out;
}

const char *config_alias(const struct config_key *key)
{
    return key->type == CONFIG_CHOICE ? key->alias : NULL;
}

size_t config_find(const struct config_program *program, const char *section,
                   const char *name)
{
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];
        const char *alias = config_alias(key);

        if (strcmp(key->section, section) == 0 &&
            (name == NULL || strcmp(key->name, name) == 0 ||
             (alias != NULL && strcmp(alias, name) == 0))) {
            return i;
        }
    }
    return program->key_count;
}

/* The number that the word of `choices` stands for. */
static uint64_t number_of_word(const struct config_key *key)
{
    return key->word_is_none ? CONFIG_NONE : 0;
}

static const char *set_number(const struct config_key *key, const char *text,
                              uint64_t *field)
{
    uint64_t value;

    if (key->choices != NULL && strcasecmp(text, key->choices[0]) == 0) {
        *field = number_of_word(key);
        return NULL;
    }
    if (key->type == CONFIG_DURATION && !units_parse_duration(text, &value)) {
        return "is not a duration";
    }
    if (key->type == CONFIG_SIZE && !units_parse_size(text, &value)) {
        return "is not a size";
    }
    if (key->type == CONFIG_WHOLE && !units_parse_whole(text, &value)) {
        return "is not a whole number";
    }
    if (value < key->min || value > key->max) {
        return "is out of range";
    }
    *field = value;
    return NULL;
}

static const char *set_choice(const struct config_key *key, const char *text, int *field)
{
    for (int i = 0; key->choices[i] != NULL; i++) {
        if (strcasecmp(text, key->choices[i]) == 0) {
            *field = i;
            return NULL;
        }
    }
    return "is not one of the choices";
}

static const char *set_text(const struct config_key *key, const char *text, char *field)
{
    if (strlen(text) >= key->size) {
        return "is too long";
    }
    if (!escape_is_printable(text, strlen(text))) {
        return "has characters that do not print";
    }
    const char *wrong = key->check != NULL ? key->check(text) : NULL;
    if (wrong == NULL) {
        memcpy(field, text, strlen(text) + 1);
    }
    return wrong;
}

const char *config_set(const struct config_key *key, const char *text, void *values)
{
    void *field = (char *)values + key->offset;

    switch (key->type) {
    case CONFIG_WHOLE:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return set_number(key, text, field);
    case CONFIG_CHOICE:
        return set_choice(key, text, field);
    case CONFIG_TEXT:
        return set_text(key, text, field);
    case CONFIG_OWN:
        return key->own->set(text, values);
    }
    return "has an unknown type";
}

void config_apply(struct config_mistakes *mistakes, const char *place,
                  const struct config_key *key, const char *text, void *values)
{
    const char *wrong = config_set(key, text, values);
    char quoted[CONFIG_SHOWN_TEXT], range[CONFIG_ALLOWED_TEXT];

    if (wrong != NULL) {
        config_mistake(mistakes, place, "'%s' %s; allowed: %s", config_shown(text, quoted),
                       wrong, config_allowed(key, range));
    }
}

const char *config_text(const struct config_key *key, const void *values,
                        char out[CONFIG_VALUE_TEXT])
{
    const void *field = (const char *)values + key->offset;

    switch (key->type) {
    case CONFIG_CHOICE:
        return key->choices[*(const int *)field];
    case CONFIG_TEXT:
        return field;
    case CONFIG_OWN:
        return key->own->print(values, out);
    default:
        break;
    }
    uint64_t number = *(const uint64_t *)field;
    if (key->choices != NULL && number == number_of_word(key)) {
        return key->choices[0];
    }
    if (key->type == CONFIG_DURATION) {
        return units_format_duration(out, number);
    }
    if (key->type == CONFIG_SIZE) {
        return units_format_size(out, number);
    }
    format(out, CONFIG_VALUE_TEXT, "%" PRIu64, number);
    return out;
}
