#include "config/config_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/escape.h"
#include "base/format.h"

#define PLACE_MAX 600

/* The most bytes of a path in a place: the rest is for the line number and the key. */
#define PATH_SHOWN_MAX 400

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

struct reader {
    const struct config_program *program;
    void *values;
    struct config_mistakes *mistakes;
    const char *path;
    char shown_path[PATH_SHOWN_MAX];
    unsigned line;
    const char *header;                 /* the section's line; "" before the first one */
    int key_lines[CONFIG_KEYS_MAX];     /* the line of each key; 0: not seen yet */
    int section_lines[CONFIG_KEYS_MAX]; /* the same for sections, at their first key's index
                                         */
};

/* inih gives no line numbers, joins an indented line to the key above, and reports only the
 * first line that is not INI. So it gets each line by itself, after its section's header:
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

static const char *file_place(const struct reader *reader, const char *name,
                              char out[PLACE_MAX])
{
    char escaped[CONFIG_SHOWN_TEXT];

    if (name == NULL) {
        format(out, PLACE_MAX, "%s:%u", reader->shown_path, reader->line);
    } else {
        format(out, PLACE_MAX, "%s:%u: %s", reader->shown_path, reader->line,
               config_shown(name, escaped));
    }
    return out;
}

/* The names of a section's keys, or of all sections if `section` is NULL, for a message. */
static const char *known_names(const struct config_program *program, const char *section,
                               char out[CONFIG_MESSAGE_TEXT / 2])
{
    const char *previous = "";
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; i < program->key_count; i++) {
        const struct config_key *key = &program->keys[i];
        const char *name = section == NULL ? key->section : key->name;

        if ((section == NULL && strcmp(name, previous) != 0) ||
            (section != NULL && strcmp(key->section, section) == 0)) {
            used += format(out + used, CONFIG_MESSAGE_TEXT / 2 - used, "%s%s",
                           used == 0 ? "" : ", ", name);
        }
        previous = name;
    }
    return out;
}

/* inih ignores text after a header's bracket; here it is a mistake. */
static bool is_header_clean(const char *header)
{
    const char *rest = strchr(header, ']');

    rest += 1 + strspn(rest + 1, " \t");
    return *rest == '\0' || *rest == ';' || *rest == '#';
}

/* inih's handler for a header line: it arrives as the section of a key that follows it. */
static int on_section(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;
    size_t first = config_find(reader->program, section, NULL);
    char place[PLACE_MAX], quoted[CONFIG_SHOWN_TEXT], known[CONFIG_MESSAGE_TEXT / 2];

    (void)name;
    (void)value;
    file_place(reader, NULL, place);
    if (*section == '\0') {
        return 0; /* the bracket is not closed, or is empty */
    }
    if (!is_header_clean(reader->header)) {
        config_mistake(reader->mistakes, place,
                       "text after a section; allowed: [section] alone");
    } else if (first == reader->program->key_count) {
        config_mistake(reader->mistakes, place, "unknown section [%s]; allowed: %s",
                       config_shown(section, quoted),
                       known_names(reader->program, NULL, known));
    } else if (reader->section_lines[first] != 0) {
        config_mistake(reader->mistakes, place,
                       "section [%s] is repeated, first in line %d; allowed: once", section,
                       reader->section_lines[first]);
    } else {
        reader->section_lines[first] = (int)reader->line;
    }
    return 1;
}

static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reader *reader = user;
    const struct config_program *program = reader->program;
    size_t index = config_find(program, section, name);
    char place[PLACE_MAX], known[CONFIG_MESSAGE_TEXT / 2];

    file_place(reader, name, place);
    if (*section == '\0') {
        config_mistake(reader->mistakes, place,
                       "key outside of a section; allowed: below one of %s",
                       known_names(program, NULL, known));
    } else if (index < program->key_count) {
        if (reader->key_lines[index] != 0) {
            config_mistake(reader->mistakes, place,
                           "key is repeated, first in line %d; allowed: once",
                           reader->key_lines[index]);
            return 1;
        }
        reader->key_lines[index] = (int)reader->line;
        config_apply(reader->mistakes, place, &program->keys[index], value, reader->values);
    } else if (config_find(program, section, NULL) < program->key_count) {
        config_mistake(reader->mistakes, place, "unknown key of [%s]; allowed: %s", section,
                       known_names(program, section, known));
    } /* a key of an unknown section: the section was reported */
    return 1;
}

/* Is the line text, without control characters except tabs? */
static bool is_text(const char *line)
{
    for (; *line != '\0'; line++) {
        if (((unsigned char)*line < ' ' && *line != '\t') || *line == '\x7f') {
            return false;
        }
    }
    return true;
}

static void read_line(struct reader *reader, const char *line)
{
    struct line_source source = {.lines = {reader->header, line}};
    ini_handler handler = on_key;
    const char *wrong = NULL;
    char place[PLACE_MAX];

    if (*line == '[') {
        reader->header = line;
        source = (struct line_source){.lines = {line, "key = value"}};
        handler = on_section;
    }
    file_place(reader, NULL, place);
    if (strlen(line) > CONFIG_LINE_MAX) {
        config_mistake(reader->mistakes, place, "line too long; allowed: %d bytes",
                       CONFIG_LINE_MAX);
    } else if (!is_text(line)) {
        wrong = "control characters";
    } else if (ini_parse_stream(next_line, &source, handler, reader) != 0) {
        wrong = "not a line of an INI file";
    } else {
        return;
    }
    if (wrong != NULL) {
        config_mistake(reader->mistakes, place,
                       "%s; allowed: [section], key = value, ; comment", wrong);
    }
    if (handler == on_section) {
        reader->header = "[?]"; /* the keys below it belong to no known section */
    }
}

/* Read all lines of `text`; newlines in it become NULs. */
static void read_lines(struct reader *reader, char *text, size_t length)
{
    char *end = text + length;
    char place[PLACE_MAX];

    if (length >= 3 && memcmp(text, BYTE_ORDER_MARK, 3) == 0) {
        text += 3;
    }
    reader->header = "";
    for (reader->line = 1; text < end; reader->line++) {
        char *newline = memchr(text, '\n', (size_t)(end - text));
        char *stop = newline != NULL ? newline : end;

        *stop = '\0';
        if (strlen(text) != (size_t)(stop - text)) {
            config_mistake(reader->mistakes, file_place(reader, NULL, place),
                           "a NUL byte; allowed: text");
            return;
        }
        if (stop > text && stop[-1] == '\r') {
            stop[-1] = '\0';
        }
        read_line(reader, text + strspn(text, " \t"));
        text = stop + 1;
    }
}

/* Returns -1. */
static ssize_t refuse(struct reader *reader, const char *place, const char *why)
{
    config_mistake(reader->mistakes, place, "%s; allowed: a readable file", why);
    return -1;
}

/* Open and read the whole file into `buffer` of CONFIG_FILE_MAX + 2 bytes. Returns its
 * length; -1: it is missing, or a mistake was reported. */
static ssize_t slurp(struct reader *reader, const char *place, bool must_exist,
                     char *buffer)
{
    ssize_t length = 0, n;
    int fd = open(reader->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd == -1) {
        bool may_miss = !must_exist && (errno == ENOENT || errno == ENOTDIR);

        return may_miss ? -1 : refuse(reader, place, strerror(errno));
    }
    if (lseek(fd, 0, SEEK_CUR) == -1) {
        length = refuse(reader, place, "a pipe or a device");
    }
    while (length >= 0 && length <= CONFIG_FILE_MAX) {
        n = read(fd, buffer + length, (size_t)(CONFIG_FILE_MAX + 1 - length));
        if (n == -1 && errno == EINTR) {
            continue;
        }
        if (n == -1) {
            length = refuse(reader, place, strerror(errno));
        }
        if (n <= 0) {
            break;
        }
        length += n;
    }
    if (length > CONFIG_FILE_MAX) {
        config_mistake(reader->mistakes, place, "too large; allowed: %d bytes",
                       CONFIG_FILE_MAX);
        length = -1;
    }
    close(fd);
    return length;
}

void config_file_read(const struct config_program *program, const char *path,
                      bool must_exist, void *values, struct config_mistakes *mistakes)
{
    struct reader reader = {
        .program = program, .values = values, .mistakes = mistakes, .path = path};
    char *buffer = malloc(CONFIG_FILE_MAX + 2);
    char place[PLACE_MAX];

    ensure(program->key_count <= CONFIG_KEYS_MAX);
    escape_bytes(reader.shown_path, PATH_SHOWN_MAX, path, strlen(path));
    format(place, sizeof place, "%s", *path != '\0' ? reader.shown_path : "--config");
    if (buffer == NULL) {
        config_mistake(mistakes, place, "no memory to read it");
        return;
    }
    ssize_t length = slurp(&reader, place, must_exist, buffer);
    if (length > 0) {
        read_lines(&reader, buffer, (size_t)length);
    }
    free(buffer);
}
