/* echo-client: reads its configuration, runs the probe's loop or a load, exits (codes:
 * client.h). */
#include <stdbool.h>
#include <unistd.h>

#include "client.h"
#include "load.h"
#include "log.h"
#include "program.h"

/* How long to wait at the end for somebody to read the log. */
#define LOG_PATIENCE_MS 200

int main(int argc, char *argv[])
{
    struct client_config config;
    int code;

    if (program_start(&client_program, argc, argv, &config, &code) == CONFIG_MISTAKES) {
        return code;
    }
    const char *contradiction = client_config_contradiction(&config);
    if (contradiction != NULL) {
        program_complain(contradiction);
        return CLIENT_USAGE;
    }
    /* A load's report is what belongs on stdout. */
    bool is_load = client_config_is_load(&config);
    log_open(is_load ? STDERR_FILENO : STDOUT_FILENO, (enum log_level)config.log_level,
             (enum log_format)config.log_format);
    code = (int)(is_load ? load_run(&config) : client_run(&config));
    log_close(LOG_PATIENCE_MS);
    return code;
}
