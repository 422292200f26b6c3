/* echo-server: reads its configuration, serves, exits (0 clean, 1 cut or fatal, 2 usage).
 */
#include <unistd.h>

#include "base/log.h"
#include "config/program.h"
#include "server/health.h"
#include "server/server.h"

/* How long to wait at the end for somebody to read the log. */
#define LOG_PATIENCE_MS 200

int main(int argc, char *argv[])
{
    struct server_config config;
    int code;

    int action = program_start(&server_program, argc, argv, &config, &code);
    if (action == CONFIG_EXIT) {
        return code;
    }
    if (action == SERVER_HEALTHCHECK) {
        return health_check(&config, argc == 2); /* told nothing but to check */
    }
    log_open(STDOUT_FILENO, (enum log_level)config.log_level,
             (enum log_format)config.log_format);
    code = server_run(&config);
    log_close(LOG_PATIENCE_MS);
    return code;
}
