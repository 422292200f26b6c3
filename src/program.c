#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* Write all of a text. Returns false when that fails: a full disk must not look like
 * success. */
static bool write_all(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t n = write(fd, text, left);

        if (n == -1 && errno != EINTR) {
            return false;
        }
        text += n > 0 ? n : 0;
        left -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void print_mistake(void *context, const char *line)
{
    (void)context;
    write_all(STDERR_FILENO, line);
    write_all(STDERR_FILENO, "\n");
}

static void print_text(void *context, const char *text)
{
    bool *is_written = context;

    *is_written = *is_written && write_all(STDOUT_FILENO, text);
}

bool program_print(const char *text)
{
    return write_all(STDOUT_FILENO, text);
}

void program_complain(const char *line)
{
    print_mistake(NULL, line);
}

/* Whoever started us may have closed some of the descriptors 0 to 2. The first pipe would
 * take their place, and the log would go into it. */
static void fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    close(fd);
}

int program_start(const struct config_program *program, int argc, char *argv[],
                  void *values, int *exit_code)
{
    bool is_written = true;

    fill_standard_descriptors();
    int wish = config_load(program, argc, argv, values, print_mistake, NULL);

    switch (wish) {
    case CONFIG_MISTAKES:
        *exit_code = PROGRAM_USAGE;
        return CONFIG_MISTAKES;
    case CONFIG_HELP:
        config_help(program, print_text, &is_written);
        break;
    case CONFIG_VERSION:
        print_text(&is_written, program->name);
        print_text(&is_written, " " ECHOLAB_VERSION "\n");
        break;
    case CONFIG_CHECK:
        print_text(&is_written, program->name);
        print_text(&is_written, ": the configuration is good\n");
        break;
    case CONFIG_PRINT:
        config_print(program, values, print_text, &is_written);
        break;
    default:
        return wish;
    }
    *exit_code = is_written ? 0 : 1;
    return CONFIG_MISTAKES;
}
