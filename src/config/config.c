#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "config/config_file.h"
#include "config/config_value.h"
#include "base/ensure.h"
#include "base/escape.h"
#include "base/format.h"

/* The state of one config_load(). */
struct loader {
    const struct config_program *program;
    void *values;
    struct config_mistakes *mistakes;
};

static char *upper(char *name)
{
    for (char *p = name; *p != '\0'; p++) {
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    }
    return name;
}

static char *dashed(char *name)
{
    for (char *p = name; *p != '\0'; p++) {
        *p = *p == '_' ? '-' : *p;
    }
    return name;
}

char *config_env_name(const struct config_program *program, const struct config_key *key,
                      char *out)
{
    bool is_own = strcmp(key->section, program->section) == 0;

    format(out, CONFIG_NAME_TEXT, "%s_%s%s%s", program->env_prefix,
           is_own ? "" : key->section, is_own ? "" : "_", key->name);
    return upper(out);
}

char *config_option_name(const struct config_key *key, char *out)
{
    format(out, CONFIG_NAME_TEXT, "%s%s%s",
           key->option == CONFIG_BY_KEY ? "" : key->section,
           key->option == CONFIG_BY_BOTH ? "-" : "",
           key->option == CONFIG_BY_SECTION ? "" : key->name);
    return dashed(out);
}

/* The same by its other name, of which there is one. */
static char *alias_option(const struct config_key *key, char *out)
{
    format(out, CONFIG_NAME_TEXT, "%s", config_alias(key));
    return dashed(out);
}

/* ---- environment and command line ------------------------------------------------------
 */

struct command_line {
    int action;
    const char *file;                   /* of -c, or NULL */
    const char *texts[CONFIG_KEYS_MAX]; /* by key; NULL: not given */
    bool by_alias[CONFIG_KEYS_MAX];     /* given by the key's other name */
};

/* What the environment says of a key, and in `name` the variable that says it. NULL: it
 * says nothing. */
static const char *environment_text(const struct loader *loader,
                                    const struct config_key *key,
                                    char name[CONFIG_NAME_TEXT])
{
    char alias[CONFIG_NAME_TEXT];
    const char *text = getenv(config_env_name(loader->program, key, name)), *other;

    if (config_alias(key) == NULL) {
        return text;
    }
    format(alias, sizeof alias, "%s", config_alias(key));
    other = getenv(upper(alias));
    if (text != NULL && other != NULL) {
        config_mistake(loader->mistakes, alias, "%s says the same; allowed: one of them",
                       name);
    }
    if (text == NULL) {
        memcpy(name, alias, sizeof alias);
        text = other;
    }
    return text;
}

static bool is_service_link(const struct config_key *key, const char *text)
{
    return strncmp(text, "tcp://", 6) == 0 && key->type == CONFIG_WHOLE;
}

static void load_environment(struct loader *loader, const struct command_line *line)
{
    char name[CONFIG_NAME_TEXT], quoted[CONFIG_SHOWN_TEXT], range[CONFIG_ALLOWED_TEXT];

    for (size_t i = 0; i < loader->program->key_count; i++) {
        const struct config_key *key = &loader->program->keys[i];
        const char *text = environment_text(loader, key, name);

        if (text == NULL) {
            continue;
        }
        if (!is_service_link(key, text)) {
            config_apply(loader->mistakes, name, key, text, loader->values);
        } else if (line->texts[i] == NULL) {
            config_mistake(
                loader->mistakes, name,
                "'%s' is a Kubernetes service link: set enableServiceLinks: false in the "
                "pod; allowed: %s",
                config_shown(text, quoted), config_allowed(key, range));
        }
    }
}

/* The action of an option without value; CONFIG_RUN: the option is not an action. */
static int find_action(const struct config_program *program, const char *name)
{
    for (size_t i = 0; i < program->action_count; i++) {
        if (strcmp(name, program->actions[i].name) == 0) {
            return CONFIG_HELP + (int)i;
        }
    }
    return CONFIG_RUN;
}

/* The place for the text of an option with a value; NULL: there is no such option. */
static const char **find_option(const struct config_program *program, const char *name,
                                struct command_line *line)
{
    char option[CONFIG_NAME_TEXT];

    if (strcmp(name, "config") == 0) {
        return &line->file;
    }
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (strcmp(name, config_option_name(key, option)) == 0) {
            return &line->texts[i];
        }
        if (config_alias(key) != NULL && strcmp(name, alias_option(key, option)) == 0) {
            line->by_alias[i] = true;
            return &line->texts[i];
        }
    }
    return NULL;
}

static bool is_info(int action)
{
    return action == CONFIG_HELP || action == CONFIG_VERSION;
}

static void set_action(struct loader *loader, struct command_line *line, int action,
                       const char *place)
{
    if (line->action == action) {
        config_mistake(loader->mistakes, place, "given twice; allowed: once");
    } else if (line->action != CONFIG_RUN && !is_info(action)) {
        config_mistake(loader->mistakes, loader->program->name,
                       "two actions given; allowed: one");
    } else {
        line->action = action;
    }
}

/* The value that a shorthand stands for, and in *text the place for it. NULL: the name is
 * not a shorthand. */
static const char *find_shorthand(const struct config_program *program, const char *name,
                                  struct command_line *line, const char ***text)
{
    for (size_t i = 0; i < program->shorthand_count; i++) {
        const struct config_shorthand *shorthand = &program->shorthands[i];

        if (strcmp(name, shorthand->name) == 0) {
            size_t key = config_find(program, shorthand->section, shorthand->key);

            ensure(key < program->key_count);
            *text = &line->texts[key];
            return shorthand->value;
        }
    }
    return NULL;
}

const char *const config_no_yes[] = {"no", "yes", NULL};

/* Does the option before `next` stand for yes? */
static bool means_yes(const struct config_key *key, const char *next)
{
    return key->type == CONFIG_CHOICE && key->choices == config_no_yes &&
           (next == NULL || *next == '-');
}

/* The place for an argument that is no option. NULL: the program takes none. */
static const char **find_argument(const struct config_program *program, const char *word,
                                  struct command_line *line)
{
    if (program->argument == NULL || *word == '-' || *word == '\0') {
        return NULL;
    }
    return &line->texts[config_find(program, program->section, program->argument)];
}

/* Read an argument that is no option. */
static void take_word(struct loader *loader, struct command_line *line, const char *word)
{
    char quoted[CONFIG_SHOWN_TEXT];
    const char **text = find_argument(loader->program, word, line);

    if (text == NULL || *text != NULL) {
        config_mistake(loader->mistakes, *word != '\0' ? config_shown(word, quoted) : "''",
                       "unexpected argument; allowed: see --help");
    } else {
        *text = word;
    }
}

/* Read one argument: "--name", "--name=value", or "--name" before "value". Returns the
 * number of arguments read. */
static int take_argument(struct loader *loader, struct command_line *line,
                         char *const arguments[])
{
    const struct config_program *program = loader->program;
    const char *word = arguments[0], *value = strchr(word, '=');
    char name[CONFIG_NAME_TEXT], place[CONFIG_NAME_TEXT + 2], quoted[CONFIG_SHOWN_TEXT];
    size_t length = value != NULL ? (size_t)(value - word) : strlen(word);

    if (strcmp(word, "-c") == 0) {
        word = "--config";
        length = strlen(word);
    } else if (strcmp(word, "-h") == 0) {
        word = "--help";
        length = strlen(word);
    }
    if (strncmp(word, "--", 2) != 0) {
        take_word(loader, line, word);
        return 1;
    }
    format(name, sizeof name, "%.*s", (int)(length - 2), word + 2);
    format(place, sizeof place, "--%s", name);
    int action = find_action(program, name);
    const char **text = find_option(program, name, line);
    const char *meaning = find_shorthand(program, name, line, &text);
    if (action != CONFIG_RUN && value == NULL) {
        set_action(loader, line, action, place);
        return 1;
    }
    if (action != CONFIG_RUN || (meaning != NULL && value != NULL)) {
        config_mistake(loader->mistakes, place, "takes no value; allowed: none");
        return 1;
    }
    if (text == NULL) {
        escape_bytes(quoted, sizeof quoted, word, length);
        config_mistake(loader->mistakes, quoted, "unknown option; allowed: see --help");
        return 1;
    }
    if (*text != NULL) {
        config_mistake(loader->mistakes, place, "given twice; allowed: once");
    }
    if (meaning != NULL) {
        *text = meaning;
        return 1;
    }
    if (value == NULL && text != &line->file &&
        means_yes(&program->keys[text - line->texts], arguments[1])) {
        *text = "yes";
        return 1;
    }
    *text = value != NULL ? value + 1 : arguments[1];
    if (*text == NULL) {
        config_mistake(loader->mistakes, place, "needs a value; allowed: see --help");
    }
    return value != NULL || *text == NULL ? 1 : 2;
}

static void read_command_line(struct loader *loader, int argc, char *const argv[],
                              struct command_line *line)
{
    for (int i = 1; i < argc && !is_info(line->action);) {
        i += take_argument(loader, line, argv + i);
    }
}

/* Load the built-in defaults. A default that its own key does not allow is our bug. */
static void load_defaults(const struct config_program *program, void *values)
{
    ensure(program->key_count <= CONFIG_KEYS_MAX && program->action_count <= 8);
    for (size_t i = 0; i < program->key_count; i++) {
        const char *wrong =
            config_set(&program->keys[i], program->keys[i].default_value, values);

        ensure(wrong == NULL);
        (void)wrong;
    }
}

/* Report settings that are right one by one, but not together. */
static bool contradicts(const struct loader *loader, const struct command_line *line)
{
    const struct config_program *program = loader->program;
    struct config_mistakes *mistakes = loader->mistakes;
    char text[CONFIG_CONTRADICTION_TEXT];

    if (program->contradiction == NULL) {
        return false;
    }
    const char *what = program->contradiction(loader->values, line->texts, text);
    if (what != NULL) {
        mistakes->report(mistakes->context, what);
    }
    return what != NULL;
}

int config_load(const struct config_program *program, int argc, char *const argv[],
                void *values, config_report *report, void *context)
{
    struct config_mistakes mistakes = {.report = report, .context = context};
    struct loader loader = {.program = program, .values = values, .mistakes = &mistakes};
    struct command_line line = {.action = CONFIG_RUN};
    char place[CONFIG_NAME_TEXT + 2] = "--";

    load_defaults(program, values);
    read_command_line(&loader, argc, argv, &line);
    if (is_info(line.action)) {
        return mistakes.any ? CONFIG_EXIT : line.action;
    }
    config_file_read(program, line.file != NULL ? line.file : program->file,
                     line.file != NULL, values, &mistakes);
    load_environment(&loader, &line);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (line.texts[i] != NULL) {
            if (line.by_alias[i]) {
                alias_option(key, place + 2);
            } else {
                config_option_name(key, place + 2);
            }
            config_apply(&mistakes, place, key, line.texts[i], values);
        }
    }
    if (!mistakes.any && line.action != CONFIG_PRINT && contradicts(&loader, &line)) {
        return CONFIG_EXIT;
    }
    return mistakes.any ? CONFIG_EXIT : line.action;
}

/* ---- --help and --print-config ---------------------------------------------------------
 */

/* Where the help of an option begins. */
#define HELP_COLUMN 29

/* "  --port PORT    TCP port to listen on", or without a value. */
static void print_option(const char *option, const char *value, const char *help,
                         config_write *write, void *context)
{
    char text[256];

    format(text, sizeof text, "  --%s %s%29s", option, value, "");
    format(text + HELP_COLUMN, sizeof text - HELP_COLUMN, "%s\n", help);
    write(context, text);
}

/* A line for each setting that is frequently used, or three for each of all. */
static void print_settings(const struct config_program *program, bool is_all,
                           config_write *write, void *context)
{
    char text[512], option[CONFIG_NAME_TEXT], env[CONFIG_NAME_TEXT],
        range[CONFIG_ALLOWED_TEXT];

    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (is_all || key->is_frequent) {
            print_option(config_option_name(key, option), key->value, key->help, write,
                         context);
        }
        if (is_all) {
            format(text, sizeof text, "%29sallowed: %s; default: %s\n%29s[%s] %s, %s\n", "",
                   config_allowed(key, range), key->default_value, "", key->section,
                   key->name, config_env_name(program, key, env));
            write(context, text);
        }
    }
}

void config_help(const struct config_program *program, config_write *write, void *context)
{
    char text[256], option[CONFIG_NAME_TEXT];

    format(text, sizeof text, "Usage: %s%s [OPTION]...\n%s\n\nMost used:\n", program->name,
           program->argument != NULL ? " [HOST:PORT]" : "", program->purpose);
    write(context, text);
    print_settings(program, false, write, context);
    write(context, "\nSettings:\n");
    print_settings(program, true, write, context);
    write(context, "\nOther options:\n");
    format(text, sizeof text, "read this INI file instead of %s", program->file);
    print_option("config FILE, -c", "FILE", text, write, context);
    for (size_t i = 0; i < program->action_count; i++) {
        print_option(program->actions[i].name, "", program->actions[i].help, write,
                     context);
    }
    for (size_t i = 0; i < program->shorthand_count; i++) {
        const struct config_shorthand *shorthand = &program->shorthands[i];
        size_t key = config_find(program, shorthand->section, shorthand->key);

        config_option_name(&program->keys[key], option);
        format(text, sizeof text, "the same as --%s %s", option, shorthand->value);
        print_option(shorthand->name, "", text, write, context);
    }
    write(context, "\nThe later wins: INI file, environment, command line.\n");
}

void config_print(const struct config_program *program, const void *values,
                  config_write *write, void *context)
{
    const char *section = "";
    char text[1024], value[CONFIG_VALUE_TEXT], option[CONFIG_NAME_TEXT],
        env[CONFIG_NAME_TEXT], range[CONFIG_ALLOWED_TEXT];

    format(text, sizeof text, "; %s: the complete configuration.\n", program->name);
    write(context, text);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (strcmp(section, key->section) != 0) {
            section = key->section;
            format(text, sizeof text, "\n[%s]\n", section);
            write(context, text);
        }
        format(text, sizeof text,
               "\n; %s.\n; Allowed: %s. Default: %s.\n; %s, --%s\n%s = %s\n", key->help,
               config_allowed(key, range), key->default_value,
               config_env_name(program, key, env), config_option_name(key, option),
               key->name, config_text(key, values, value));
        write(context, text);
    }
}
