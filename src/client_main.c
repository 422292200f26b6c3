/* echo-client: reads its configuration, runs the probe's loop, exits (codes: client.h). */
#include <unistd.h>

#include "client.h"
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
    log_open(STDOUT_FILENO, (enum log_level)config.log_level,
             (enum log_format)config.log_format);
    code = (int)client_run(&config);
    log_close(LOG_PATIENCE_MS);
    return code;
}
