#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "await.h"
#include "clock.h"
#include "escape.h"
#include "format.h"
#include "histogram.h"
#include "latency.h"
#include "log.h"
#include "net.h"
#include "probe.h"
#include "resolve.h"
#include "sandbox.h"
#include "selfpipe.h"
#include "table.h"

/* The longest message: the id, a number of 20 digits and the words around them. */
#define MESSAGE_MAX (CLIENT_ID_MAX + 64)

/* Of echoed messages, apart from `resolve`. */
struct client_times {
    struct histogram resolve;
    struct histogram connect;
    struct histogram first_byte; /* connected to the first byte of the echo */
    struct histogram reply;      /* connected to the last byte */
};

struct client {
    const struct client_config *config;
    char host[NET_HOST_TEXT];
    uint16_t port;
    int signals; /* the self-pipe's end */
    struct sandbox sandbox;
    bool was_refused[RESOLVE_FILES]; /* by their permissions, before the sandbox */
    uint64_t sent;
    uint64_t counts[PROBE_OUTCOMES];
    struct client_times *times;
};

/* ---- one message -----------------------------------------------------------------------
 */

/* Look the server's name up. Returns how many addresses there are; 0: the probe failed. */
static size_t find_addresses(struct client *client, struct net_address *addresses,
                             struct probe *probe, const char **why)
{
    uint64_t took_ns;
    size_t count = resolve_wait(client->host, client->port, client->config->timeout_ns,
                                client->signals, addresses, &took_ns, why);

    if (count == 0) {
        probe_fail(probe, *why == NULL ? PROBE_INTERRUPTED : PROBE_NOT_RESOLVED, 0);
    } else if (took_ns != 0) {
        histogram_record(&client->times->resolve, took_ns);
    }
    return count;
}

/* The exchange with one address: the socket is made and closed here. */
static void exchange_with(struct client *client, const struct net_address *address,
                          const char *message, struct probe *probe)
{
    const struct client_config *config = client->config;
    char text[NET_ADDRESS_TEXT];

    probe_start(probe, message, strlen(message), config->verify, config->timeout_ns);
    int fd = net_connect(address, NULL);
    if (fd == -1) {
        probe_fail(probe, probe_outcome_of(errno), errno);
        return;
    }
    probe_wait(probe, fd, client->signals);
    close(fd);
    log_line(probe->outcome == PROBE_INTERRUPTED ? LOG_INFO : LOG_DEBUG,
             "[CLIENT %s] connection to %s closed", config->id,
             net_address_text(address, text));
}

/* Try the addresses of the name in turn until one can be connected to. */
static void exchange(struct client *client, const char *message, struct probe *probe,
                     const char **why)
{
    struct net_address addresses[RESOLVE_MAX];

    size_t count = find_addresses(client, addresses, probe, why);
    for (size_t i = 0; i < count; i++) {
        exchange_with(client, &addresses[i], message, probe);
        if (probe->connected_ns != 0 || probe->outcome == PROBE_INTERRUPTED) {
            break;
        }
    }
}

static void log_echoed(const struct client *client, const struct probe *probe)
{
    char shown[2 * PROBE_REPLY_MAX];
    size_t length = probe->reply_length;

    if (length > 0 && probe->reply[length - 1] == '\n') {
        length--;
    }
    log_info("[CLIENT %s] Message from server: %s", client->config->id,
             escape_bytes(shown, sizeof shown, probe->reply, length));
}

static bool is_refused(const char *file)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return errno == EACCES;
    }
    close(fd);
    return false;
}

/* A file that look-ups need, but that the sandbox does not know: it was put in the place of
 * the one that was there at the start. NULL: none. */
static const char *hidden_file(const struct client *client)
{
    for (size_t i = 0; client->sandbox.landlock_abi > 0 && i < RESOLVE_FILES; i++) {
        if (!client->was_refused[i] && is_refused(resolve_files[i])) {
            return resolve_files[i];
        }
    }
    return NULL;
}

static void log_failed(const struct client *client, const struct probe *probe,
                       const char *why)
{
    char detail[160] = "";

    if (probe->outcome == PROBE_DIFFERS && probe->differs_at < probe->length) {
        format(detail, sizeof detail, ": byte %zu is 0x%02x, expected 0x%02x",
               probe->differs_at, probe->got, probe->expected);
    } else if (probe->outcome == PROBE_DIFFERS) {
        format(detail, sizeof detail, ": it goes on behind the %zu bytes sent",
               probe->length);
    } else if (probe->outcome == PROBE_NOT_RESOLVED) {
        const char *hidden = hidden_file(client);

        format(detail, sizeof detail, ": %s%s%s", why != NULL ? why : "no address",
               hidden == NULL ? "" : "; the sandbox cannot read the new ",
               hidden == NULL ? "" : hidden);
    } else if (probe->error != 0) {
        format(detail, sizeof detail, ": %s", strerror(probe->error));
    } else if (probe->connected_ns == 0) {
        format(detail, sizeof detail, ": no connection");
    } else {
        format(detail, sizeof detail, ": %zu of %zu bytes came back", probe->received,
               probe->length);
    }
    log_error("[CLIENT %s] Message N\xc2\xb0%" PRIu64 " to %s %s%s", client->config->id,
              client->sent, client->config->server_address,
              probe_outcome_names[probe->outcome], detail);
}

static void count(struct client *client, const struct probe *probe)
{
    struct client_times *times = client->times;

    client->counts[probe->outcome]++;
    if (probe->outcome == PROBE_ECHOED) {
        histogram_record(&times->connect, probe->connected_ns - probe->start_ns);
        histogram_record(&times->first_byte, probe->first_byte_ns - probe->connected_ns);
        histogram_record(&times->reply, probe->end_ns - probe->connected_ns);
    }
}

/* Send the next message. Returns false when a signal ended it. */
static bool send_message(struct client *client)
{
    char message[MESSAGE_MAX];
    const char *why = NULL;
    struct probe probe = {0};

    format(message, sizeof message, "[CLIENT %s] Message N\xc2\xb0%" PRIu64 " sent\n",
           client->config->id, ++client->sent);
    exchange(client, message, &probe, &why);
    count(client, &probe);
    if (probe.outcome == PROBE_ECHOED) {
        log_echoed(client, &probe);
    } else {
        log_failed(client, &probe, why);
    }
    log_flush();
    return probe.outcome != PROBE_INTERRUPTED;
}

/* ---- the loop --------------------------------------------------------------------------
 */

static void run_loop(struct client *client)
{
    const struct client_config *config = client->config;
    uint64_t start = clock_now_ns();
    uint64_t end = config->loop_lapse_ns != 0 ? start + config->loop_lapse_ns : UINT64_MAX;

    while (clock_now_ns() < end && send_message(client)) {
        uint64_t now = clock_now_ns();
        uint64_t next = now + config->loop_period_ns;

        if (config->count != 0 && client->sent >= config->count) {
            break;
        }
        if (config->interval_ns != 0) { /* the next on the grid that has not passed */
            next = now + config->interval_ns - (now - start) % config->interval_ns;
        }
        /* Nothing but a signal can end this wait early. */
        if (await_fd(-1, 0, next < end ? next : end, client->signals) == -1) {
            break;
        }
    }
}

static uint64_t lost(const struct client *client)
{
    return client->sent - client->counts[PROBE_ECHOED] - client->counts[PROBE_INTERRUPTED];
}

/* Microseconds as "12.345" milliseconds, without floating point. */
static const char *ms_text(uint64_t ns, char out[32])
{
    format(out, 32, "%" PRIu64 ".%03u", ns / CLOCK_MS,
           (unsigned)(ns % CLOCK_MS / CLOCK_US));
    return out;
}

static void summarize(const struct client *client)
{
    const struct histogram *reply = &client->times->reply;
    uint64_t echoed = client->counts[PROBE_ECHOED];
    char kinds[160] = "", rtt[128] = "", min[32], avg[32], max[32];
    size_t used = 0;

    for (int kind = PROBE_ECHOED + 1; kind < PROBE_OUTCOMES; kind++) {
        if (client->counts[kind] > 0) {
            used += format(kinds + used, sizeof kinds - used, "%s%" PRIu64 " %s",
                           used == 0 ? " (" : ", ", client->counts[kind],
                           probe_outcome_names[kind]);
        }
    }
    if (used > 0) {
        format(kinds + used, sizeof kinds - used, ")");
    }
    if (echoed > 0) {
        format(rtt, sizeof rtt, ", rtt min/avg/max = %s/%s/%s ms",
               ms_text(reply->min_ns, min), ms_text(histogram_mean(reply), avg),
               ms_text(reply->max_ns, max));
    }
    log_info("[CLIENT %s] %" PRIu64 " sent, %" PRIu64 " echoed, %" PRIu64 " lost%s%s",
             client->config->id, client->sent, echoed, lost(client), kinds, rtt);
}

/* A line for each distribution of more than one. */
static void log_times(const struct client *client)
{
    const struct {
        const char *name;
        const struct histogram *histogram;
    } rows[] = {
        {"resolve", &client->times->resolve},
        {"connect", &client->times->connect},
        {"first byte", &client->times->first_byte},
        {"reply", &client->times->reply},
    };
    char text[LATENCY_LINE_TEXT];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].histogram->count > 1) {
            log_info("[CLIENT %s] %s: %s", client->config->id, rows[i].name,
                     latency_line(text, rows[i].histogram));
        }
    }
}

enum client_exit client_exit_code(const uint64_t counts[PROBE_OUTCOMES])
{
    const uint64_t *n = counts;
    const uint64_t by_code[] = {
        [CLIENT_NOT_RESOLVED] = n[PROBE_NOT_RESOLVED],
        [CLIENT_NO_CONNECTION] = n[PROBE_REFUSED] + n[PROBE_UNREACHABLE],
        [CLIENT_TIMED_OUT] = n[PROBE_TIMED_OUT],
        [CLIENT_DIFFERS] = n[PROBE_DIFFERS],
        [CLIENT_CLOSED] = n[PROBE_CLOSED_EARLY] + n[PROBE_RESET],
    };
    enum client_exit code = CLIENT_ALL_ECHOED;
    uint64_t most = 0;

    for (int i = CLIENT_NOT_RESOLVED; i <= CLIENT_CLOSED; i++) {
        if (by_code[i] > most) {
            most = by_code[i];
            code = (enum client_exit)i;
        }
    }
    return code;
}

/* What signal ended the loop, if one did. */
static void log_signal(const struct client *client)
{
    int number = selfpipe_take();

    if (number != 0) {
        log_info("[CLIENT %s] SIG%s: stopping", client->config->id,
                 number == SIGTERM ? "TERM" : "INT");
    }
}

/* What the loop still needs: the server's port, and a name's look-ups, each in a thread. */
static bool enter_sandbox(struct client *client)
{
    const uint16_t ports[] = {client->port, RESOLVE_PORT};
    enum sandbox_mode mode = (enum sandbox_mode)client->config->sandbox;
    struct net_address address;
    bool is_numeric = net_numeric(client->host, client->port, &address);
    struct landlock_access access = {
        .files = resolve_files,
        .file_count = is_numeric ? 0 : RESOLVE_FILES,
        .connect_ports = ports,
        .connect_count = is_numeric ? 1 : 2,
    };

    for (size_t i = 0; i < RESOLVE_FILES; i++) {
        client->was_refused[i] = is_refused(resolve_files[i]);
    }
    return sandbox_begin(&client->sandbox, mode, &access) &&
           sandbox_complete(&client->sandbox,
                            SECCOMP_CLIENT | (is_numeric ? 0U : SECCOMP_NAMES));
}

enum client_exit client_run(const struct client_config *config)
{
    static const int caught[] = {SIGTERM, SIGINT};
    struct client client = {.config = config};

    if (net_split(config->server_address, client.host, &client.port) != NULL) {
        return CLIENT_USAGE; /* the configuration checked it already */
    }
    if (!table_grow(&client.times, 0, 1, sizeof *client.times)) {
        log_error("no memory");
        return CLIENT_FATAL;
    }
    client.signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (client.signals == -1) {
        log_error("cannot make the self-pipe: %s", strerror(errno));
        table_free(&client.times, 1, sizeof *client.times);
        return CLIENT_FATAL;
    }
    bool is_started = enter_sandbox(&client);
    if (is_started) {
        run_loop(&client);
        log_signal(&client);
    }
    selfpipe_close();
    log_info("[CLIENT %s] self-pipe closed", config->id);
    summarize(&client);
    log_times(&client);
    table_free(&client.times, 1, sizeof *client.times);
    return is_started ? client_exit_code(client.counts) : CLIENT_FATAL;
}
