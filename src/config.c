#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "config_file.h"
#include "config_value.h"
#include "ensure.h"
#include "escape.h"
#include "format.h"

/* The state of one config_load(). */
struct loader {
    const struct config_program *program;
    void *values;
    struct config_mistakes *mistakes;
};

char *config_env_name(const struct config_program *program, const struct config_key *key,
                      char *out)
{
    bool is_own = strcmp(key->section, program->section) == 0;

    format(out, CONFIG_NAME_TEXT, "%s_%s%s%s", program->env_prefix,
           is_own ? "" : key->section, is_own ? "" : "_", key->name);
    for (char *p = out; *p != '\0'; p++) {
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    }
    return out;
}

char *config_option_name(const struct config_program *program, const struct config_key *key,
                         char *out)
{
    bool is_own = strcmp(key->section, program->section) == 0;

    if (key->option != NULL) {
        format(out, CONFIG_NAME_TEXT, "%s", key->option);
        return out;
    }
    format(out, CONFIG_NAME_TEXT, "%s%s%s", is_own ? "" : key->section, is_own ? "" : "-",
           key->name);
    for (char *p = out; *p != '\0'; p++) {
        *p = *p == '_' ? '-' : *p;
    }
    return out;
}

/* ---- environment and command line ------------------------------------------------------
 */

static void load_environment(struct loader *loader)
{
    char name[CONFIG_NAME_TEXT], quoted[CONFIG_SHOWN_TEXT], range[CONFIG_ALLOWED_TEXT];

    for (size_t i = 0; i < loader->program->key_count; i++) {
        const struct config_key *key = &loader->program->keys[i];
        const char *text = getenv(config_env_name(loader->program, key, name));

        if (text == NULL) {
            continue;
        }
        if (strncmp(text, "tcp://", 6) == 0 && key->type == CONFIG_WHOLE) {
            config_mistake(
                loader->mistakes, name,
                "'%s' looks like a Kubernetes service link: set enableServiceLinks: "
                "false in the pod or rename the Service; allowed: %s",
                config_shown(text, quoted), config_allowed(key, range));
            continue;
        }
        config_apply(loader->mistakes, name, key, text, loader->values);
    }
}

static const struct config_action wishes[] = {
    {"help", "print this text (also -h), exit"},
    {"version", "print the version, exit"},
    {"check-config", "read the configuration, report every mistake, exit"},
    {"print-config", "print the configuration as an INI file, exit"},
};

struct command_line {
    int wish;
    const char *file;                   /* of -c, or NULL */
    const char *texts[CONFIG_KEYS_MAX]; /* by key; NULL: not given */
};

/* The wish that an option without value stands for; CONFIG_MISTAKES if none. */
static int find_wish(const struct config_program *program, const char *name)
{
    for (int i = 0; i < CONFIG_ACTION - CONFIG_HELP; i++) {
        if (strcmp(name, wishes[i].name) == 0) {
            return CONFIG_HELP + i;
        }
    }
    for (size_t i = 0; i < program->action_count; i++) {
        if (strcmp(name, program->actions[i].name) == 0) {
            return CONFIG_ACTION + (int)i;
        }
    }
    return CONFIG_MISTAKES;
}

/* Where the text of an option with value goes; NULL if there is no such option. */
static const char **find_option(const struct config_program *program, const char *name,
                                struct command_line *line)
{
    char option[CONFIG_NAME_TEXT];

    if (strcmp(name, "config") == 0) {
        return &line->file;
    }
    for (size_t i = 0; i < program->key_count; i++) {
        if (strcmp(name, config_option_name(program, &program->keys[i], option)) == 0) {
            return &line->texts[i];
        }
    }
    return NULL;
}

static bool is_info(int wish)
{
    return wish == CONFIG_HELP || wish == CONFIG_VERSION;
}

static void take_wish(struct loader *loader, struct command_line *line, int wish,
                      const char *place)
{
    if (line->wish == wish) {
        config_mistake(loader->mistakes, place, "given twice; allowed: once");
    } else if (line->wish != CONFIG_RUN && !is_info(wish)) {
        config_mistake(loader->mistakes, loader->program->name,
                       "told to do two things; allowed: one");
    } else {
        line->wish = wish;
    }
}

/* What a shorthand stands for: its value, and in *text the place for it. NULL: it is none.
 */
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

/* Does the option before `next` stand for yes? */
static bool means_yes(const struct config_key *key, const char *next)
{
    return key->type == CONFIG_YES_NO && (next == NULL || *next == '-');
}

/* One argument "--name", "--name=value" or "--name" before "value". Returns how many of the
 * arguments it took. */
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
        config_mistake(loader->mistakes, *word != '\0' ? config_shown(word, quoted) : "''",
                       "unexpected argument; allowed: see --help");
        return 1;
    }
    format(name, sizeof name, "%.*s", (int)(length - 2), word + 2);
    format(place, sizeof place, "--%s", name);
    int wish = find_wish(program, name);
    const char **text = find_option(program, name, line);
    const char *meaning = find_shorthand(program, name, line, &text);
    if (wish != CONFIG_MISTAKES && value == NULL) {
        take_wish(loader, line, wish, place);
        return 1;
    }
    if (wish != CONFIG_MISTAKES || (meaning != NULL && value != NULL)) {
        config_mistake(loader->mistakes, place,
                       "takes no value; allowed: the option alone");
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
    for (int i = 1; i < argc && !is_info(line->wish);) {
        i += take_argument(loader, line, argv + i);
    }
}

/* The built-in defaults. A table that contradicts itself is a bug of ours. */
static void load_defaults(const struct config_program *program, void *values)
{
    ensure(program->key_count <= CONFIG_KEYS_MAX && program->action_count <= 8);
    for (size_t i = 0; i < program->key_count; i++) {
        const char *wrong =
            config_set(&program->keys[i], program->keys[i].standard, values);

        ensure(wrong == NULL);
        (void)wrong;
    }
}

int config_load(const struct config_program *program, int argc, char *const argv[],
                void *values, config_report *report, void *context)
{
    struct config_mistakes mistakes = {.report = report, .context = context};
    struct loader loader = {.program = program, .values = values, .mistakes = &mistakes};
    struct command_line line = {.wish = CONFIG_RUN};
    char place[CONFIG_NAME_TEXT + 2] = "--";

    load_defaults(program, values);
    read_command_line(&loader, argc, argv, &line);
    if (is_info(line.wish)) {
        return mistakes.any ? CONFIG_MISTAKES : line.wish;
    }
    config_file_read(program, line.file != NULL ? line.file : program->file,
                     line.file != NULL, values, &mistakes);
    load_environment(&loader);
    for (size_t i = 0; i < program->key_count; i++) {
        if (line.texts[i] != NULL) {
            config_option_name(program, &program->keys[i], place + 2);
            config_apply(&mistakes, place, &program->keys[i], line.texts[i], values);
        }
    }
    return mistakes.any ? CONFIG_MISTAKES : line.wish;
}

/* ---- --help and --print-config ---------------------------------------------------------
 */

static void print_option(const char *option, const char *help, config_write *write,
                         void *context)
{
    char text[256];

    format(text, sizeof text, "  --%-22s %s\n", option, help);
    write(context, text);
}

void config_help(const struct config_program *program, config_write *write, void *context)
{
    char text[512], option[CONFIG_NAME_TEXT + 8], env[CONFIG_NAME_TEXT],
        range[CONFIG_ALLOWED_TEXT];

    format(text, sizeof text, "Usage: %s [OPTION]...\n%s\n\nSettings:\n", program->name,
           program->purpose);
    write(context, text);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        config_option_name(program, key, option);
        format(text, sizeof text,
               "  --%-22s %s\n%27sallowed: %s; default: %s\n%27s[%s] %s, %s\n", option,
               key->help, "", config_allowed(key, range), key->standard, "", key->section,
               key->name, config_env_name(program, key, env));
        write(context, text);
    }
    write(context, "\nOther options:\n");
    format(text, sizeof text, "read this INI file instead of %s", program->file);
    print_option("config FILE, -c FILE", text, write, context);
    for (int i = 0; i < CONFIG_ACTION - CONFIG_HELP; i++) {
        print_option(wishes[i].name, wishes[i].help, write, context);
    }
    for (size_t i = 0; i < program->action_count; i++) {
        print_option(program->actions[i].name, program->actions[i].help, write, context);
    }
    for (size_t i = 0; i < program->shorthand_count; i++) {
        const struct config_shorthand *shorthand = &program->shorthands[i];
        size_t key = config_find(program, shorthand->section, shorthand->key);

        config_option_name(program, &program->keys[key], option);
        format(text, sizeof text, "the same as --%s %s", option, shorthand->value);
        print_option(shorthand->name, text, write, context);
    }
    write(context,
          "\nA setting is looked for in the INI file, the environment and the command\n"
          "line; the later wins.\n");
}

void config_print(const struct config_program *program, const void *values,
                  config_write *write, void *context)
{
    const char *section = "";
    char text[1024], value[512], option[CONFIG_NAME_TEXT], env[CONFIG_NAME_TEXT],
        range[CONFIG_ALLOWED_TEXT];

    format(text, sizeof text, "; %s: the complete configuration.\n", program->name);
    write(context, text);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (strcmp(section, key->section) != 0) {
            section = key->section;
            format(text, sizeof text, "\n[%s]\n", section);
            write(context, text);
        }
        config_format(key, values, value, sizeof value);
        format(text, sizeof text,
               "\n; %s.\n; Allowed: %s. Default: %s.\n; %s, --%s\n%s = %s\n", key->help,
               config_allowed(key, range), key->standard,
               config_env_name(program, key, env), config_option_name(program, key, option),
               key->name, value);
        write(context, text);
    }
}
