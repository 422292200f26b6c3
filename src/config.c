#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ensure.h"
#include "escape.h"
#include "format.h"
#include "units.h"

/* Enough for every message here: a line of the file, escaped, and what is said of it. */
#define MESSAGE_MAX 1600
#define PLACE_MAX   600

/* What a place shows of a path: it leaves room for the line's number and the key. */
#define PATH_SHOWN_MAX 400

/* More keys than any program has; config_load() asserts it. */
#define KEYS_MAX 48

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* The state of one config_load(). */
struct loader {
    const struct config_program *program;
    void *values;
    config_report *report;
    void *context;
    bool has_mistakes;
    /* Of the file being read: */
    const char *path;
    char shown_path[PATH_SHOWN_MAX];
    unsigned line;
    const char *header;          /* the line of the section, "" before the first */
    int key_lines[KEYS_MAX];     /* where each key stood first; 0: nowhere yet */
    int section_lines[KEYS_MAX]; /* the same for sections, at their first key's index */
};

/* A place ("server.ini:7: port", "SERVER_PORT", "--port") and what is wrong there. */
static void mistake(struct loader *loader, const char *place, const char *pattern, ...)
    __attribute__((format(printf, 3, 4)));

static void mistake(struct loader *loader, const char *place, const char *pattern, ...)
{
    char message[MESSAGE_MAX];
    va_list arguments;
    size_t used = format(message, sizeof message, "%s: ", place);

    va_start(arguments, pattern);
    format_list(message + used, sizeof message - used, pattern, arguments);
    va_end(arguments);
    loader->has_mistakes = true;
    loader->report(loader->context, message);
}

/* Text of unknown origin made fit for a message of one line. */
#define SHOWN_MAX 96
static const char *shown(const char *text, char out[SHOWN_MAX])
{
    return escape_bytes(out, SHOWN_MAX, text, strlen(text));
}

/* ---- names and texts that follow from the table ----------------------------------------
 */

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

/* What the key's value may be: "0 to 65535", "text, json". */
#define ALLOWED_MAX 160
static const char *allowed(const struct config_key *key, char out[ALLOWED_MAX])
{
    char low[UNITS_DURATION_TEXT], high[UNITS_DURATION_TEXT];
    size_t used = 0;

    switch (key->type) {
    case CONFIG_WHOLE:
        format(out, ALLOWED_MAX, "%" PRIu64 " to %" PRIu64 "%s%s", key->min, key->max,
               key->choices != NULL ? ", " : "",
               key->choices != NULL ? key->choices[0] : "");
        break;
    case CONFIG_DURATION:
        format(out, ALLOWED_MAX, "%s to %s, like 500ms, 10s or 1m2s",
               units_format_duration(low, key->min), units_format_duration(high, key->max));
        break;
    case CONFIG_CHOICE:
        out[0] = '\0';
        for (size_t i = 0; key->choices[i] != NULL; i++) {
            used += format(out + used, ALLOWED_MAX - used, "%s%s", i == 0 ? "" : ", ",
                           key->choices[i]);
        }
        break;
    case CONFIG_YES_NO:
        format(out, ALLOWED_MAX, "yes, no");
        break;
    case CONFIG_TEXT:
        format(out, ALLOWED_MAX, "%s", key->allowed);
        break;
    }
    return out;
}

/* ---- one value -------------------------------------------------------------------------
 */

static const char *set_number(const struct config_key *key, const char *text,
                              uint64_t *field)
{
    bool is_duration = key->type == CONFIG_DURATION;
    uint64_t value;

    if (key->choices != NULL && strcmp(text, key->choices[0]) == 0) {
        *field = 0;
        return NULL;
    }
    if (is_duration ? !units_parse_duration(text, &value)
                    : !units_parse_whole(text, &value)) {
        return is_duration ? "is not a duration" : "is not a whole number";
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
        if (strcmp(text, key->choices[i]) == 0) {
            *field = i;
            return NULL;
        }
    }
    return "is not one of the choices";
}

static const char *set_yes_no(const char *text, bool *field)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0) {
        return "is neither yes nor no";
    }
    *field = text[0] == 'y';
    return NULL;
}

static const char *set_text(const struct config_key *key, const char *text, char *field)
{
    if (strlen(text) >= key->max) {
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

/* Set the key's field from text. Returns NULL, or what is wrong with the text. */
static const char *set_value(const struct config_key *key, const char *text, void *values)
{
    void *field = (char *)values + key->offset;

    switch (key->type) {
    case CONFIG_WHOLE:
    case CONFIG_DURATION:
        return set_number(key, text, field);
    case CONFIG_CHOICE:
        return set_choice(key, text, field);
    case CONFIG_YES_NO:
        return set_yes_no(text, field);
    case CONFIG_TEXT:
        return set_text(key, text, field);
    }
    return "has an unknown type";
}

static void apply(struct loader *loader, const char *place, const struct config_key *key,
                  const char *text)
{
    const char *wrong = set_value(key, text, loader->values);
    char quoted[SHOWN_MAX], range[ALLOWED_MAX];

    if (wrong != NULL) {
        mistake(loader, place, "'%s' %s; allowed: %s", shown(text, quoted), wrong,
                allowed(key, range));
    }
}

/* ---- the INI file ----------------------------------------------------------------------
 */

/* inih knows no line numbers, joins an indented line to the key above, and names only the
 * first line that is no INI. So it gets each line by itself, behind its section's header:
 * then every mistake has its own place. */
struct line_source {
    const char *lines[2];
    size_t next;
};

static char *next_line(char *out, int size, void *stream)
{
    struct line_source *source = stream;

    if (source->next == 2) {
        return NULL;
    }
    format(out, (size_t)size, "%s\n", source->lines[source->next++]);
    return out;
}

static const char *file_place(const struct loader *loader, const char *name,
                              char out[PLACE_MAX])
{
    char escaped[SHOWN_MAX];

    if (name == NULL) {
        format(out, PLACE_MAX, "%s:%u", loader->shown_path, loader->line);
    } else {
        format(out, PLACE_MAX, "%s:%u: %s", loader->shown_path, loader->line,
               shown(name, escaped));
    }
    return out;
}

static size_t find_key(const struct config_program *program, const char *section,
                       const char *name)
{
    for (size_t i = 0; i < program->key_count; i++) {
        if (strcmp(program->keys[i].section, section) == 0 &&
            (name == NULL || strcmp(program->keys[i].name, name) == 0)) {
            return i;
        }
    }
    return program->key_count;
}

/* The names of all keys of a section, or of all sections, for a message. */
static const char *known_names(const struct config_program *program, const char *section,
                               char out[MESSAGE_MAX / 2])
{
    const char *previous = "";
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];
        const char *name = section == NULL ? key->section : key->name;

        if ((section == NULL && strcmp(name, previous) != 0) ||
            (section != NULL && strcmp(key->section, section) == 0)) {
            used += format(out + used, MESSAGE_MAX / 2 - used, "%s%s",
                           used == 0 ? "" : ", ", name);
        }
        previous = name;
    }
    return out;
}

/* inih ignores what stands behind a header's bracket; we do not. */
static bool is_header_clean(const char *header)
{
    const char *rest = strchr(header, ']');

    rest += 1 + strspn(rest + 1, " \t");
    return *rest == '\0' || *rest == ';' || *rest == '#';
}

/* inih's handler for a header line: it arrives as the section of a key that follows it. */
static int on_section(void *user, const char *section, const char *name, const char *value)
{
    struct loader *loader = user;
    size_t first = find_key(loader->program, section, NULL);
    char place[PLACE_MAX], quoted[SHOWN_MAX], known[MESSAGE_MAX / 2];

    (void)name;
    (void)value;
    file_place(loader, NULL, place);
    if (*section == '\0') {
        return 0; /* the bracket is not closed, or nothing is in it */
    }
    if (!is_header_clean(loader->header)) {
        mistake(loader, place,
                "text behind a section; allowed: [section] alone on its line");
    } else if (first == loader->program->key_count) {
        mistake(loader, place, "unknown section [%s]; allowed: %s", shown(section, quoted),
                known_names(loader->program, NULL, known));
    } else if (loader->section_lines[first] != 0) {
        mistake(loader, place, "section [%s] stands twice, first in line %d; allowed: once",
                section, loader->section_lines[first]);
    } else {
        loader->section_lines[first] = (int)loader->line;
    }
    return 1;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct loader *loader = user;
    const struct config_program *program = loader->program;
    size_t index = find_key(program, section, name);
    char place[PLACE_MAX], known[MESSAGE_MAX / 2];

    file_place(loader, name, place);
    if (*section == '\0') {
        mistake(loader, place, "key outside of a section; allowed: below one of %s",
                known_names(program, NULL, known));
    } else if (index < program->key_count) {
        if (loader->key_lines[index] != 0) {
            mistake(loader, place, "key stands twice, first in line %d; allowed: once",
                    loader->key_lines[index]);
            return 1;
        }
        loader->key_lines[index] = (int)loader->line;
        apply(loader, place, &program->keys[index], value);
    } else if (find_key(program, section, NULL) < program->key_count) {
        mistake(loader, place, "unknown key of [%s]; allowed: %s", section,
                known_names(program, section, known));
    } /* a key of an unknown section: the section was reported */
    return 1;
}

/* Is it text: no control but the tab? */
static bool is_text(const char *line)
{
    for (; *line != '\0'; line++) {
        if (((unsigned char)*line < ' ' && *line != '\t') || *line == '\x7f') {
            return false;
        }
    }
    return true;
}

static void read_line(struct loader *loader, const char *line)
{
    struct line_source source = {.lines = {loader->header, line}};
    ini_handler handler = on_key;
    const char *wrong = NULL;
    char place[PLACE_MAX];

    if (*line == '[') {
        loader->header = line;
        source = (struct line_source){.lines = {line, "key = value"}};
        handler = on_section;
    }
    file_place(loader, NULL, place);
    if (strlen(line) > CONFIG_LINE_MAX) {
        mistake(loader, place, "line too long; allowed: %d bytes", CONFIG_LINE_MAX);
    } else if (!is_text(line)) {
        wrong = "control characters";
    } else if (ini_parse_stream(next_line, &source, handler, loader) != 0) {
        wrong = "no line of an INI file";
    } else {
        return;
    }
    if (wrong != NULL) {
        mistake(loader, place, "%s; allowed: [section], key = value, ; comment", wrong);
    }
    if (handler == on_section) {
        loader->header = "[?]"; /* the keys below belong to no section we know */
    }
}

/* Read all lines of `text`, which is changed (newlines become NULs). */
static void read_lines(struct loader *loader, char *text, size_t length)
{
    char *end = text + length;
    char place[PLACE_MAX];

    if (length >= 3 && memcmp(text, BYTE_ORDER_MARK, 3) == 0) {
        text += 3;
    }
    loader->header = "";
    for (loader->line = 1; text < end; loader->line++) {
        char *newline = memchr(text, '\n', (size_t)(end - text));
        char *stop = newline != NULL ? newline : end;

        *stop = '\0';
        if (strlen(text) != (size_t)(stop - text)) {
            mistake(loader, file_place(loader, NULL, place), "a NUL byte; allowed: text");
            return;
        }
        if (stop > text && stop[-1] == '\r') {
            stop[-1] = '\0';
        }
        read_line(loader, text + strspn(text, " \t"));
        text = stop + 1;
    }
}

/* Open and read the whole file into `buffer` of CONFIG_FILE_MAX + 2 bytes. Returns its
 * length, or -1 after reporting. What cannot seek (a pipe, a terminal) may block. */
static ssize_t slurp(struct loader *loader, const char *place, bool must_exist,
                     char *buffer)
{
    ssize_t length = 0, n;
    int fd = open(loader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd == -1) {
        if (must_exist || (errno != ENOENT && errno != ENOTDIR)) {
            mistake(loader, place, "cannot open it: %s; allowed: a readable file",
                    strerror(errno));
        }
        return -1;
    }
    if (lseek(fd, 0, SEEK_CUR) == -1) {
        mistake(loader, place, "a pipe or a device; allowed: a readable file");
        length = -1;
    }
    while (length >= 0 && length <= CONFIG_FILE_MAX) {
        n = read(fd, buffer + length, (size_t)(CONFIG_FILE_MAX + 1 - length));
        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n == -1) {
            mistake(loader, place, "cannot read it: %s; allowed: a readable file",
                    strerror(errno));
            length = -1;
        }
        if (n <= 0) {
            break;
        }
        length += n;
    }
    if (length > CONFIG_FILE_MAX) {
        mistake(loader, place, "too large; allowed: %d bytes", CONFIG_FILE_MAX);
        length = -1;
    }
    close(fd);
    return length;
}

static void load_file(struct loader *loader, const char *path, bool must_exist)
{
    char *buffer = malloc(CONFIG_FILE_MAX + 2);
    char place[PLACE_MAX];

    loader->path = path;
    escape_bytes(loader->shown_path, PATH_SHOWN_MAX, path, strlen(path));
    format(place, sizeof place, "%s", *path != '\0' ? loader->shown_path : "--config");
    if (buffer == NULL) {
        mistake(loader, place, "no memory to read it");
        return;
    }
    ssize_t length = slurp(loader, place, must_exist, buffer);
    if (length > 0) {
        read_lines(loader, buffer, (size_t)length);
    }
    free(buffer);
}

/* ---- environment and command line ------------------------------------------------------
 */

static void load_environment(struct loader *loader)
{
    char name[CONFIG_NAME_TEXT], quoted[SHOWN_MAX];

    for (size_t i = 0; i < loader->program->key_count; i++) {
        const struct config_key *key = &loader->program->keys[i];
        const char *text = getenv(config_env_name(loader->program, key, name));

        if (text == NULL) {
            continue;
        }
        if (strncmp(text, "tcp://", 6) == 0 && key->type == CONFIG_WHOLE) {
            mistake(loader, name,
                    "'%s' looks like a Kubernetes service link; set enableServiceLinks: "
                    "false in the pod or rename the Service",
                    shown(text, quoted));
            continue;
        }
        apply(loader, name, key, text);
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
    const char *file;            /* of -c, or NULL */
    const char *texts[KEYS_MAX]; /* by key; NULL: not given */
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
        mistake(loader, place, "given twice; allowed: once");
    } else if (line->wish != CONFIG_RUN && !is_info(wish)) {
        mistake(loader, loader->program->name, "told to do two things; allowed: one");
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
            size_t key = find_key(program, shorthand->section, shorthand->key);

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
    char name[CONFIG_NAME_TEXT], place[CONFIG_NAME_TEXT + 2], quoted[SHOWN_MAX];
    size_t length = value != NULL ? (size_t)(value - word) : strlen(word);

    if (strcmp(word, "-c") == 0) {
        word = "--config";
        length = strlen(word);
    } else if (strcmp(word, "-h") == 0) {
        word = "--help";
        length = strlen(word);
    }
    if (strncmp(word, "--", 2) != 0) {
        mistake(loader, *word != '\0' ? shown(word, quoted) : "''",
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
        mistake(loader, place, "takes no value; allowed: the option alone");
        return 1;
    }
    if (text == NULL) {
        escape_bytes(quoted, sizeof quoted, word, length);
        mistake(loader, quoted, "unknown option; allowed: see --help");
        return 1;
    }
    if (*text != NULL) {
        mistake(loader, place, "given twice; allowed: once");
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
        mistake(loader, place, "needs a value; allowed: see --help");
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

int config_load(const struct config_program *program, int argc, char *const argv[],
                void *values, config_report *report, void *context)
{
    struct loader loader = {
        .program = program, .values = values, .report = report, .context = context};
    struct command_line line = {.wish = CONFIG_RUN};
    char place[CONFIG_NAME_TEXT + 2] = "--";

    ensure(program->key_count <= KEYS_MAX && program->action_count <= 8);
    for (size_t i = 0; i < program->key_count; i++) {
        const char *wrong = set_value(&program->keys[i], program->keys[i].standard, values);

        ensure(wrong == NULL);
        (void)wrong;
    }
    read_command_line(&loader, argc, argv, &line);
    if (is_info(line.wish)) {
        return loader.has_mistakes ? CONFIG_MISTAKES : line.wish;
    }
    load_file(&loader, line.file != NULL ? line.file : program->file, line.file != NULL);
    load_environment(&loader);
    for (size_t i = 0; i < program->key_count; i++) {
        if (line.texts[i] != NULL) {
            config_option_name(program, &program->keys[i], place + 2);
            apply(&loader, place, &program->keys[i], line.texts[i]);
        }
    }
    return loader.has_mistakes ? CONFIG_MISTAKES : line.wish;
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
    char text[512], option[CONFIG_NAME_TEXT + 8], env[CONFIG_NAME_TEXT], range[ALLOWED_MAX];

    format(text, sizeof text, "Usage: %s [OPTION]...\n%s\n\nSettings:\n", program->name,
           program->purpose);
    write(context, text);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        config_option_name(program, key, option);
        format(text, sizeof text,
               "  --%-22s %s\n%27sallowed: %s; default: %s\n%27s[%s] %s, %s\n", option,
               key->help, "", allowed(key, range), key->standard, "", key->section,
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
        size_t key = find_key(program, shorthand->section, shorthand->key);

        config_option_name(program, &program->keys[key], option);
        format(text, sizeof text, "the same as --%s %s", option, shorthand->value);
        print_option(shorthand->name, text, write, context);
    }
    write(context,
          "\nA setting is looked for in the INI file, the environment and the command\n"
          "line; the later wins.\n");
}

static void format_value(const struct config_key *key, const void *values, char *out,
                         size_t size)
{
    const void *field = (const char *)values + key->offset;
    char duration[UNITS_DURATION_TEXT];

    switch (key->type) {
    case CONFIG_WHOLE:
        if (key->choices != NULL && *(const uint64_t *)field == 0) {
            format(out, size, "%s", key->choices[0]);
        } else {
            format(out, size, "%" PRIu64, *(const uint64_t *)field);
        }
        break;
    case CONFIG_DURATION:
        format(out, size, "%s", units_format_duration(duration, *(const uint64_t *)field));
        break;
    case CONFIG_CHOICE:
        format(out, size, "%s", key->choices[*(const int *)field]);
        break;
    case CONFIG_YES_NO:
        format(out, size, "%s", *(const bool *)field ? "yes" : "no");
        break;
    case CONFIG_TEXT:
        format(out, size, "%s", (const char *)field);
        break;
    }
}

void config_print(const struct config_program *program, const void *values,
                  config_write *write, void *context)
{
    const char *section = "";
    char text[1024], value[512], option[CONFIG_NAME_TEXT], env[CONFIG_NAME_TEXT],
        range[ALLOWED_MAX];

    format(text, sizeof text, "; %s: the complete configuration.\n", program->name);
    write(context, text);
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];

        if (strcmp(section, key->section) != 0) {
            section = key->section;
            format(text, sizeof text, "\n[%s]\n", section);
            write(context, text);
        }
        format_value(key, values, value, sizeof value);
        format(text, sizeof text,
               "\n; %s.\n; Allowed: %s. Default: %s.\n; %s, --%s\n%s = %s\n", key->help,
               allowed(key, range), key->standard, config_env_name(program, key, env),
               config_option_name(program, key, option), key->name, value);
        write(context, text);
    }
}
