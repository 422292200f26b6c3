#include "config/program.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "io/fdwait.h"

static bool write_text(int fd, const char *text)
{
    return fdwait_write_all(fd, text, strlen(text));
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

/* The parent may have closed some of the descriptors 0 to 2. The first pipe would get such
 * a number, and the log would go into that pipe. So /dev/null gets it, opened in the wrong
 * direction: output that nobody can read is then an error (EBADF) and not lost silently. */
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

/* A write beyond the limit of a file's size (RLIMIT_FSIZE) fails and does not kill. */
static void ignore_size_limit(void)
{
    const struct sigaction action = {.sa_handler = SIG_IGN};

    sigaction(SIGXFSZ, &action, NULL);
}

int program_start(const struct config_program *program, int argc, char *argv[],
                  void *values, int *exit_code)
{
    bool is_written = true;

    fill_standard_descriptors();
    ignore_size_limit();
    int action = config_load(program, argc, argv, values, print_mistake, NULL);

    switch (action) {
    case CONFIG_EXIT:
        *exit_code = PROGRAM_USAGE;
        return CONFIG_EXIT;
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
        return action;
    }
    *exit_code = is_written ? 0 : 1;
    return CONFIG_EXIT;
}
