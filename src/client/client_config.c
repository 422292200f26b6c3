#include "client/client_config.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/format.h"
#include "base/log.h"
#include "base/units.h"
#include "io/admin.h"
#include "sandbox/sandbox_mode.h"

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

    if (strpbrk(value, " ;#\"\\") != NULL) {
        return "has a blank, ';', '#', a quote or a backslash";
    }
    return net_split(value, host, &port);
}

static const char *check_target(const char *value)
{
    return strcasecmp(value, LOAD_NO_TARGET) == 0 ? NULL : check_server_address(value);
}

/* Which names there are is examine_mistake()'s. */
static const char *check_names(const char *value)
{
    size_t length = strlen(value);
    bool is_list = length > 0 && value[0] != ',' && value[length - 1] != ',' &&
                   strstr(value, ",,") == NULL && strpbrk(value, " ;#\"\\") == NULL;

    return is_list ? NULL : "is no list of names";
}

int client_config_sources(const char *text, struct net_address sources[LOAD_SOURCES_MAX])
{
    char one[NET_ADDRESS_TEXT];
    int count = 0;

    if (strcasecmp(text, LOAD_NO_SOURCE) == 0) {
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

/* No rate is higher than one message in RATE_LEAST_NS. More than so many messages are told
 * for at most a second: so their product with the time fits in 64 bits. */
#define RATE_LEAST_NS 100
#define RATE_TIME_MAX (24 * 3600 * CLOCK_S)
#define RATE_LONG_MAX 100000

/* Split "1/2m" into the number of messages and the time; "1000" is for a second. */
static bool split_rate(const char *text, uint64_t *messages, uint64_t *time_ns)
{
    char number[24];
    size_t length = strcspn(text, "/");

    if (length >= sizeof number) {
        return false;
    }
    memcpy(number, text, length);
    number[length] = '\0';
    return units_parse_whole(number, messages) &&
           (text[length] == '\0' || units_parse_duration(text + length + 1, time_ns));
}

static const char *set_rate(const char *text, void *values)
{
    struct load_config *load = &((struct client_config *)values)->load;
    uint64_t messages = 0, time_ns = CLOCK_S;

    if (strcasecmp(text, LOAD_CLOSED) != 0 && !split_rate(text, &messages, &time_ns)) {
        return "is not a rate";
    }
    if (messages > time_ns / RATE_LEAST_NS || time_ns > RATE_TIME_MAX ||
        (messages > RATE_LONG_MAX && time_ns > CLOCK_S)) {
        return "is out of range";
    }
    load->rate = messages;
    load->rate_ns = time_ns;
    return NULL;
}

char *client_config_rate(const struct load_config *load, char out[CONFIG_VALUE_TEXT])
{
    char time[UNITS_DURATION_TEXT];
    size_t used = format(out, CONFIG_VALUE_TEXT, "%" PRIu64, load->rate);

    if (load->rate_ns != CLOCK_S) {
        format(out + used, CONFIG_VALUE_TEXT - used, "/%s",
               units_format_duration(time, load->rate_ns));
    }
    return out;
}

static const char *print_rate(const void *values, char out[CONFIG_VALUE_TEXT])
{
    const struct load_config *load = &((const struct client_config *)values)->load;

    return load->rate == 0 ? LOAD_CLOSED : client_config_rate(load, out);
}

static const struct config_own rate_type = {set_rate, print_rate};

static const char *const unlimited_words[] = {"unlimited", NULL};
static const char *const no_limit_words[] = {"off", NULL};
static const char *const policy_names[] = {"first", "round-robin", NULL};
static const char *const report_names[] = {"text", "none", "json",  "csv", "prometheus",
                                           "hgrm", "tap",  "junit", NULL};

const char *const client_expect_names[] = {
    [PROBE_ECHOED] = "echo",         [PROBE_NOT_RESOLVED] = "not-resolved",
    [PROBE_REFUSED] = "refused",     [PROBE_UNREACHABLE] = "unreachable",
    [PROBE_TIMED_OUT] = "timeout",   [PROBE_DIFFERS] = "differs",
    [PROBE_CLOSED_EARLY] = "closed", [PROBE_RESET] = "reset",
    [CLIENT_EXPECT_ANY] = "any",     NULL,
};

#define FIELD(name) offsetof(struct client_config, name)

/* The keys at the beginning of the table that are for the loop alone. */
#define LOOP_KEYS 7

static const struct config_key keys[] = {
    {"client", "id", CONFIG_TEXT, FIELD(id), .size = CLIENT_ID_MAX, .check = check_id,
     .default_value = "1", .value = "NAME",
     .allowed = "1 to 63 printable bytes without blank, ';' and '#'",
     .help = "Name of this client in its messages and its log"},
    {"client", "server_address", CONFIG_TEXT, FIELD(server_address), true,
     .size = CLIENT_ADDRESS_MAX, .check = check_server_address,
     .default_value = "localhost:12345", .value = "HOST:PORT",
     .allowed = "host:port like server:12345, 192.0.2.1:7, [::1]:7; 180 bytes",
     .help = "Server to talk to"},
    {"client", "loop_lapse", CONFIG_DURATION, FIELD(loop_lapse_ns), .min = 0,
     .max = 365 * 24 * 3600 * CLOCK_S, .default_value = "1m2s", .value = "TIME",
     .help = "Send messages for this time; 0: until stopped"},
    {"client", "loop_period", CONFIG_DURATION, FIELD(loop_period_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .default_value = "10s", .value = "TIME",
     .help = "Wait this long after each message"},
    {"client", "interval", CONFIG_DURATION, FIELD(interval_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .default_value = "0s", .value = "TIME",
     .help = "Begin a message at this interval; 0: wait loop_period after each instead"},
    {"client", "count", CONFIG_WHOLE, FIELD(count), true, .min = 0, .max = 1000000000000,
     .choices = unlimited_words, .default_value = "unlimited", .value = "NUMBER",
     .help = "Number of messages to send"},
    {"client", "admin_address", CONFIG_TEXT, FIELD(admin_address), .size = NET_ADDRESS_TEXT,
     .check = admin_check_address, .default_value = ADMIN_NONE, .value = "ADDRESS",
     .allowed = ADMIN_ADDRESS_ALLOWED, .help = "Serve /metrics, /livez and /readyz there"},
    {"client", "timeout", CONFIG_DURATION, FIELD(timeout_ns), true, .min = CLOCK_MS,
     .max = 3600 * CLOCK_S, .default_value = "5s", .value = "TIME",
     .help = "Time limit for each of resolving, connecting and the reply"},
    {"client", "verify", CONFIG_CHOICE, FIELD(verify), .choices = config_no_yes,
     .default_value = "yes", .value = "[no|yes]",
     .help = "Compare every byte; no: a reply ends at the first newline"},
    {"client", "expect", CONFIG_CHOICE, FIELD(expect), true, .choices = client_expect_names,
     .default_value = "any", .value = "RESULT",
     .help = "Exit with 0 if all that is tried ends so, else 9"},
    {"client", "sandbox", CONFIG_CHOICE, FIELD(sandbox), .choices = sandbox_mode_names,
     .default_value = "auto", .value = "MODE",
     .help = "Give up files and system calls; auto: as far as the kernel can"},
    {"load", "target", CONFIG_TEXT, FIELD(load.target), true, .size = CLIENT_ADDRESS_MAX,
     .check = check_target, .default_value = LOAD_NO_TARGET, .value = "HOST:PORT",
     .option = CONFIG_BY_SECTION,
     .allowed =
         LOAD_NO_TARGET ", or host:port like server:12345, 192.0.2.1:7, [::1]:7; 180 bytes",
     .help = "Measure this server under load instead of running the loop"},
    {"load", "connections", CONFIG_WHOLE, FIELD(load.connections), true, .min = 1,
     .max = 1000000, .default_value = "10", .value = "NUMBER",
     .help = "Connections at once"},
    {"load", "source", CONFIG_TEXT, FIELD(load.source), .size = CLIENT_ADDRESS_MAX,
     .check = check_source, .default_value = LOAD_NO_SOURCE, .value = "ADDRESS,...",
     .allowed = LOAD_NO_SOURCE
     ", or up to 16 numeric addresses of this machine with commas between",
     .help = "Addresses to connect from, in turn: each has its own ports"},
    {"load", "size", CONFIG_SIZE, FIELD(load.size), .min = 1, .max = 16777216,
     .default_value = "64", .value = "BYTES", .help = "Bytes of each message"},
    {"load", "duration", CONFIG_DURATION, FIELD(load.duration_ns), true, .min = 0,
     .max = 365 * 24 * 3600 * CLOCK_S, .default_value = "10s", .value = "TIME",
     .help = "Send for this time, warm-up not counted; 0: no limit"},
    {"load", "warmup", CONFIG_DURATION, FIELD(load.warmup_ns), .min = 0,
     .max = 3600 * CLOCK_S, .default_value = "0s", .value = "TIME",
     .help = "Send for this time before measuring"},
    {"load", "messages", CONFIG_WHOLE, FIELD(load.messages), .min = 0, .max = 1000000000000,
     .choices = unlimited_words, .default_value = "unlimited", .value = "NUMBER",
     .help = "Number of messages to send in all, warm-up included"},
    {"load", "rate", CONFIG_OWN, .is_frequent = true, .own = &rate_type,
     .default_value = LOAD_CLOSED, .value = "MESSAGES/TIME",
     .allowed = "0 to 10000000, or with a time like 1/2m, up to 100000/24h; " LOAD_CLOSED,
     .help = "Messages per second or TIME, on a schedule; closed: each after an echo"},
    {"load", "tick", CONFIG_DURATION, FIELD(load.tick_ns), .min = 0, .max = CLOCK_S,
     .default_value = "50us", .value = "TIME",
     .help = "At a rate: send together what is due within this time"},
    {"load", "pipeline", CONFIG_WHOLE, FIELD(load.pipeline), .min = 1, .max = 1024,
     .default_value = "1", .value = "NUMBER",
     .help = "Messages under way at once on one connection"},
    {"load", "reconnect", CONFIG_CHOICE, FIELD(load.reconnect), .choices = config_no_yes,
     .default_value = "no", .value = "[no|yes]",
     .help = "Open a new connection for each message"},
    {"load", "threads", CONFIG_WHOLE, FIELD(load.threads), .min = 1,
     .max = LOAD_THREADS_MAX, .default_value = "1", .value = "NUMBER",
     .help = "Threads that share the connections"},
    {"load", "retry", CONFIG_DURATION, FIELD(load.retry_ns), .min = 0, .max = 60 * CLOCK_S,
     .default_value = "100ms", .value = "TIME",
     .help = "Connect again after this time, doubled up to 5s; 0: never"},
    {"load", "address_policy", CONFIG_CHOICE, FIELD(load.address_policy),
     .choices = policy_names, .default_value = "round-robin", .value = "POLICY",
     .help = "Which addresses of a name to use"},
    {"load", "report", CONFIG_CHOICE, FIELD(load.report), true, .choices = report_names,
     .default_value = "text", .value = "FORM",
     .help = "Report at the end: tables, JSON, CSV, for Prometheus, HdrHistogram's; TAP, "
             "JUnit"},
    {"load", "timeline", CONFIG_DURATION, FIELD(load.timeline_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .default_value = "0s", .value = "TIME",
     .help = "Also report each interval of this length; 0: none"},
    {"load", "max_lost", CONFIG_WHOLE, FIELD(load.limits[LOAD_MAX_LOST]),
     .word_is_none = true, .min = 0, .max = 1000000000000, .choices = no_limit_words,
     .default_value = "off", .value = "NUMBER",
     .help = "Lost messages allowed; more: exit 10"},
    {"load", "max_errors", CONFIG_WHOLE, FIELD(load.limits[LOAD_MAX_ERRORS]),
     .word_is_none = true, .min = 0, .max = 1000000000000, .choices = no_limit_words,
     .default_value = "off", .value = "NUMBER", .help = "Errors allowed; more: exit 10"},
    {"load", "max_moved", CONFIG_WHOLE, FIELD(load.limits[LOAD_MAX_MOVED]),
     .word_is_none = true, .min = 0, .max = 1000000000000, .choices = no_limit_words,
     .default_value = "off", .value = "NUMBER",
     .help = "Moved connections allowed; more: exit 10"},
    {"load", "max_p99", CONFIG_DURATION, FIELD(load.limits[LOAD_MAX_P99]),
     .word_is_none = true, .min = 0, .max = 24 * 3600 * CLOCK_S, .choices = no_limit_words,
     .default_value = "off", .value = "TIME",
     .help = "Time allowed for 99 % of the replies; longer: exit 10"},
    {"load", "max_outage", CONFIG_DURATION, FIELD(load.limits[LOAD_MAX_OUTAGE]),
     .word_is_none = true, .min = 0, .max = 365 * 24 * 3600 * CLOCK_S,
     .choices = no_limit_words, .default_value = "off", .value = "TIME",
     .help = "Outage allowed; longer: exit 10"},
    {"examine", "target", CONFIG_TEXT, FIELD(examine.target), .size = CLIENT_ADDRESS_MAX,
     .check = check_target, .default_value = LOAD_NO_TARGET, .value = "HOST:PORT",
     .option = CONFIG_BY_SECTION,
     .allowed =
         LOAD_NO_TARGET ", or host:port like server:12345, 192.0.2.1:7, [::1]:7; 180 bytes",
     .help = "Check whether this is an echo server instead of running the loop"},
    {"examine", "check", CONFIG_TEXT, FIELD(examine.check), .size = CLIENT_ADDRESS_MAX,
     .check = check_names, .default_value = EXAMINE_ALL, .value = "NAME,NAME",
     .allowed = EXAMINE_ALL ", or names of --list-checks with commas between",
     .help = "Make these checks only"},
    {"examine", "idle", CONFIG_DURATION, FIELD(examine.idle_ns), .min = 0,
     .max = 24 * 3600 * CLOCK_S, .default_value = "0s", .value = "TIME",
     .help = "Check that an idle connection lives so long; 0: skip it"},
    {"log", "level", CONFIG_CHOICE, FIELD(log_level), true, .choices = log_level_names,
     .default_value = "info", .value = "LEVEL", .option = CONFIG_BY_BOTH,
     .alias = "logging_level",
     .help = "Lowest level to log, also LOGGING_LEVEL; debug shows each step"},
    {"log", "format", CONFIG_CHOICE, FIELD(log_format), .choices = log_format_names,
     .default_value = "text", .value = "FORMAT", .option = CONFIG_BY_BOTH,
     .help = "Lines for people, or one JSON object per line"},
};

static const struct config_shorthand shorthands[] = {
    {"once", "client", "count", "1"}, {"json", "load", "report", "json"},
    {"csv", "load", "report", "csv"}, {"quiet", "load", "report", "none"},
    {"tap", "load", "report", "tap"}, {"junit", "load", "report", "junit"},
};

#define SHORTHANDS (sizeof shorthands / sizeof shorthands[0])

static const struct config_action_option actions[] = {
    CONFIG_COMMON_ACTIONS,
    {"csv-header", "print the names of --csv's columns first"},
    {"list-checks", "print the checks of --examine, exit"},
};

/* ---- settings that are not right together ----------------------------------------------
 */

bool client_config_is_load(const struct client_config *config)
{
    return strcasecmp(config->load.target, LOAD_NO_TARGET) != 0;
}

/* The option that gave this text for key number `key`. Returns `out`. */
static const char *option_of(size_t key, const char *text, char out[CONFIG_NAME_TEXT])
{
    for (size_t i = 0; i < SHORTHANDS; i++) {
        if (text == shorthands[i].value) { /* the text itself, not one like it */
            return shorthands[i].name;
        }
    }
    return config_option_name(&keys[key], out);
}

bool client_config_is_examination(const struct client_config *config)
{
    return strcasecmp(config->examine.target, LOAD_NO_TARGET) != 0;
}

/* Why key number `i` is of no use here, as it stands behind its option; NULL: it is. */
static const char *uselessness(const struct client_config *config, size_t i)
{
    bool is_load = client_config_is_load(config);
    bool is_examination = client_config_is_examination(config);
    bool is_report = keys[i].offset == FIELD(load.report);
    bool is_of_load = strcmp(keys[i].section, "load") == 0;
    bool is_of_examination = strcmp(keys[i].section, "examine") == 0 ||
                             (is_report && config->load.report >= LOAD_REPORT_TAP);

    if (i < LOOP_KEYS && is_load) {
        return ", --load: it is for the loop; allowed: one of the two";
    }
    if (i < LOOP_KEYS && is_examination) {
        return ", --examine: it is for the loop; allowed: one of the two";
    }
    if (is_of_examination && !is_examination) {
        return ": it is for an examination; allowed: with --examine HOST:PORT";
    }
    return is_of_load && !is_load && !(is_report && is_examination)
               ? ": it is for a load; allowed: with --load HOST:PORT"
               : NULL;
}

/* An option that what is to be done makes no use of. NULL: there is none. */
static const char *find_useless(const struct client_config *config,
                                const char *const texts[],
                                char out[CONFIG_CONTRADICTION_TEXT])
{
    char name[CONFIG_NAME_TEXT];

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *why = texts[i] != NULL ? uselessness(config, i) : NULL;

        if (why != NULL) {
            format(out, CONFIG_CONTRADICTION_TEXT, "--%s%s", option_of(i, texts[i], name),
                   why);
            return out;
        }
    }
    return NULL;
}

/* Would the first message of an open loop be its only one, since the next is due later? */
static bool is_too_short(const struct load_config *load)
{
    return load->rate != 0 && load->rate_ns > CLOCK_S && load->duration_ns != 0 &&
           load->messages != 1 &&
           load->rate_ns / load->rate >= load->warmup_ns + load->duration_ns;
}

static const char *find_contradiction(const void *values, const char *const texts[],
                                      char out[CONFIG_CONTRADICTION_TEXT])
{
    const struct client_config *config = values;
    const struct load_config *load = &config->load;
    bool is_load = client_config_is_load(config);

    if (is_load && client_config_is_examination(config)) {
        return "--examine, --load: two things to do; allowed: one of the two";
    }
    if (client_config_is_examination(config) && load->report >= LOAD_REPORT_CSV &&
        load->report < LOAD_REPORT_TAP) {
        return "report: it is for --load; allowed: text, none, json, tap, junit";
    }
    const char *useless = find_useless(config, texts, out);
    if (!is_load || useless != NULL) {
        return useless;
    }
    if (load->report >= LOAD_REPORT_TAP) {
        return "report: it is for --examine; allowed: text, none, json, csv, prometheus, "
               "hgrm";
    }
    if (load->reconnect && load->pipeline > 1) {
        return "--reconnect, --pipeline: one message has no pipeline; allowed: one of the "
               "two";
    }
    if (load->threads > load->connections) {
        return "--threads, --connections: more threads; allowed: a connection for each";
    }
    if (load->messages != 0 && load->messages < load->threads) {
        return "--threads, --messages: more threads; allowed: a message for each";
    }
    if (load->rate == 0 && load->tick_ns != LOAD_TICK_NS) {
        return "--tick, --rate: a closed loop has no ticks; allowed: with a rate";
    }
    if (load->timeline_ns != 0 && load->timeline_ns < LOAD_TIMELINE_LEAST_NS) {
        return "--timeline: too short; allowed: 0s, 100ms to 24h";
    }
    if (load->timeline_ns != 0 && load->report != LOAD_REPORT_JSON &&
        config->log_level != LOG_DEBUG) {
        return "--timeline: nothing shows it; allowed: with --json or --log-level debug";
    }
    if (is_too_short(load)) {
        return "--rate, --duration: no second message is due; allowed: longer";
    }
    return NULL;
}

const struct config_program client_program = {
    .name = "echo-client",
    .purpose = "Sends messages to an echo server and checks every byte that comes back.",
    .argument = "server_address",
    .section = "client",
    .env_prefix = "CLI",
    .file = "/etc/echolab/client.ini",
    .keys = keys,
    .key_count = sizeof keys / sizeof keys[0],
    .actions = actions,
    .action_count = sizeof actions / sizeof actions[0],
    .shorthands = shorthands,
    .shorthand_count = SHORTHANDS,
    .contradiction = find_contradiction,
};
