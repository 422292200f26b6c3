#include "client_config.h"

#include <stddef.h>
#include <string.h>

#include "clock.h"
#include "log.h"

static const char *check_id(const char *value)
{
    if (*value == '\0') {
        return "is empty";
    }
    return strpbrk(value, " ;#") != NULL ? "has a blank, ';' or '#'" : NULL;
}

static const char *check_server_address(const char *value)
{
    char host[NET_HOST_TEXT];
    uint16_t port;

    if (strpbrk(value, " ;#") != NULL) {
        return "has a blank, ';' or '#'";
    }
    return net_split(value, host, &port);
}

#define FIELD(name) offsetof(struct client_config, name)

static const struct config_key keys[] = {
    {"client", "id", CONFIG_TEXT, FIELD(id), .max = CLIENT_ID_MAX, .check = check_id,
     .standard = "1", .allowed = "1 to 63 printable bytes without blank, ';' and '#'",
     .help = "Name of this client in its messages and its log"},
    {"client", "server_address", CONFIG_TEXT, FIELD(server_address),
     .max = CLIENT_ADDRESS_MAX, .check = check_server_address,
     .standard = "localhost:12345",
     .allowed = "host:port like server:12345, 192.0.2.1:7, [::1]:7; 180 bytes",
     .help = "Server to talk to"},
    {"client", "loop_lapse", CONFIG_DURATION, FIELD(loop_lapse_ns), .min = 0,
     .max = 365 * 24 * 3600 * CLOCK_S, .standard = "1m2s",
     .help = "Send messages for so long; 0 until stopped"},
    {"client", "loop_period", CONFIG_DURATION, FIELD(loop_period_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .standard = "10s",
     .help = "Wait so long after each message"},
    {"client", "timeout", CONFIG_DURATION, FIELD(timeout_ns), .min = CLOCK_MS,
     .max = 3600 * CLOCK_S, .standard = "5s",
     .help = "Give up after so long; for each of resolving, connecting and the reply"},
    {"client", "verify", CONFIG_YES_NO, FIELD(verify), .standard = "yes",
     .help = "Compare every byte; with no, a reply is what comes up to a newline"},
    {"log", "level", CONFIG_CHOICE, FIELD(log_level), .choices = log_level_names,
     .standard = "info", .help = "Least level to log; debug shows each step"},
    {"log", "format", CONFIG_CHOICE, FIELD(log_format), .choices = log_format_names,
     .standard = "text", .help = "Lines for people, or one JSON object per line"},
};

const struct config_program client_program = {
    .name = "echo-client",
    .purpose = "Sends messages to an echo server and checks every byte that comes back.",
    .section = "client",
    .env_prefix = "CLI",
    .file = "/etc/echolab/client.ini",
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
};
