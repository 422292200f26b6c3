#include "program.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "write_all.h"

static bool write_text(int fd, const char *text)
{
    return write_all(fd, text, strlen(text));
}

static void print_mistake(void *context, const char *line)
{
    (void)context;
    write_text(STDERR_FILENO, line);
    write_text(STDERR_FILENO, "\n");
}

static void print_text(void *context, const char *text)
{
    bool *is_written = context;

    *is_written = *is_written && write_text(STDOUT_FILENO, text);
}

bool program_print(const char *text)
{
    return write_text(STDOUT_FILENO, text);
}

void program_complain(const char *line)
{
    print_mistake(NULL, line);
}

/* Whoever started us may have closed some of the descriptors 0 to 2. The first pipe would
 * take their place, and the log would go into it. What stands there instead has the wrong
 * direction, so that text that nobody can get is an error (EBADF), not lost in silence. */
static void fill_standard_descriptors(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDONLY);
        if (fd == STDIN_FILENO) {
            close(fd);
            fd = open("/dev/null", O_WRONLY);
        }
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
