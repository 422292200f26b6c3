/* echo-server: reads its configuration, serves, exits (0 clean, 1 cut or fatal, 2 usage).
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "net.h"
#include "probe.h"
#include "program.h"
#include "server.h"

/* The whole health check must end within a second. */
#define HEALTH_STEP_NS (450 * CLOCK_MS)

/* How long to wait at the end for somebody to read the log. */
#define LOG_PATIENCE_MS 200

/* Where the server that listens on `config->address` can be reached from the same host. */
static void reachable_address(const struct server_config *config,
                              struct net_address *address)
{
    const char *host = config->address;

    if (strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0) {
        host = "127.0.0.1";
    }
    net_numeric(host, (uint16_t)config->port, address);
}

/* One real echo: a server at its limit accepts no more, but the kernel still connects.
 * Returns 0 healthy, 1 not (Dockerfile's HEALTHCHECK). */
static int check_health(const struct server_config *config)
{
    static const char message[] = "echo-server --healthcheck\n";
    struct net_address address, source;
    struct probe probe;

    net_numeric(NET_HEALTH_CHECK_SOURCE, 0, &source);
    reachable_address(config, &address);
    probe_start(&probe, message, sizeof message - 1, true, HEALTH_STEP_NS);
    int fd = net_connect(
        &address, address.storage.ss_family == source.storage.ss_family ? &source : NULL);
    if (fd == -1) {
        probe_fail(&probe, probe_outcome_of(errno), errno);
    } else {
        probe_wait(&probe, fd, -1);
        close(fd);
    }
    bool is_healthy = probe.outcome == PROBE_ECHOED;
    program_print(is_healthy ? "healthy" : probe_outcome_names[probe.outcome]);
    program_print("\n");
    return is_healthy ? 0 : 1;
}

int main(int argc, char *argv[])
{
    struct server_config config;
    int code;

    int wish = program_start(&server_program, argc, argv, &config, &code);
    if (wish == CONFIG_MISTAKES) {
        return code;
    }
    if (wish == SERVER_HEALTHCHECK) {
        return check_health(&config);
    }
    log_open(STDOUT_FILENO, (enum log_level)config.log_level,
             (enum log_format)config.log_format);
    code = server_run(&config);
    log_close(LOG_PATIENCE_MS);
    return code;
}
