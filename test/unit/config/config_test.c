#include "config/config.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "client/client_config.h"
#include "base/log.h"
#include "sandbox/sandbox_mode.h"
#include "server/server_config.h"
#include "tap.h"

#define ARGUMENTS_MAX 64
#define MISTAKES_MAX  32
#define LINE_SIZE     2048
#define TEXT_SIZE     16384

static char folder[] = "/tmp/config_test.XXXXXX";
static char path[64];                       /* of the file that the tests write */
static char no_file[64];                    /* of one that does not exist */
static const char *standard_file = no_file; /* what the programs read without -c */

/* Whether values are right together is asked in a test of its own. */
static const char *(*contradiction)(const void *, const char *const[],
                                    char[CONFIG_CONTRADICTION_TEXT]);

/* What one config_load() answered. */
static int action;
static size_t mistake_count;
static char mistakes[MISTAKES_MAX][LINE_SIZE];
static union {
    struct server_config server;
    struct client_config client;
} values;

/* ---- files, environment, one load ------------------------------------------------------
 */

static void write_bytes(const void *bytes, size_t length)
{
    FILE *file = fopen(path, "w");

    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_text(const char *text)
{
    write_bytes(text, strlen(text));
}

static void forget_environment(const struct config_program *program)
{
    char name[CONFIG_NAME_TEXT];

    for (size_t i = 0; i < program->key_count; i++) {
        unsetenv(config_env_name(program, &program->keys[i], name));
    }
}

static void on_mistake(void *context, const char *line)
{
    (void)context;
    if (mistake_count < MISTAKES_MAX) {
        snprintf(mistakes[mistake_count], LINE_SIZE, "%s", line);
    }
    mistake_count++;
}

/* Load with these arguments, NULL at the end; argv[0] is added. /etc/echolab of the machine
 * is not looked at. */
static void load(const struct config_program *program, const char *const arguments[])
{
    struct config_program here = *program;
    char *argv[ARGUMENTS_MAX] = {strdup(program->name)};
    int argc = 1;

    here.file = standard_file;
    here.contradiction = contradiction;
    for (; arguments[argc - 1] != NULL; argc++) {
        argv[argc] = strdup(arguments[argc - 1]);
    }
    mistake_count = 0;
    memset(&values, 0xa5, sizeof values);
    action = config_load(&here, argc, argv, &values, on_mistake, NULL);
    for (int i = 0; i < argc; i++) {
        free(argv[i]);
    }
}

#define load_with(program, ...) load((program), (const char *const[]){__VA_ARGS__, NULL})

static void print_mistakes(void)
{
    for (size_t i = 0; i < mistake_count && i < MISTAKES_MAX; i++) {
        diag("  %s", mistakes[i]);
    }
}

/* Nothing was wrong, and the command line asked for this. */
static bool is_good(int wanted)
{
    if (action != wanted || mistake_count != 0) {
        diag("action %d, %zu mistakes", action, mistake_count);
        print_mistakes();
    }
    return action == wanted && mistake_count == 0;
}

/* Does mistake `i` begin with this place, then ": ", and say what is allowed? A place that
 * begins with ':' is one in the file, an empty one is the file. */
static bool stands_at(size_t i, const char *place)
{
    char start[256];

    snprintf(start, sizeof start, "%s%s: ", *place == ':' || *place == '\0' ? path : "",
             place);
    return strncmp(mistakes[i], start, strlen(start)) == 0 &&
           strlen(mistakes[i]) > strlen(start) && strstr(mistakes[i], "allowed: ") != NULL;
}

/* The mistakes are exactly those of these places, in this order. */
static bool are_mistakes(const char *const places[])
{
    bool is_right = action == CONFIG_EXIT;
    size_t count = 0;

    for (; places[count] != NULL; count++) {
        is_right = is_right && count < mistake_count && stands_at(count, places[count]);
    }
    is_right = is_right && count == mistake_count;
    if (!is_right) {
        diag("action %d, %zu mistakes, expected %zu", action, mistake_count, count);
        print_mistakes();
    }
    return is_right;
}

#define mistakes_at(...) are_mistakes((const char *const[]){__VA_ARGS__, NULL})

/* Load the file's text alone. */
static void load_text(const struct config_program *program, const char *text)
{
    write_text(text);
    load_with(program, "-c", path);
}

/* ---- every key in every place ----------------------------------------------------------
 */

/* The fields, compared by name: the table's offsets are under test, too. */
static bool same_server(const struct server_config *a, const struct server_config *b)
{
    return strcmp(a->address, b->address) == 0 && a->port == b->port &&
           a->listen_backlog == b->listen_backlog &&
           a->max_connections == b->max_connections &&
           a->pending_memory == b->pending_memory && a->workers == b->workers &&
           a->idle_timeout_ns == b->idle_timeout_ns &&
           a->write_timeout_ns == b->write_timeout_ns &&
           a->drain_timeout_ns == b->drain_timeout_ns &&
           strcmp(a->admin_address, b->admin_address) == 0 && a->identity == b->identity &&
           strcmp(a->name, b->name) == 0 && a->proxy_protocol == b->proxy_protocol &&
           a->sandbox == b->sandbox && a->log_level == b->log_level &&
           a->log_format == b->log_format;
}

static bool same_load(const struct load_config *a, const struct load_config *b)
{
    return strcmp(a->target, b->target) == 0 && strcmp(a->source, b->source) == 0 &&
           a->connections == b->connections && a->size == b->size &&
           a->duration_ns == b->duration_ns && a->warmup_ns == b->warmup_ns &&
           a->messages == b->messages && a->rate == b->rate && a->rate_ns == b->rate_ns &&
           a->tick_ns == b->tick_ns && a->pipeline == b->pipeline &&
           a->threads == b->threads && a->retry_ns == b->retry_ns &&
           a->reconnect == b->reconnect && a->address_policy == b->address_policy &&
           a->report == b->report && a->timeline_ns == b->timeline_ns &&
           memcmp(a->limits, b->limits, sizeof a->limits) == 0;
}

static bool same_examine(const struct examine_config *a, const struct examine_config *b)
{
    return strcmp(a->target, b->target) == 0 && strcmp(a->check, b->check) == 0 &&
           a->idle_ns == b->idle_ns;
}

static bool same_client(const struct client_config *a, const struct client_config *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->server_address, b->server_address) == 0 &&
           a->loop_lapse_ns == b->loop_lapse_ns && a->loop_period_ns == b->loop_period_ns &&
           a->interval_ns == b->interval_ns &&
           strcmp(a->admin_address, b->admin_address) == 0 && a->count == b->count &&
           a->identity == b->identity && a->proxy_protocol == b->proxy_protocol &&
           a->timeout_ns == b->timeout_ns && a->verify == b->verify &&
           a->expect == b->expect && same_load(&a->load, &b->load) &&
           same_examine(&a->examine, &b->examine) && a->sandbox == b->sandbox &&
           a->log_level == b->log_level && a->log_format == b->log_format;
}

static const struct server_config server_defaults = {
    .address = "::",
    .port = 12345,
    .listen_backlog = 511,
    .max_connections = 10000,
    .pending_memory = 16 << 20,
    .workers = 1,
    .idle_timeout_ns = 300 * CLOCK_S,
    .write_timeout_ns = 30 * CLOCK_S,
    .drain_timeout_ns = 4 * CLOCK_S,
    .admin_address = "none",
    .name = "hostname",
    .sandbox = SANDBOX_AUTO,
    .log_level = LOG_INFO,
    .log_format = LOG_TEXT,
};

/* No value is the default's. */
static const struct server_config server_others = {
    .address = "192.0.2.1",
    .port = 7,
    .listen_backlog = 65535,
    .max_connections = 1000000,
    .pending_memory = 0,
    .workers = 0,
    .idle_timeout_ns = 0,
    .write_timeout_ns = 1500 * CLOCK_MS,
    .drain_timeout_ns = 62 * CLOCK_S,
    .admin_address = "[::1]:9100",
    .identity = 1,
    .name = "web-1",
    .proxy_protocol = 1,
    .sandbox = SANDBOX_OFF,
    .log_level = LOG_ERROR,
    .log_format = LOG_JSON,
};

static const struct client_config client_defaults = {
    .id = "1",
    .server_address = "localhost:12345",
    .loop_lapse_ns = 62 * CLOCK_S,
    .loop_period_ns = 10 * CLOCK_S,
    .admin_address = "none",
    .timeout_ns = 5 * CLOCK_S,
    .verify = true,
    .expect = CLIENT_EXPECT_ANY,
    .sandbox = SANDBOX_AUTO,
    .examine = {.target = LOAD_NO_TARGET, .check = EXAMINE_ALL},
    .load = {.target = LOAD_NO_TARGET,
             .source = LOAD_NO_SOURCE,
             .connections = 10,
             .size = 64,
             .duration_ns = 10 * CLOCK_S,
             .rate_ns = CLOCK_S,
             .tick_ns = LOAD_TICK_NS,
             .pipeline = 1,
             .threads = 1,
             .retry_ns = 100 * CLOCK_MS,
             .address_policy = LOAD_ROUND_ROBIN,
             .report = LOAD_REPORT_TEXT,
             .limits = {CONFIG_NONE, CONFIG_NONE, CONFIG_NONE, CONFIG_NONE, CONFIG_NONE}},
    .log_level = LOG_INFO,
    .log_format = LOG_TEXT,
};

static const struct client_config client_others = {
    .id = "caf\xc3\xa9=[x]",
    .server_address = "[2001:db8::1]:65535",
    .loop_lapse_ns = 0,
    .loop_period_ns = 1,
    .interval_ns = CLOCK_S,
    .admin_address = "[::1]:9101",
    .identity = 1,
    .proxy_protocol = 2,
    .count = 3,
    .timeout_ns = CLOCK_MS,
    .verify = false,
    .expect = PROBE_NOT_RESOLVED,
    .sandbox = SANDBOX_ON,
    .examine = {.target = "192.0.2.2:7", .check = "one-byte,idle", .idle_ns = 60 * CLOCK_S},
    .load = {.target = "192.0.2.1:7",
             .source = "127.0.0.1,::1",
             .connections = 1000000,
             .size = 16777216,
             .duration_ns = 0,
             .warmup_ns = CLOCK_MS,
             .messages = 1000,
             .rate = 3,
             .rate_ns = 120 * CLOCK_S,
             .tick_ns = CLOCK_S,
             .pipeline = 1024,
             .threads = 64,
             .retry_ns = 0,
             .reconnect = true,
             .address_policy = LOAD_FIRST,
             .report = LOAD_REPORT_CSV,
             .timeline_ns = CLOCK_S,
             .limits = {0, 1000000000000, 0, CLOCK_MS, 0}},
    .log_level = LOG_DEBUG,
    .log_format = LOG_JSON,
};

/* One key: its names, the text of its value in *_others, and one that is neither that nor,
 * where there is a third one, the default. */
struct sample {
    const char *section, *name, *env, *option, *text, *lower;
    size_t offset, size;
};

#define FIELD(type, name) offsetof(struct type, name), sizeof((struct type *)0)->name

static const struct sample server_samples[] = {
    {"server", "address", "SERVER_ADDRESS", "--address", "192.0.2.1", "::1",
     FIELD(server_config, address)},
    {"server", "port", "SERVER_PORT", "--port", "7", "8", FIELD(server_config, port)},
    {"server", "listen_backlog", "SERVER_LISTEN_BACKLOG", "--listen-backlog", "65535", "8",
     FIELD(server_config, listen_backlog)},
    {"server", "max_connections", "SERVER_MAX_CONNECTIONS", "--max-connections", "1000000",
     "8", FIELD(server_config, max_connections)},
    {"server", "pending_memory", "SERVER_PENDING_MEMORY", "--pending-memory", "0", "64KiB",
     FIELD(server_config, pending_memory)},
    {"server", "workers", "SERVER_WORKERS", "--workers", "auto", "8",
     FIELD(server_config, workers)},
    {"server", "idle_timeout", "SERVER_IDLE_TIMEOUT", "--idle-timeout", "0", "8s",
     FIELD(server_config, idle_timeout_ns)},
    {"server", "write_timeout", "SERVER_WRITE_TIMEOUT", "--write-timeout", "1.5s", "8s",
     FIELD(server_config, write_timeout_ns)},
    {"server", "drain_timeout", "SERVER_DRAIN_TIMEOUT", "--drain-timeout", "1m2s", "8s",
     FIELD(server_config, drain_timeout_ns)},
    {"server", "admin_address", "SERVER_ADMIN_ADDRESS", "--admin-address", "[::1]:9100",
     "127.0.0.1:9100", FIELD(server_config, admin_address)},
    {"server", "identity", "SERVER_IDENTITY", "--identity", "on", "off",
     FIELD(server_config, identity)},
    {"server", "name", "SERVER_NAME", "--name", "web-1", "x", FIELD(server_config, name)},
    {"server", "proxy_protocol", "SERVER_PROXY_PROTOCOL", "--proxy-protocol", "required",
     "off", FIELD(server_config, proxy_protocol)},
    {"server", "sandbox", "SERVER_SANDBOX", "--sandbox", "off", "on",
     FIELD(server_config, sandbox)},
    {"log", "level", "SERVER_LOG_LEVEL", "--log-level", "error", "warn",
     FIELD(server_config, log_level)},
    {"log", "format", "SERVER_LOG_FORMAT", "--log-format", "json", "text",
     FIELD(server_config, log_format)},
};

/* The rate has two fields, one behind the other. */
#define RATE_FIELDS                                                                        \
    offsetof(struct client_config, load.rate),                                             \
        sizeof((struct client_config *)0)->load.rate +                                     \
            sizeof((struct client_config *)0)->load.rate_ns
_Static_assert(offsetof(struct load_config, rate_ns) ==
                   offsetof(struct load_config, rate) + sizeof(uint64_t),
               "the fields of the rate");

static const struct sample client_samples[] = {
    {"client", "id", "CLI_ID", "--id", "caf\xc3\xa9=[x]", "8", FIELD(client_config, id)},
    {"client", "server_address", "CLI_SERVER_ADDRESS", "--server-address",
     "[2001:db8::1]:65535", "server:12345", FIELD(client_config, server_address)},
    {"client", "loop_lapse", "CLI_LOOP_LAPSE", "--loop-lapse", "0", "8s",
     FIELD(client_config, loop_lapse_ns)},
    {"client", "loop_period", "CLI_LOOP_PERIOD", "--loop-period", "1ns", "8s",
     FIELD(client_config, loop_period_ns)},
    {"client", "interval", "CLI_INTERVAL", "--interval", "1s", "8s",
     FIELD(client_config, interval_ns)},
    {"client", "count", "CLI_COUNT", "--count", "3", "8", FIELD(client_config, count)},
    {"client", "admin_address", "CLI_ADMIN_ADDRESS", "--admin-address", "[::1]:9101",
     "127.0.0.1:9101", FIELD(client_config, admin_address)},
    {"client", "identity", "CLI_IDENTITY", "--identity", "ask", "no",
     FIELD(client_config, identity)},
    {"client", "proxy_protocol", "CLI_PROXY_PROTOCOL", "--proxy-protocol", "v2", "v1",
     FIELD(client_config, proxy_protocol)},
    {"client", "timeout", "CLI_TIMEOUT", "--timeout", "1ms", "8s",
     FIELD(client_config, timeout_ns)},
    {"client", "verify", "CLI_VERIFY", "--verify", "no", "yes",
     FIELD(client_config, verify)},
    {"client", "expect", "CLI_EXPECT", "--expect", "not-resolved", "echo",
     FIELD(client_config, expect)},
    {"client", "sandbox", "CLI_SANDBOX", "--sandbox", "on", "off",
     FIELD(client_config, sandbox)},
    {"load", "target", "CLI_LOAD_TARGET", "--load", "192.0.2.1:7", "server:12345",
     FIELD(client_config, load.target)},
    {"load", "connections", "CLI_LOAD_CONNECTIONS", "--connections", "1000000", "8",
     FIELD(client_config, load.connections)},
    {"load", "source", "CLI_LOAD_SOURCE", "--source", "127.0.0.1,::1", "127.0.0.2",
     FIELD(client_config, load.source)},
    {"load", "size", "CLI_LOAD_SIZE", "--size", "16777216", "8",
     FIELD(client_config, load.size)},
    {"load", "duration", "CLI_LOAD_DURATION", "--duration", "0", "8s",
     FIELD(client_config, load.duration_ns)},
    {"load", "warmup", "CLI_LOAD_WARMUP", "--warmup", "1ms", "8s",
     FIELD(client_config, load.warmup_ns)},
    {"load", "messages", "CLI_LOAD_MESSAGES", "--messages", "1000", "8",
     FIELD(client_config, load.messages)},
    {"load", "rate", "CLI_LOAD_RATE", "--rate", "3/2m", "8/1h", RATE_FIELDS},
    {"load", "tick", "CLI_LOAD_TICK", "--tick", "1s", "8us",
     FIELD(client_config, load.tick_ns)},
    {"load", "pipeline", "CLI_LOAD_PIPELINE", "--pipeline", "1024", "8",
     FIELD(client_config, load.pipeline)},
    {"load", "reconnect", "CLI_LOAD_RECONNECT", "--reconnect", "yes", "no",
     FIELD(client_config, load.reconnect)},
    {"load", "threads", "CLI_LOAD_THREADS", "--threads", "64", "8",
     FIELD(client_config, load.threads)},
    {"load", "retry", "CLI_LOAD_RETRY", "--retry", "0", "8s",
     FIELD(client_config, load.retry_ns)},
    {"load", "address_policy", "CLI_LOAD_ADDRESS_POLICY", "--address-policy", "first",
     "round-robin", FIELD(client_config, load.address_policy)},
    {"load", "report", "CLI_LOAD_REPORT", "--report", "csv", "none",
     FIELD(client_config, load.report)},
    {"load", "timeline", "CLI_LOAD_TIMELINE", "--timeline", "1s", "2s",
     FIELD(client_config, load.timeline_ns)},
    {"load", "max_lost", "CLI_LOAD_MAX_LOST", "--max-lost", "0", "8",
     FIELD(client_config, load.limits[LOAD_MAX_LOST])},
    {"load", "max_errors", "CLI_LOAD_MAX_ERRORS", "--max-errors", "1000000000000", "8",
     FIELD(client_config, load.limits[LOAD_MAX_ERRORS])},
    {"load", "max_moved", "CLI_LOAD_MAX_MOVED", "--max-moved", "0", "8",
     FIELD(client_config, load.limits[LOAD_MAX_MOVED])},
    {"load", "max_p99", "CLI_LOAD_MAX_P99", "--max-p99", "1ms", "8s",
     FIELD(client_config, load.limits[LOAD_MAX_P99])},
    {"load", "max_outage", "CLI_LOAD_MAX_OUTAGE", "--max-outage", "0s", "8s",
     FIELD(client_config, load.limits[LOAD_MAX_OUTAGE])},
    {"examine", "target", "CLI_EXAMINE_TARGET", "--examine", "192.0.2.2:7", "server:12345",
     FIELD(client_config, examine.target)},
    {"examine", "check", "CLI_EXAMINE_CHECK", "--check", "one-byte,idle", "idle",
     FIELD(client_config, examine.check)},
    {"examine", "idle", "CLI_EXAMINE_IDLE", "--idle", "1m", "8s",
     FIELD(client_config, examine.idle_ns)},
    {"log", "level", "CLI_LOG_LEVEL", "--log-level", "debug", "warn",
     FIELD(client_config, log_level)},
    {"log", "format", "CLI_LOG_FORMAT", "--log-format", "json", "text",
     FIELD(client_config, log_format)},
};

/* One of the two programs. */
struct subject {
    const struct config_program *program;
    const struct sample *samples;
    size_t count;
    const void *defaults, *others;
};

static const struct subject subjects[] = {
    {&server_program, server_samples, sizeof server_samples / sizeof server_samples[0],
     &server_defaults, &server_others},
    {&client_program, client_samples, sizeof client_samples / sizeof client_samples[0],
     &client_defaults, &client_others},
};

static bool same_values(const struct subject *subject, const void *expected)
{
    return subject->program == &server_program ? same_server(&values.server, expected)
                                               : same_client(&values.client, expected);
}

enum { IN_FILE = 1, IN_ENV = 2, IN_OPTION = 4 };

/* The key in these places: the last of them has the sample's value, the earlier ones the
 * lower. Nothing but this key may change. */
static void test_places(const struct subject *subject, const struct sample *sample,
                        int places)
{
    static unsigned char expected[sizeof values];
    const char *in_file = places > IN_FILE ? sample->lower : sample->text;
    const char *in_env = places & IN_OPTION ? sample->lower : sample->text;
    char text[256];

    snprintf(text, sizeof text, "[%s]\n%s = %s\n", sample->section, sample->name, in_file);
    write_text(places & IN_FILE ? text : "");
    if (places & IN_ENV) {
        setenv(sample->env, in_env, 1);
    }
    if (places & IN_OPTION) {
        load_with(subject->program, "-c", path, sample->option, sample->text);
    } else {
        load_with(subject->program, "-c", path);
    }
    unsetenv(sample->env);
    bool is_server = subject->program == &server_program;
    memcpy(expected, subject->defaults,
           is_server ? sizeof server_defaults : sizeof client_defaults);
    memcpy(expected + sample->offset, (const char *)subject->others + sample->offset,
           sample->size);
    ok(is_good(CONFIG_RUN) && same_values(subject, expected),
       "[%s] %s in%s%s%s: the last wins, nothing else changes", sample->section,
       sample->name, places & IN_FILE ? " file" : "", places & IN_ENV ? " environment" : "",
       places & IN_OPTION ? " option" : "");
}

static void test_every_key(const struct subject *subject)
{
    group("%s", subject->program->name);
    is_int((long long)subject->count, (long long)subject->program->key_count,
           "each key is tested here");
    load(subject->program, (const char *const[]){NULL});
    ok(is_good(CONFIG_RUN) && same_values(subject, subject->defaults),
       "the defaults hold; a missing default file is fine");
    for (size_t i = 0; i < subject->count; i++) {
        for (int places = 1; places < 8; places++) {
            test_places(subject, &subject->samples[i], places);
        }
    }
}

/* All keys at once, from one place. */
static void test_all_keys(const struct subject *subject)
{
    const char *arguments[ARGUMENTS_MAX] = {"-c", path};
    char text[TEXT_SIZE], options[ARGUMENTS_MAX][128];
    const char *section = "";
    size_t used = 0, given = 2;

    for (size_t i = 0; i < subject->count; i++) {
        const struct sample *sample = &subject->samples[i];

        if (strcmp(section, sample->section) != 0) {
            section = sample->section;
            used += (size_t)sprintf(text + used, "[%s]\n", section);
        }
        used += (size_t)sprintf(text + used, "%s = %s\n", sample->name, sample->text);
    }
    load_text(subject->program, text);
    ok(is_good(CONFIG_RUN) && same_values(subject, subject->others),
       "all keys are taken from the file");

    write_text("");
    for (size_t i = 0; i < subject->count; i++) {
        setenv(subject->samples[i].env, subject->samples[i].text, 1);
    }
    load(subject->program, arguments);
    ok(is_good(CONFIG_RUN) && same_values(subject, subject->others),
       "all keys are taken from the environment");
    forget_environment(subject->program);

    for (size_t i = 0; i < subject->count; i++) {
        snprintf(options[i], sizeof options[i], "%s=%s", subject->samples[i].option,
                 subject->samples[i].text);
        arguments[given++] = options[i];
    }
    load(subject->program, arguments);
    ok(is_good(CONFIG_RUN) && same_values(subject, subject->others),
       "all keys are taken from --option=value");
}

/* The program's own file, when -c names no other. */
static void test_standard_file(void)
{
    group("the program's own file");
    is_str(server_program.file, "/etc/echolab/server.ini",
           "the server's is /etc/echolab/server.ini");
    is_str(client_program.file, "/etc/echolab/client.ini",
           "the client's is /etc/echolab/client.ini");
    write_text("[server]\nport = 7\n");
    standard_file = path;
    load(&server_program, (const char *const[]){NULL});
    ok(is_good(CONFIG_RUN) && values.server.port == 7, "it is read");
    load_with(&server_program, "--config", "/dev/null");
    ok(is_good(CONFIG_RUN) && values.server.port == 12345,
       "it is not read when --config names another");
    load_with(&server_program, "-c", no_file);
    ok(action == CONFIG_EXIT && mistake_count == 1 &&
           strncmp(mistakes[0], no_file, strlen(no_file)) == 0 &&
           strstr(mistakes[0], "allowed: ") != NULL,
       "a file named with -c must exist");
    standard_file = folder;
    load(&server_program, (const char *const[]){NULL});
    ok(action == CONFIG_EXIT && mistake_count == 1 &&
           strncmp(mistakes[0], folder, strlen(folder)) == 0,
       "one that is there and cannot be read is a mistake");
    ok(symlink(no_file, no_file) == 0, "a link to itself can be made");
    standard_file = no_file;
    load(&server_program, (const char *const[]){NULL});
    ok(action == CONFIG_EXIT && mistake_count == 1,
       "a link to itself in its place is a mistake");
    unlink(no_file);
}

/* ---- mistakes --------------------------------------------------------------------------
 */

static void test_all_at_once(void)
{
    group("mistakes");
    write_text("port = 1\n"                 /* 1: outside */
               "[server]\n"                 /* 2 */
               "; all is wrong\n"           /* 3 */
               "port = 65536\n"             /* 4 */
               "\n"                         /* 5 */
               "  listen_backlog = 0\r\n"   /* 6: indented, CRLF */
               "no_such_key = 1\n"          /* 7 */
               "nonsense\n"                 /* 8 */
               "[nowhere]\n"                /* 9 */
               "port = of no known section" /* 10 */
               "\n[log]\n"                  /* 11 */
               "level = loud");             /* 12: no newline */
    setenv("SERVER_IDLE_TIMEOUT", "5", 1);
    setenv("SERVER_LOG_LEVEL", "", 1);
    load_with(&server_program, "--bogus", "-c", path, "--workers", "65", "--port=-1");
    ok(mistakes_at("--bogus", ":1: port", ":4: port", ":6: listen_backlog",
                   ":7: no_such_key", ":8", ":9", ":12: level", "SERVER_IDLE_TIMEOUT",
                   "SERVER_LOG_LEVEL", "--port", "--workers"),
       "all mistakes of all places at once, each with its place");
    forget_environment(&server_program);

    load_text(&server_program, "[server]\nport = many\n");
    setenv("SERVER_PORT", "1", 1);
    load_with(&server_program, "-c", path, "--port", "2");
    ok(mistakes_at(":2: port"), "a mistake that a later place overrides is still one");
    forget_environment(&server_program);
}

static void test_repeats(void)
{
    group("repeats");
    load_text(&server_program, "[server]\nport = 1\nport = 1\n");
    ok(mistakes_at(":3: port"), "a key twice, even with the same value, is a mistake");
    load_text(&server_program, "[server]\nport = 1\n port = 2\nport: 3\n");
    ok(mistakes_at(":3: port", ":4: port"),
       "a key three times, once indented: two mistakes");
    load_text(&server_program, "[server]\n[log]\n[server]\nport = 1\n[log]\n");
    ok(mistakes_at(":3", ":5"), "each section that is repeated is a mistake");
    load_text(&server_program, "[server]\nport = 1\n[server]\nport = 2\n");
    ok(mistakes_at(":3", ":4: port"),
       "a key twice, in a section that is repeated: two mistakes");
    load_with(&server_program, "--port", "1", "--port=1");
    ok(mistakes_at("--port"), "an option twice is a mistake");
    load_with(&server_program, "--config", "/dev/null", "-c", "/dev/null");
    ok(mistakes_at("--config"), "--config and -c together are a mistake");
    load_with(&server_program, "-c", "/dev/null", "--check-config", "--check-config");
    ok(mistakes_at("--check-config"), "an option without value twice is a mistake");
}

static void test_bad_lines(void)
{
    static const char *const lines[] = {
        "nonsense",
        "port 5",
        "port ; = 5",
        "[server",
        "[server ;]",
        "[log] x",
        "[log]]",
        "[]",
        "[ log ]",
        "[LOG]",
        "[log]\v",
        "\v[log]",
        "\f[nowhere]",
        "\r[nowhere]",
        "; an old Mac\rport = 5",
        "\xef\xbb\xbf[log]",
    };

    group("bad lines");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[128];

        snprintf(text, sizeof text, "[server]\nworkers = 1\n%s\n", lines[i]);
        load_text(&server_program, text);
        ok(mistakes_at(":3"), "number %zu is neither section, key nor comment: a mistake",
           i + 1);
    }
    load_text(&server_program, "[nowhere]\nport = 1\nx = 1\nport = 1\n");
    ok(mistakes_at(":1"), "keys of an unknown section are part of that mistake");
    load_text(&server_program, "[log\nlevel = info\n");
    ok(mistakes_at(":1"),
       "keys of a section whose bracket is not closed are part of that mistake");
    load_text(&server_program, "[server]\nPort = 1\nlevel = info\nlisten-backlog = 1\n");
    ok(mistakes_at(":2: Port", ":3: level", ":4: listen-backlog"),
       "each unknown key is a mistake");
}

static void test_values(void)
{
    static const struct {
        const char *name, *value;
    } bad[] = {
        {"port", ""},
        {"port", "-1"},
        {"port", "+1"},
        {"port", "0x10"},
        {"port", "1 2"},
        {"port", "1,"},
        {"port", "\"1\""},
        {"port", "1;comment"},
        {"port", "1 # comment"},
        {"port", "65536"},
        {"port", "auto"},
        {"port", "18446744073709551616"},
        {"port", "18446744073709551617"},
        {"workers", "0"},
        {"workers", "AUTOMATIC"},
        {"workers", "65"},
        {"idle_timeout", "5"},
        {"idle_timeout", "-5s"},
        {"idle_timeout", "5 s"},
        {"idle_timeout", "168h1ns"},
        {"idle_timeout", "18446744073709551616ns"},
        {"address", ""},
        {"address", "localhost"},
        {"address", "127.1"},
        {"address", "[::1]"},
        {"address", "::1]:7"},
        {"address", "\x1b[31m::1"},
    };

    group("bad values");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[128], place[32];

        snprintf(text, sizeof text, "[server]\n%s = %s\n", bad[i].name, bad[i].value);
        /* A line with a control character may be refused as a whole. */
        if (strchr(bad[i].value, '\x1b') != NULL) {
            strcpy(place, ":2");
        } else {
            snprintf(place, sizeof place, ":2: %s", bad[i].name);
        }
        load_text(&server_program, text);
        ok(mistakes_at(place), "number %zu, of %s, is a mistake", i + 1, bad[i].name);
    }
}

/* What a message repeats of the input must not be obeyed by a terminal. */
static void test_messages_print(void)
{
    static const char evil[] = "a\x1b[31m\xe2\x80\xae\n\tb";
    char long_path[512];

    group("messages");
    setenv("SERVER_PORT", evil, 1);
    load_with(&server_program, "-c", evil, evil, "--bo\x1b[31mgus", "--address", evil,
              "--check-config=\x1b[31m");
    forget_environment(&server_program);
    is_int((long long)mistake_count, 6, "each evil text is a mistake");
    for (size_t i = 0; i < mistake_count && i < MISTAKES_MAX; i++) {
        ok(strpbrk(mistakes[i], "\x1b\n\t\r\b\a\f\v") == NULL &&
               strstr(mistakes[i], "\xe2\x80\xae") == NULL,
           "number %zu has no byte that a terminal obeys", i + 1);
    }
    load_text(&server_program, "[server]\n\x1b[31mport = 1\n[\x1b[31m]\n");
    ok(mistake_count == 2 && strchr(mistakes[0], '\x1b') == NULL &&
           strchr(mistakes[1], '\x1b') == NULL,
       "what they repeat of the file is escaped, too");

    memset(long_path, 'x', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    setenv("SERVER_PORT", long_path, 1);
    load_with(&server_program, "-c", "/dev/null", "--address", long_path, long_path);
    forget_environment(&server_program);
    ok(mistake_count == 3 && stands_at(1, "SERVER_PORT") && stands_at(2, "--address") &&
           strstr(mistakes[0], "allowed: ") != NULL,
       "long texts are cut, what is allowed is not");
}

/* A place keeps its line's number however long the path is. */
static void test_long_path(void)
{
    char name[1024];
    size_t used = (size_t)snprintf(name, sizeof name, "%s", folder);

    group("a path of 900 bytes");
    while (used < 900) {
        used += (size_t)snprintf(name + used, sizeof name - used, "/.");
    }
    snprintf(name + used, sizeof name - used, "%s", path + strlen(folder));
    write_text("[server]\nport = many\n");
    load_with(&server_program, "-c", name);
    ok(action == CONFIG_EXIT && mistake_count == 1 &&
           strstr(mistakes[0], ":2: port: ") != NULL,
       "it does not cut off the line's number and the key");
    if (mistake_count > 0) {
        ok(strstr(mistakes[0], "allowed: ") != NULL, "it does not cut off what is allowed");
    }
}

/* ---- the file's form -------------------------------------------------------------------
 */

static void test_forms(void)
{
    static const struct {
        const char *name, *text;
    } forms[] = {
        {"a plain file", "[server]\nport = 7\n"},
        {"no newline at the end", "[server]\nport = 7"},
        {"CRLF", "[server]\r\nport = 7\r\n\r\n"},
        {"CR at the very end", "[server]\nport = 7\r"},
        {"a byte order mark", "\xef\xbb\xbf[server]\nport = 7\n"},
        {"no blanks", "[server]\nport=7\n"},
        {"many blanks", "\t [server] \t\n \tport \t = \t 7 \t \n"},
        {"indented keys", "[server]\n  workers = 2\n    port = 7\n  listen_backlog = 3\n"},
        {"a colon", "[server]\nport: 7\n"},
        {"comments", "; one\n# two\n  ; three\n[server]\n#\n;\nport = 7\n; [log]\n#x=y"},
        {"comments behind",
         "[server] ; one\nport = 7 ; two\n[log]# three\nlevel=info\t;\n"},
        {"sections the other way round", "[log]\nlevel = info\n[server]\nport = 7\n"},
        {"leading zeros", "[server]\nport = 0007\n"},
        {"an empty section", "[log]\n\n\n[server]\nport = 7"},
    };

    group("forms");
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        load_text(&server_program, forms[i].text);
        ok(is_good(CONFIG_RUN) && values.server.port == 7, "%s: port is read",
           forms[i].name);
    }
    load_text(&server_program, "");
    ok(is_good(CONFIG_RUN) && same_server(&values.server, &server_defaults),
       "an empty file changes nothing");
    load_text(&server_program, "\xef\xbb\xbf");
    ok(is_good(CONFIG_RUN), "a byte order mark alone is fine");
    load_text(&server_program, "\xef\xbb\xbf\xef\xbb\xbf[server]\nport = 7\n");
    ok(action == CONFIG_EXIT && stands_at(0, ":1"), "two byte order marks are a mistake");
    load_text(&client_program, "[client]\nid = a=b:c\nserver_address: [::1]:7\n");
    ok(is_good(CONFIG_RUN) && strcmp(values.client.id, "a=b:c") == 0 &&
           strcmp(values.client.server_address, "[::1]:7") == 0,
       "the first '=' or ':' ends the key, further ones are the value's");
}

/* "[server]", then a comment of `length` bytes with this end, then port = 7. */
static void load_long_comment(const char *begin, size_t length, const char *end)
{
    char text[TEXT_SIZE];
    size_t used = (size_t)snprintf(text, sizeof text, "[server]\n%s", begin);

    memset(text + used, 'x', length - strlen(begin));
    used += length - strlen(begin);
    snprintf(text + used, sizeof text - used, "%sport = 7\n", end);
    load_text(&server_program, text);
}

static void test_line_length(void)
{
    static const char *const begins[] = {"; ", "workers = 2 ; ", "[log] ; "};

    group("line length");
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++) {
        const char *end = i == 2 ? "\n[server]\n" : "\n";

        load_long_comment(begins[i], CONFIG_LINE_MAX, end);
        ok(i == 2 ? mistakes_at(":3")
                  : is_good(CONFIG_RUN) && values.server.port == 7 &&
                        values.server.workers == (i == 1 ? 2 : 1),
           "'%s' and more, of the longest length, is read whole", begins[i]);
    }
    load_long_comment("; ", CONFIG_LINE_MAX, "\r\n");
    ok(is_good(CONFIG_RUN) && values.server.port == 7,
       "the longest line is read with CRLF, too");
    load_long_comment("; ", CONFIG_LINE_MAX + 1, "\n");
    ok(mistakes_at(":2"), "a comment of one byte more is a mistake");
    load_long_comment("workers = 2 ; ", CONFIG_LINE_MAX + 1, "\n");
    ok(mistakes_at(":2"), "a key's line of one byte more is a mistake");
    load_long_comment("; ", 4000, "\n");
    ok(mistakes_at(":2"), "a comment of 4,000 bytes is a mistake");
    char text[TEXT_SIZE];
    snprintf(text, sizeof text, "[server]\nport = 7\n[log] ; %0*d\nlevel = warn\n",
             CONFIG_LINE_MAX, 0);
    load_text(&server_program, text);
    ok(mistakes_at(":3"),
       "keys below a section's line that is too long are part of that mistake");
    snprintf(text, sizeof text, "[server]\nport = %0*d\n",
             CONFIG_LINE_MAX - (int)strlen("port = "), 7);
    load_text(&server_program, text);
    ok(is_good(CONFIG_RUN) && values.server.port == 7,
       "a value up to the end of the longest line is read");
}

static void test_nul(void)
{
    static const char nul_in_value[] = "[server]\nport = 7\0;\nworkers = 2\n";
    static const char nul_in_comment[] = "[server]\n;\0\nport = 7\n";
    static const char nul_at_end[] = "[server]\nport = 7\n\0";
    static const char utf16[] = "\xff\xfe[\0s\0]\0\n\0";

    group("NUL");
    write_bytes(nul_in_value, sizeof nul_in_value - 1);
    load_with(&server_program, "-c", path);
    ok(mistakes_at(":2"), "one in a value is a mistake");
    write_bytes(nul_in_comment, sizeof nul_in_comment - 1);
    load_with(&server_program, "-c", path);
    ok(mistakes_at(":2"), "one in a comment is a mistake");
    write_bytes(nul_at_end, sizeof nul_at_end - 1);
    load_with(&server_program, "-c", path);
    ok(mistakes_at(":3"), "one at the end is a mistake");
    write_bytes(utf16, sizeof utf16 - 1);
    load_with(&server_program, "-c", path);
    ok(action == CONFIG_EXIT && stands_at(0, ":1"), "UTF-16 is a mistake in line 1");
}

static void test_file_size(void)
{
    static const char tail[] = "[server]\nport = 7";
    size_t tail_length = sizeof tail - 1;
    char *text = malloc(CONFIG_FILE_MAX + 1);

    if (text == NULL) {
        exit(1);
    }
    group("file size");
    memset(text, '\n', CONFIG_FILE_MAX + 1);
    memcpy(text + CONFIG_FILE_MAX - tail_length, tail, tail_length);
    write_bytes(text, CONFIG_FILE_MAX);
    load_with(&server_program, "-c", path);
    ok(is_good(CONFIG_RUN) && values.server.port == 7,
       "the largest file is read to its last byte");
    text[CONFIG_FILE_MAX] = '0';
    write_bytes(text, CONFIG_FILE_MAX + 1);
    load_with(&server_program, "-c", path);
    ok(mistakes_at(""), "one byte more than the largest is a mistake");
    free(text);
}

/* ---- command line ----------------------------------------------------------------------
 */

static void test_wishes(void)
{
    static const struct {
        const char *option;
        int action;
    } wanted[] = {
        {"--help", CONFIG_HELP},          {"-h", CONFIG_HELP},
        {"--version", CONFIG_VERSION},    {"--check-config", CONFIG_CHECK},
        {"--print-config", CONFIG_PRINT}, {"--healthcheck", SERVER_HEALTHCHECK},
    };

    group("actions");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        load_with(&server_program, "-c", "/dev/null", wanted[i].option);
        ok(is_good(wanted[i].action), "%s is one", wanted[i].option);
    }
    load_with(&client_program, "-c", "/dev/null", "--healthcheck");
    ok(mistakes_at("--healthcheck"), "an action of the other program is unknown");
    load_with(&server_program, "-c", "/nowhere", "--port", "many", "--help");
    ok(is_good(CONFIG_HELP), "--help does not look at values and files");
    load_with(&server_program, "--version", "--bogus", "word");
    ok(is_good(CONFIG_VERSION), "nothing is looked at after --version");
    load_with(&server_program, "--bogus", "--help");
    ok(mistake_count == (action == CONFIG_EXIT ? 1 : 0),
       "no mistake is reported that does not count");
    load_with(&server_program, "-c", "/dev/null", "--check-config", "--print-config");
    ok(mistakes_at("echo-server"), "two of them are a mistake");
}

static void test_arguments(void)
{
    static const struct {
        const char *argument, *place;
    } bad[] = {
        {"word", "word"},
        {"-", "-"},
        {"--", "--"},
        {"-p", "-p"},
        {"-hh", "-hh"},
        {"--Port=1", "--Port"},
        {"--max_connections=1", "--max_connections"},
        {"--por=1", "--por"},
        {"--help=yes", "--help"},
        {"--check-config=", "--check-config"},
        {"--port", "--port"},
        {"--port=", "--port"},
        {"--server-port=1", "--server-port"},
        {"--level=info", "--level"},
        {"--config", "--config"},
        {"-c", "--config"},
    };

    group("arguments");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        load_with(&server_program, bad[i].argument);
        ok(mistakes_at(bad[i].place), "%s alone is a mistake", bad[i].argument);
    }
    load_with(&server_program, "-c", "/dev/null", "");
    ok(mistake_count == 1 && mistakes[0][0] != ':',
       "an empty one is a mistake with a place");
    load_with(&server_program, "--config=");
    ok(mistake_count == 1 && mistakes[0][0] != ':',
       "an empty path is a mistake with a place");
    load_with(&client_program, "-c", "/dev/null", "--id", "--verify");
    ok(is_good(CONFIG_RUN) && strcmp(values.client.id, "--verify") == 0,
       "what follows an option is its value");
    load_with(&client_program, "-c", "/dev/null", "--id=a=b");
    ok(is_good(CONFIG_RUN) && strcmp(values.client.id, "a=b") == 0,
       "the first '=' ends the option's name");
}

/* An argument that is no option. */
static void test_word(void)
{
    group("an argument that is no option");
    load_with(&client_program, "-c", "/dev/null", "server:7", "--id", "x");
    ok(is_good(CONFIG_RUN) && strcmp(values.client.server_address, "server:7") == 0 &&
           strcmp(values.client.id, "x") == 0,
       "it is the server's address, before the options");
    load_with(&client_program, "-c", "/dev/null", "--verify", "no", "server:7");
    ok(is_good(CONFIG_RUN) && strcmp(values.client.server_address, "server:7") == 0,
       "it is the server's address, behind them");
    setenv("CLI_SERVER_ADDRESS", "other:7", 1);
    load_with(&client_program, "-c", "/dev/null", "server:7");
    ok(is_good(CONFIG_RUN) && strcmp(values.client.server_address, "server:7") == 0,
       "it wins over the environment");
    forget_environment(&client_program);
    load_with(&client_program, "-c", "/dev/null", "server");
    ok(mistakes_at("--server-address"), "one without a port is a mistake");
    load_with(&client_program, "-c", "/dev/null", "server:7", "other:7");
    ok(mistakes_at("other:7"), "a second one is a mistake");
    load_with(&client_program, "-c", "/dev/null", "--server-address", "server:7",
              "other:7");
    ok(mistakes_at("other:7"), "one behind the option is a mistake");
    load_with(&client_program, "-c", "/dev/null", "server:7", "--server-address",
              "other:7");
    ok(mistakes_at("--server-address"), "one before the option is a mistake");
    load_with(&client_program, "-c", "/dev/null", "-server:7");
    ok(mistakes_at("-server:7"), "one with a dash is a mistake");
}

/* Is what the client says of the arguments this line? NULL: there is no mistake. */
static bool says(const char *line, const char *const arguments[])
{
    contradiction = client_program.contradiction;
    load(&client_program, arguments);
    contradiction = NULL;
    bool is_right = line == NULL ? action != CONFIG_EXIT && mistake_count == 0
                                 : action == CONFIG_EXIT && mistake_count == 1 &&
                                       strcmp(mistakes[0], line) == 0;
    if (!is_right) {
        diag("expected: %s", line != NULL ? line : "nothing");
        print_mistakes();
    }
    return is_right;
}

static void test_contradictions(void)
{
    static const struct {
        const char *line, *arguments[10];
    } cases[] = {
        {NULL, {NULL}},
        {NULL, {"a:7", "--count", "3", "--timeout", "1s", "--expect", "echo"}},
        {NULL, {"--load", "a:7", "--rate", "1/2m", "--duration", "10m", "--timeout", "1s"}},
        {"--connections: it is for a load; allowed: with --load HOST:PORT",
         {"a:7", "--connections", "3"}},
        {"--max-lost: it is for a load; allowed: with --load HOST:PORT",
         {"--max-lost", "off"}},
        {"--json: it is for a load; allowed: with --load HOST:PORT", {"--json"}},
        {"--report: it is for a load; allowed: with --load HOST:PORT",
         {"--report", "json"}},
        {"--duration: it is for a load; allowed: with --load HOST:PORT",
         {"--check-config", "--duration", "3s"}},
        {NULL, {"--print-config", "--duration", "3s"}},
        {"--server-address, --load: it is for the loop; allowed: one of the two",
         {"b:7", "--load", "a:7"}},
        {"--loop-lapse, --load: it is for the loop; allowed: one of the two",
         {"--load", "a:7", "--loop-lapse", "3s"}},
        {"--once, --load: it is for the loop; allowed: one of the two",
         {"--load", "a:7", "--once"}},
        {"--count, --load: it is for the loop; allowed: one of the two",
         {"--load", "a:7", "--count", "1"}},
        {NULL, {"--load", "a:7", "--timeout", "1s", "--expect", "echo", "--max-lost", "3"}},
        {"--reconnect, --pipeline: one message has no pipeline; allowed: one of the two",
         {"--load", "a:7", "--reconnect", "--pipeline", "2"}},
        {"--threads, --connections: more threads; allowed: a connection for each",
         {"--load", "a:7", "--threads", "11"}},
        {"--threads, --messages: more threads; allowed: a message for each",
         {"--load", "a:7", "--threads", "3", "--messages", "2"}},
        {"--rate, --duration: no second message is due; allowed: longer",
         {"--load", "a:7", "--rate", "1/10s"}},
        {NULL, {"--load", "a:7", "--rate", "1/10s", "--warmup", "1ns"}},
        {NULL, {"--load", "a:7", "--rate", "2/10s"}},
        {NULL, {"--load", "a:7", "--rate", "1/10s", "--messages", "1"}},
        {NULL, {"--load", "a:7", "--rate", "1/10s", "--duration", "0"}},
        {NULL, {"--load", "a:7", "--rate", "1", "--duration", "500ms"}},
        {"--admin-address, --load: it is for the loop; allowed: one of the two",
         {"--load", "a:7", "--admin-address", "[::1]:9"}},
        {"--admin-address, --examine: it is for the loop; allowed: one of the two",
         {"--examine", "a:7", "--admin-address", "[::1]:9"}},
        {NULL, {"localhost:9", "--admin-address", "127.0.0.1:9"}},
        {"--timeline: it is for a load; allowed: with --load HOST:PORT",
         {"--timeline", "1s"}},
        {"--timeline: nothing shows it; allowed: with --json or --log-level debug",
         {"--load", "a:7", "--timeline", "1s"}},
        {"--timeline: nothing shows it; allowed: with --json or --log-level debug",
         {"--load", "a:7", "--timeline", "1s", "--report", "hgrm"}},
        {"--timeline: too short; allowed: 0s, 100ms to 24h",
         {"--load", "a:7", "--json", "--timeline", "99ms"}},
        {NULL, {"--load", "a:7", "--json", "--timeline", "100ms"}},
        {NULL, {"--load", "a:7", "--quiet", "--timeline", "1s", "--log-level", "debug"}},
        {NULL, {"--load", "a:7", "--timeline", "0"}},
        {NULL, {"--load", "a:7", "--report", "prometheus"}},
        {"report: it is for --load; allowed: text, none, json, tap, junit",
         {"--examine", "a:7", "--report", "hgrm"}},
        {"report: it is for --load; allowed: text, none, json, tap, junit",
         {"--examine", "a:7", "--report", "prometheus"}},
    };

    group("settings together");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ok(says(cases[i].line, cases[i].arguments), "case %zu: %s", i + 1,
           cases[i].line != NULL ? cases[i].line : "allowed");
    }
    write_text("[load]\nconnections = 3\nreport = json\n[client]\ncount = 3\n");
    ok(says(NULL, (const char *const[]){"-c", path, NULL}),
       "a file may have settings of a load, for the loop");
    ok(says(NULL, (const char *const[]){"-c", path, "--load", "a:7", NULL}),
       "a file may have settings of the loop, for a load");
    write_text("[load]\ntarget = a:7\nthreads = 11\n");
    ok(says("--threads, --connections: more threads; allowed: a connection for each",
            (const char *const[]){"-c", path, NULL}),
       "but not what contradicts");
}

static void test_environment(void)
{
    group("environment");
    setenv("SERVER_PORT", "tcp://10.0.0.1:12345", 1);
    load_with(&server_program, "-c", "/dev/null");
    ok(action == CONFIG_EXIT && mistake_count == 1 &&
           strncmp(mistakes[0], "SERVER_PORT: ", 13) == 0 &&
           strstr(mistakes[0], "enableServiceLinks") != NULL,
       "Kubernetes' service link has its own message");
    load_with(&server_program, "-c", "/dev/null", "--port", "7");
    ok(is_good(CONFIG_RUN) && values.server.port == 7, "an option wins over it");
    setenv("SERVER_PORT", "tcp", 1);
    load_with(&server_program, "-c", "/dev/null", "--port", "7");
    ok(action == CONFIG_EXIT && mistake_count == 1, "an option hides no other mistake");
    forget_environment(&server_program);

    setenv("LOGGING_LEVEL", "ERROR", 1);
    load_with(&server_program, "-c", "/dev/null");
    ok(is_good(CONFIG_RUN) && values.server.log_level == LOG_ERROR,
       "LOGGING_LEVEL is the level of the log, without regard to case");
    load_with(&client_program, "-c", "/dev/null", "--logging-level", "Debug");
    ok(is_good(CONFIG_RUN) && values.client.log_level == LOG_DEBUG,
       "--logging-level wins over it");
    setenv("SERVER_LOG_LEVEL", "info", 1);
    load_with(&server_program, "-c", "/dev/null");
    ok(action == CONFIG_EXIT && mistake_count == 1 &&
           strncmp(mistakes[0], "LOGGING_LEVEL: ", 15) == 0,
       "both names at once are a mistake");
    unsetenv("LOGGING_LEVEL");
    forget_environment(&server_program);

    setenv("SERVER_NONSENSE", "1", 1);
    setenv("PORT", "1", 1);
    setenv("server_port", "1", 1);
    setenv("CLI_ID", "", 1);
    load_with(&server_program, "-c", "/dev/null");
    ok(is_good(CONFIG_RUN) && same_server(&values.server, &server_defaults),
       "variables of others are not ours");
    unsetenv("SERVER_NONSENSE");
    unsetenv("PORT");
    unsetenv("server_port");
    forget_environment(&client_program);
}

/* ---- what is printed -------------------------------------------------------------------
 */

struct text {
    char bytes[TEXT_SIZE];
    size_t length;
};

static void append(void *context, const char *piece)
{
    struct text *text = context;

    text->length += (size_t)snprintf(text->bytes + text->length,
                                     sizeof text->bytes - text->length, "%s", piece);
}

static void test_print(const struct subject *subject, const void *printed, const char *what)
{
    static struct text text;

    text.length = 0;
    group("%s prints %s", subject->program->name, what);
    config_print(subject->program, printed, append, &text);
    load_text(subject->program, text.bytes);
    ok(is_good(CONFIG_RUN) && same_values(subject, printed), "read back they are the same");
    for (size_t i = 0; i < subject->count; i++) {
        char line[64];

        snprintf(line, sizeof line, "\n%s = ", subject->samples[i].name);
        ok(strstr(text.bytes, line) != NULL, "%s is among them", subject->samples[i].name);
    }
}

/* Texts as long as the program takes them. */
static void test_print_longest(void)
{
    static char address[NET_HOST_TEXT + 16], id[CLIENT_ID_MAX];
    struct client_config longest;
    size_t host = NET_HOST_TEXT - 1;

    group("the longest texts");
    memset(id, 'i', sizeof id - 1);
    do { /* the longest host that is accepted */
        memset(address, 'a', host);
        snprintf(address + host, sizeof address - host, ":65535");
        load_with(&client_program, "-c", "/dev/null", "--id", id, "--server-address",
                  address);
    } while (action == CONFIG_EXIT && --host > 0);
    ok(host >= 64, "a host of %zu bytes is accepted", host);
    longest = values.client;
    is_str(longest.id, id, "an id of 63 bytes is accepted");
    test_print(&subjects[1], &longest, "the longest texts");
    group("the longest texts");
    load_with(&client_program, "-c", "/dev/null", "--id",
              "1234567890123456789012345678901234567890123456789012345678901234");
    ok(mistakes_at("--id"), "an id of 64 bytes is a mistake");
}

static void test_help(const struct subject *subject)
{
    static struct text text;

    text.length = 0;
    group("%s --help", subject->program->name);
    config_help(subject->program, append, &text);
    for (size_t i = 0; i < subject->count; i++) {
        const struct sample *sample = &subject->samples[i];
        char option[64], place[128];

        snprintf(option, sizeof option, "\n  %s %s ", sample->option,
                 subject->program->keys[i].value);
        snprintf(place, sizeof place, "[%s] %s, %s\n", sample->section, sample->name,
                 sample->env);
        ok(strstr(text.bytes, option) != NULL && strstr(text.bytes, place) != NULL,
           "it has %s, its value, its key and its variable", sample->option);
    }
    const char *first = strstr(text.bytes, "\nMost used:\n"),
               *all = strstr(text.bytes, "\nSettings:\n");
    unsigned lines = 0;
    for (const char *c = first; c != NULL && c < all; c++) {
        lines += strncmp(c, "\n  --", 5) == 0 ? 1 : 0;
    }
    is_int(lines, 10, "it begins with ten");
    ok(strstr(text.bytes, "-c FILE") != NULL && strstr(text.bytes, "--check-config") &&
           strstr(text.bytes, "--print-config") && strstr(text.bytes, "--version") &&
           strstr(text.bytes, subject->program->file) != NULL,
       "it has the actions, -c FILE and the default file");
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    snprintf(path, sizeof path, "%s/test.ini", folder);
    snprintf(no_file, sizeof no_file, "%s/missing.ini", folder);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        forget_environment(subjects[i].program);
    }
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        test_every_key(&subjects[i]);
        test_all_keys(&subjects[i]);
        test_print(&subjects[i], subjects[i].defaults, "the defaults");
        test_print(&subjects[i], subjects[i].others, "other values");
        test_help(&subjects[i]);
    }
    test_print_longest();
    test_standard_file();
    test_all_at_once();
    test_repeats();
    test_bad_lines();
    test_values();
    test_messages_print();
    test_long_path();
    test_forms();
    test_line_length();
    test_nul();
    test_file_size();
    test_wishes();
    test_arguments();
    test_word();
    test_contradictions();
    test_environment();
    unlink(path);
    rmdir(folder);
    return done();
}
