#include "server_config.h"

#include <stddef.h>

#include "clock.h"
#include "log.h"
#include "sandbox_mode.h"

static const char *check_address(const char *value)
{
    struct net_address address;

    return net_numeric(value, 0, &address) ? NULL : "is no numeric address";
}

static const char *const auto_word[] = {"auto", NULL};

#define FIELD(name) offsetof(struct server_config, name)

static const struct config_key keys[] = {
    {"server", "address", CONFIG_TEXT, FIELD(address), .max = NET_ADDRESS_TEXT,
     .check = check_address,
     .standard = "::", .allowed = "a numeric IPv4 or IPv6 address; :: takes both kinds",
     .help = "Address to listen on"},
    {"server", "port", CONFIG_WHOLE, FIELD(port), .min = 0, .max = 65535,
     .standard = "12345",
     .help = "TCP port to listen on; with 0 the kernel chooses and the log tells"},
    {"server", "listen_backlog", CONFIG_WHOLE, FIELD(listen_backlog), .min = 1,
     .max = 65535, .standard = "511",
     .help = "Connections that may wait to be accepted; net.core.somaxconn caps it"},
    {"server", "max_connections", CONFIG_WHOLE, FIELD(max_connections), .min = 1,
     .max = 1000000, .standard = "10000",
     .help = "Connections at once; further ones wait in the backlog"},
    {"server", "workers", CONFIG_WHOLE, FIELD(workers), .min = 1, .max = 64,
     .choices = auto_word, .standard = "1",
     .help = "Threads that serve connections; auto is one per CPU"},
    {"server", "idle_timeout", CONFIG_DURATION, FIELD(idle_timeout_ns), .min = 0,
     .max = 7 * 24 * 3600 * CLOCK_S, .standard = "5m",
     .help = "Close a connection that moved no byte for so long; 0 never"},
    {"server", "write_timeout", CONFIG_DURATION, FIELD(write_timeout_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .standard = "30s",
     .help = "Cut a connection whose peer took no byte for so long; 0 never"},
    {"server", "drain_timeout", CONFIG_DURATION, FIELD(drain_timeout_ns), .min = 0,
     .max = 3600 * CLOCK_S, .standard = "4s",
     .help = "After SIGTERM, the time for connections to end before they are cut"},
    {"server", "sandbox", CONFIG_CHOICE, FIELD(sandbox), .choices = sandbox_mode_names,
     .standard = "auto",
     .help = "Give up files and system calls after the start; auto: as the kernel can"},
    {"log", "level", CONFIG_CHOICE, FIELD(log_level), .choices = log_level_names,
     .standard = "info", .help = "Least level to log; debug shows each message"},
    {"log", "format", CONFIG_CHOICE, FIELD(log_format), .choices = log_format_names,
     .standard = "text", .help = "Lines for people, or one JSON object per line"},
};

static const struct config_action actions[] = {
    {"healthcheck", "do one echo against the configured server within 1 s, exit 0 or 1"},
};

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
};
