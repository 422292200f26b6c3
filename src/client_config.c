#include "client_config.h"

#include <stddef.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "sandbox_mode.h"

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

static const char *check_target(const char *value)
{
    return strcmp(value, LOAD_NO_TARGET) == 0 ? NULL : check_server_address(value);
}

int client_config_sources(const char *text, struct net_address sources[LOAD_SOURCES_MAX])
{
    char one[NET_ADDRESS_TEXT];
    int count = 0;

    if (strcmp(text, LOAD_NO_SOURCE) == 0) {
        return 0;
    }
    for (;; text++) {
        size_t length = strcspn(text, ",");

        if (length >= sizeof one || count == LOAD_SOURCES_MAX) {
            return -1;
        }
        memcpy(one, text, length);
        one[length] = '\0';
        if (!net_numeric(one, 0, &sources[count++])) {
            return -1;
        }
        text += length;
        if (*text == '\0') {
            return count;
        }
    }
}

static const char *check_source(const char *value)
{
    struct net_address sources[LOAD_SOURCES_MAX];

    return client_config_sources(value, sources) == -1 ? "is no list of addresses" : NULL;
}

static const char *const no_limit_words[] = {"unlimited", NULL};
static const char *const closed_words[] = {"closed", NULL};
static const char *const policy_names[] = {"first", "round-robin", NULL};
static const char *const report_names[] = {"text", "json", "csv", "none", NULL};

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
    {"client", "interval", CONFIG_DURATION, FIELD(interval_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .standard = "0s",
     .help = "Begin a message every so long; 0: instead wait loop_period after each"},
    {"client", "count", CONFIG_WHOLE, FIELD(count), .min = 0, .max = 1000000000000,
     .choices = no_limit_words, .standard = "unlimited", .help = "Send so many messages"},
    {"client", "timeout", CONFIG_DURATION, FIELD(timeout_ns), .min = CLOCK_MS,
     .max = 3600 * CLOCK_S, .standard = "5s",
     .help = "Give up after so long; for each of resolving, connecting and the reply"},
    {"client", "verify", CONFIG_YES_NO, FIELD(verify), .standard = "yes",
     .help = "Compare every byte; with no, a reply is what comes up to a newline"},
    {"client", "sandbox", CONFIG_CHOICE, FIELD(sandbox), .choices = sandbox_mode_names,
     .standard = "auto",
     .help = "Give up files and system calls after the start; auto: as the kernel can"},
    {"load", "target", CONFIG_TEXT, FIELD(load.target), .max = CLIENT_ADDRESS_MAX,
     .check = check_target, .standard = LOAD_NO_TARGET, .option = "load",
     .allowed =
         LOAD_NO_TARGET ", or host:port like server:12345, 192.0.2.1:7, [::1]:7; 180 bytes",
     .help = "Measure this server under load, instead of the loop"},
    {"load", "connections", CONFIG_WHOLE, FIELD(load.connections), .min = 1, .max = 1000000,
     .standard = "10", .option = "connections", .help = "Connections at once"},
    {"load", "source", CONFIG_TEXT, FIELD(load.source), .max = CLIENT_ADDRESS_MAX,
     .check = check_source, .standard = LOAD_NO_SOURCE, .option = "source",
     .allowed = LOAD_NO_SOURCE
     ", or up to 16 numeric addresses of this machine with commas between",
     .help = "Addresses to connect from, in turn: each has its own ports"},
    {"load", "size", CONFIG_SIZE, FIELD(load.size), .min = 1, .max = 16777216,
     .standard = "64", .option = "size", .help = "Bytes of each message"},
    {"load", "duration", CONFIG_DURATION, FIELD(load.duration_ns), .min = 0,
     .max = 365 * 24 * 3600 * CLOCK_S, .standard = "10s", .option = "duration",
     .help = "Send for so long, warm-up not counted; 0: no limit"},
    {"load", "warmup", CONFIG_DURATION, FIELD(load.warmup_ns), .min = 0,
     .max = 3600 * CLOCK_S, .standard = "0s", .option = "warmup",
     .help = "Send for so long before measuring"},
    {"load", "messages", CONFIG_WHOLE, FIELD(load.messages), .min = 0, .max = 1000000000000,
     .choices = no_limit_words, .standard = "unlimited", .option = "messages",
     .help = "Send so many in all, warm-up included"},
    {"load", "rate", CONFIG_WHOLE, FIELD(load.rate), .min = 0, .max = 10000000,
     .choices = closed_words, .standard = "closed", .option = "rate",
     .help = "Messages per second on a schedule; closed: each after an echo"},
    {"load", "pipeline", CONFIG_WHOLE, FIELD(load.pipeline), .min = 1, .max = 1024,
     .standard = "1", .option = "pipeline",
     .help = "Messages under way at once on one connection"},
    {"load", "reconnect", CONFIG_YES_NO, FIELD(load.reconnect), .standard = "no",
     .option = "reconnect", .help = "A connection for each message"},
    {"load", "threads", CONFIG_WHOLE, FIELD(load.threads), .min = 1, .max = 64,
     .standard = "1", .option = "threads", .help = "Threads that share the connections"},
    {"load", "retry", CONFIG_DURATION, FIELD(load.retry_ns), .min = 0, .max = 60 * CLOCK_S,
     .standard = "100ms", .option = "retry",
     .help = "Connect again after so long, doubled up to 5s; 0: never"},
    {"load", "address_policy", CONFIG_CHOICE, FIELD(load.address_policy),
     .choices = policy_names, .standard = "round-robin", .option = "address-policy",
     .help = "Which addresses of a name to use"},
    {"load", "report", CONFIG_CHOICE, FIELD(load.report), .choices = report_names,
     .standard = "text", .option = "report",
     .help = "What to print at the end: tables, a JSON object, a line of CSV"},
    {"log", "level", CONFIG_CHOICE, FIELD(log_level), .choices = log_level_names,
     .standard = "info", .help = "Least level to log; debug shows each step"},
    {"log", "format", CONFIG_CHOICE, FIELD(log_format), .choices = log_format_names,
     .standard = "text", .help = "Lines for people, or one JSON object per line"},
};

static const struct config_shorthand shorthands[] = {
    {"once", "client", "count", "1"},
    {"json", "load", "report", "json"},
    {"csv", "load", "report", "csv"},
    {"quiet", "load", "report", "none"},
};

const struct config_program client_program = {
    .name = "echo-client",
    .purpose = "Sends messages to an echo server and checks every byte that comes back.",
    .section = "client",
    .env_prefix = "CLI",
    .file = "/etc/echolab/client.ini",
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .shorthands = shorthands,
    .shorthand_count = sizeof shorthands / sizeof shorthands[0],
};

bool client_config_is_load(const struct client_config *config)
{
    return strcmp(config->load.target, LOAD_NO_TARGET) != 0;
}

const char *client_config_contradiction(const struct client_config *config)
{
    const struct load_config *load = &config->load;

    if (!client_config_is_load(config)) {
        return load->report != LOAD_REPORT_TEXT
                   ? "report is for a load; allowed: together with --load HOST:PORT"
                   : NULL;
    }
    if (config->count != 0) {
        return "count is for the loop, not for a load; allowed: --messages";
    }
    if (load->reconnect && load->pipeline > 1) {
        return "reconnect contradicts a pipeline; allowed: one of the two";
    }
    if (load->threads > load->connections) {
        return "more threads than connections; allowed: as many as connections";
    }
    if (load->messages != 0 && load->messages < load->threads) {
        return "fewer messages than threads; allowed: one for each thread";
    }
    return NULL;
}
