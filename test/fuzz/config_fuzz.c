/* A configuration out of the fuzzer's bytes: a program, its command line, its environment,
 * and the rest is the INI file. Every mistake is one printable line, and what is accepted
 * reads the same again after --print-config. */
#include "config/config.h"

#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/client_config.h"
#include "base/escape.h"
#include "base/format.h"
#include "fuzz.h"
#include "server/server_config.h"

#define PIECES_MAX 6
#define TEXT_MAX   256
#define PRINT_MAX  32768

extern char **environ;

union values {
    struct server_config server;
    struct client_config client;
};

struct print {
    size_t used, half; /* half: where the last line before the middle ends */
    char text[PRINT_MAX];
};

static unsigned mistakes;

static void on_mistake(void *context, const char *line)
{
    (void)context;
    mistakes++;
    PROMISE(*line != '\0' && strstr(line, "allowed: ") != NULL);
    PROMISE(escape_is_printable(line, strlen(line)));
}

static void on_print(void *context, const char *text)
{
    struct print *print = context;
    size_t length = strlen(text);

    PROMISE(print->used + length < PRINT_MAX);
    memcpy(print->text + print->used, text, length + 1);
    print->used += length;
}

static void write_file(int fd, const void *bytes, size_t length)
{
    PROMISE(ftruncate(fd, 0) == 0);
    PROMISE(pwrite(fd, bytes, length, 0) == (ssize_t)length);
}

/* A piece of the input, as text. Returns `out`. */
static char *piece(char out[TEXT_MAX])
{
    size_t length = below(128);

    length = length < fuzz_left ? length : fuzz_left;
    memcpy(out, fuzz_bytes, length);
    out[length] = '\0';
    fuzz_bytes += length;
    fuzz_left -= length;
    return out;
}

static const struct config_key *any_key(const struct config_program *program)
{
    return &program->keys[below((unsigned)program->key_count)];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static int file = -1;
    static char path[32];
    static struct print first, second;
    static char name[] = "program", option[] = "-c";
    char arguments[PIECES_MAX][2 * TEXT_MAX], variables[PIECES_MAX][2 * TEXT_MAX];
    char text[TEXT_MAX], key_name[CONFIG_NAME_TEXT];
    char *argv[PIECES_MAX + 4] = {name}, *none[] = {NULL}, *ours[PIECES_MAX + 1] = {NULL};
    int argc = 1;
    union values values;

    if (file == -1) {
        file = memfd_create("config", MFD_CLOEXEC);
        format(path, sizeof path, "/proc/self/fd/%d", file);
    }
    fuzz_bytes = bytes;
    fuzz_left = length;
    const struct config_program *program =
        below(2) == 0 ? &server_program : &client_program;
    unsigned argument_count = below(PIECES_MAX), variable_count = below(PIECES_MAX);
    for (unsigned i = 0; i < argument_count; i++) {
        if (below(2) == 0) {
            piece(arguments[i]);
        } else {
            config_option_name(any_key(program), key_name);
            format(arguments[i], sizeof arguments[i], "--%s=%s", key_name, piece(text));
        }
        argv[argc++] = arguments[i];
    }
    for (unsigned i = 0; i < variable_count; i++) {
        config_env_name(program, any_key(program), key_name);
        format(variables[i], sizeof variables[i], "%s=%s", key_name, piece(text));
        ours[i] = variables[i];
    }
    write_file(file, fuzz_bytes, fuzz_left);
    argv[argc++] = option;
    argv[argc++] = path;

    char **before = environ;
    environ = ours;
    mistakes = 0;
    int action = config_load(program, argc, argv, &values, on_mistake, NULL);
    environ = none;
    PROMISE((action == CONFIG_EXIT) == (mistakes > 0));
    if (action == CONFIG_RUN || action == CONFIG_CHECK || action == CONFIG_PRINT) {
        first.used = second.used = 0;
        config_print(program, &values, on_print, &first);
        first.half = first.used / 2;
        while (first.text[first.half - 1] != '\n') {
            first.half--;
        }
        /* The control: what is read again lacks the second half. */
        write_file(file, first.text, FUZZ_CONTROL ? first.half : first.used);
        argv[1] = option;
        argv[2] = path;
        argv[3] = NULL;
        PROMISE(config_load(program, 3, argv, &values, on_mistake, NULL) == CONFIG_RUN);
        config_print(program, &values, on_print, &second);
        PROMISE(first.used == second.used &&
                memcmp(first.text, second.text, first.used) == 0);
    }
    environ = before;
    return 0;
}
