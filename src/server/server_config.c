#include "server/server_config.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/admin.h"
#include "sandbox/sandbox_mode.h"

static const char *check_address(const char *value)
{
    struct net_address address;

    return net_numeric(value, 0, &address) ? NULL : "is not a numeric address";
}

static const char *const auto_word[] = {"auto", NULL};

#define FIELD(name) offsetof(struct server_config, name)

static const struct config_key keys[] = {
    {"server", "address", CONFIG_TEXT, FIELD(address), true, .size = NET_ADDRESS_TEXT,
     .check = check_address, .default_value = "::", .value = "ADDRESS",
     .allowed = "a numeric IPv4 or IPv6 address; :: takes both kinds",
     .help = "Address to listen on"},
    {"server", "port", CONFIG_WHOLE, FIELD(port), true, .min = 0, .max = 65535,
     .default_value = "12345", .value = "PORT",
     .help = "TCP port to listen on; 0: the kernel chooses"},
    {"server", "listen_backlog", CONFIG_WHOLE, FIELD(listen_backlog), .min = 1,
     .max = 65535, .default_value = "511", .value = "NUMBER",
     .help = "Connections that may wait to be accepted; net.core.somaxconn caps it"},
    {"server", "max_connections", CONFIG_WHOLE, FIELD(max_connections), true, .min = 1,
     .max = 1000000, .default_value = "10000", .value = "NUMBER",
     .help = "Connections at once; further ones wait in the backlog"},
    {"server", "pending_memory", CONFIG_SIZE, FIELD(pending_memory), true, .min = 0,
     .max = (uint64_t)1 << 40, .default_value = "16MiB", .value = "BYTES",
     .help = "Bytes held in all for peers that do not read; more stay in the kernel"},
    {"server", "workers", CONFIG_WHOLE, FIELD(workers), true, .min = 1, .max = 64,
     .choices = auto_word, .default_value = "1", .value = "NUMBER",
     .help = "Threads that serve connections; auto: one per CPU"},
    {"server", "idle_timeout", CONFIG_DURATION, FIELD(idle_timeout_ns), true, .min = 0,
     .max = 7 * 24 * 3600 * CLOCK_S, .default_value = "5m", .value = "TIME",
     .help = "Close a connection that moved no byte for this time; 0: never"},
    {"server", "write_timeout", CONFIG_DURATION, FIELD(write_timeout_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .default_value = "30s", .value = "TIME",
     .help = "Cut a connection whose peer took no byte for this time; 0: never"},
    {"server", "drain_timeout", CONFIG_DURATION, FIELD(drain_timeout_ns), true, .min = 0,
     .max = 3600 * CLOCK_S, .default_value = "4s", .value = "TIME",
     .help = "Time after SIGTERM for connections to end before they are cut"},
    {"server", "admin_address", CONFIG_TEXT, FIELD(admin_address), .size = NET_ADDRESS_TEXT,
     .check = admin_check_address, .default_value = ADMIN_NONE, .value = "ADDRESS",
     .allowed = ADMIN_ADDRESS_ALLOWED, .help = "Serve /metrics, /livez and /readyz there"},
    {"server", "sandbox", CONFIG_CHOICE, FIELD(sandbox), true,
     .choices = sandbox_mode_names, .default_value = "auto", .value = "MODE",
     .help = "Give up files and system calls; auto: as far as the kernel can"},
    {"log", "level", CONFIG_CHOICE, FIELD(log_level), true, .choices = log_level_names,
     .default_value = "info", .value = "LEVEL", .option = CONFIG_BY_BOTH,
     .alias = "logging_level",
     .help = "Lowest level to log, also LOGGING_LEVEL; debug shows each message"},
    {"log", "format", CONFIG_CHOICE, FIELD(log_format), true, .choices = log_format_names,
     .default_value = "text", .value = "FORMAT", .option = CONFIG_BY_BOTH,
     .help = "Lines for people, or one JSON object per line"},
};

static const struct config_action_option actions[] = {
    CONFIG_COMMON_ACTIONS,
    {"healthcheck", "do one echo with the configured server, exit 0 or 1"},
};

static const char *contradiction(const void *values, const char *const texts[],
                                 char out[CONFIG_CONTRADICTION_TEXT])
{
    const struct server_config *config = values;
    struct net_address own;

    (void)texts;
    (void)out;
    net_numeric(config->address, (uint16_t)config->port, &own);
    return admin_is_at(config->admin_address, &own)
               ? "admin_address overlaps the echo's own; allowed: another port"
               : NULL;
}

const struct config_program server_program = {
    .name = "echo-server",
    .purpose = "A TCP echo server (RFC 862): what you send comes back, every byte.",
    .section = "server",
    .env_prefix = "SERVER",
    .file = "/etc/echolab/server.ini",
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .actions = actions,
    .action_count = sizeof actions / sizeof actions[0],
    .contradiction = contradiction,
};
