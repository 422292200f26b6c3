#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/events.h"
#include "base/format.h"
#include "base/histogram.h"
#include "base/latency.h"
#include "base/log.h"
#include "client/client_admin.h"
#include "client/client_metrics.h"
#include "client/server_identity.h"
#include "io/fdwait.h"
#include "io/net.h"
#include "io/probe.h"
#include "io/resolve.h"
#include "io/selfpipe.h"
#include "sandbox/sandbox.h"

/* The longest message: the id, a number of 20 digits and the words around them. */
#define MESSAGE_MAX (CLIENT_ID_MAX + 64)

/* Messages from which on the summary has percentiles. */
#define PERCENTILES_FROM 100

/* What --expect is held against: what became of each message, or of each of its addresses
 * where none could be connected to. */
struct seen {
    uint64_t counts[PROBE_OUTCOMES];
    uint64_t wants; /* of these, since this side lacks something */
};

struct client {
    const struct client_config *config;
    int signals; /* the self-pipe's end */
    uint16_t port;
    struct client_live *live;
    struct client_admin admin;
    uint64_t sent;
    uint64_t counts[PROBE_OUTCOMES];
    struct seen seen;
    bool was_refused[RESOLVE_FILES]; /* by their permissions, before the sandbox */
    struct sandbox sandbox;
    char host[NET_HOST_TEXT];
};

/* ---- one message --------------------------------------------------------------------- */

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

static void see(struct client *client, const struct probe *probe, bool is_own_want)
{
    client->seen.counts[probe->outcome]++;
    client->seen.wants += is_own_want ? 1 : 0;
}

/* Look the server's name up. Returns how many addresses there are; 0: the probe failed. */
static size_t find_addresses(struct client *client, struct net_address *addresses,
                             struct probe *probe, const char **why)
{
    uint64_t took_ns;
    bool is_asking; /* the sandbox allows it, for the next look-up */
    size_t count = resolve_wait(client->host, client->port, client->config->timeout_ns,
                                client->signals, addresses, &took_ns, &is_asking, why);

    if (count == 0) {
        probe_fail(probe, *why == NULL ? PROBE_INTERRUPTED : PROBE_NOT_RESOLVED,
                   took_ns == 0 ? errno : 0);
        see(client, probe, took_ns == 0 || hidden_file(client) != NULL);
    } else if (took_ns != 0) {
        histogram_record(&client->live->resolve, took_ns);
    }
    return count;
}

/* Receive once into an answer; nothing may follow it. */
static enum opening_verdict receive_answer(struct probe *probe, int fd,
                                           struct opening_answer *answer)
{
    unsigned char bytes[IDENTITY_ANSWER_TEXT];
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    size_t length = n > 0 ? (size_t)n : 0;

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return OPENING_PART;
    }
    if (n <= 0) {
        probe_fail(probe, n == 0 ? PROBE_CLOSED_EARLY : probe_outcome_of(errno),
                   n == 0 ? 0 : errno);
        return OPENING_WRONG;
    }
    enum opening_verdict verdict = opening_take(answer, bytes, &length);
    if (verdict == OPENING_WRONG || length < (size_t)n) {
        probe_fail(probe, PROBE_DIFFERS, EPROTO);
        return OPENING_WRONG;
    }
    return verdict;
}

/* Wait for the answer to the question. Returns false when the probe is finished. */
static bool await_answer(const struct client *client, struct probe *probe, int fd,
                         struct opening_answer *answer)
{
    enum opening_verdict verdict = OPENING_PART;

    while (verdict == OPENING_PART) {
        int revents = fdwait(fd, POLLIN, probe->deadline_ns, client->signals);

        if (revents <= 0) {
            probe_fail(probe, revents == 0 ? PROBE_TIMED_OUT : PROBE_INTERRUPTED, 0);
            return false;
        }
        verdict = receive_answer(probe, fd, answer);
    }
    return verdict == OPENING_TOLD;
}

/* Once it is connected, say what comes before the message. That counts in no time. Returns
 * false when the probe is finished. */
static bool open_talk(struct client *client, const struct net_address *address,
                      struct probe *probe, int fd)
{
    const struct client_config *config = client->config;
    struct opening_answer answer = {0};

    if (fdwait(fd, POLLOUT, probe->deadline_ns, client->signals) <= 0) {
        return true; /* the probe will find that, too */
    }
    int error = net_connect_result(fd);
    if (error == 0) {
        probe->connected_ns = clock_now_ns();
        probe->deadline_ns = probe->connected_ns + probe->timeout_ns;
        error = opening_send(fd, config->proxy_protocol, config->identity != 0);
    }
    if (error != 0) {
        probe_fail(probe, probe_outcome_of(error), error);
        return false;
    }
    if (config->identity != 0) {
        if (!await_answer(client, probe, fd, &answer)) {
            return false;
        }
        server_identity_log(false, address, &answer);
    }
    probe->start_ns += clock_now_ns() - probe->connected_ns;
    return true;
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
    counter_set(&client->live->sockets, 1);
    if ((config->proxy_protocol == 0 && config->identity == 0) ||
        open_talk(client, address, probe, fd)) {
        probe_wait(probe, fd, client->signals);
    }
    close(fd);
    counter_set(&client->live->sockets, 0);
    log_event(
        EVENT_SOCKET_CLOSED(probe->outcome == PROBE_INTERRUPTED ? LOG_INFO : LOG_DEBUG),
        net_address_text(address, text));
}

/* Try the addresses of the name in turn until one can be connected to. */
static void exchange(struct client *client, const char *message, struct probe *probe,
                     const char **why)
{
    struct net_address addresses[RESOLVE_MAX];
    size_t count = find_addresses(client, addresses, probe, why);
    const struct seen before = client->seen;

    for (size_t i = 0; i < count; i++) {
        exchange_with(client, &addresses[i], message, probe);
        if (probe->connected_ns != 0) { /* this address is the one that counts */
            client->seen = before;
        }
        see(client, probe, probe_is_own_want(probe->error));
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
    log_event(EVENT_MESSAGE_ECHOED, escape_bytes(shown, sizeof shown, probe->reply, length),
              probe_outcome_names[PROBE_ECHOED], client->sent,
              probe->end_ns - probe->connected_ns);
}

static void log_failed(const struct client *client, const struct probe *probe,
                       const char *why)
{
    char detail[160];
    const char *reason = detail;

    if (probe->outcome == PROBE_DIFFERS && probe->error != 0) {
        reason = SERVER_IDENTITY_WRONG;
    } else if (probe->outcome == PROBE_DIFFERS && probe->differs_at < probe->length) {
        format(detail, sizeof detail, "byte %zu is 0x%02x, expected 0x%02x",
               probe->differs_at, probe->got, probe->expected);
    } else if (probe->outcome == PROBE_DIFFERS) {
        format(detail, sizeof detail, "it goes on behind the %zu bytes sent",
               probe->length);
    } else if (probe->outcome == PROBE_NOT_RESOLVED) {
        const char *hidden = hidden_file(client);

        format(detail, sizeof detail, "%s%s%s", why != NULL ? why : "no address",
               hidden != NULL      ? "; the sandbox cannot read the new "
               : probe->error == 0 ? resolve_hint(client->host)
                                   : "",
               hidden == NULL ? "" : hidden);
    } else if (probe->error != 0) {
        reason = net_error_text(probe->error);
    } else if (probe->connected_ns == 0) {
        reason = "no connection";
    } else {
        format(detail, sizeof detail, "%zu of %zu bytes came back", probe->received,
               probe->length);
    }
    log_event(EVENT_MESSAGE_FAILED(
                  (int)probe->outcome == client->config->expect ? LOG_INFO : LOG_ERROR),
              client->sent, client->config->server_address,
              probe_outcome_names[probe->outcome], reason);
}

static void count(struct client *client, const struct probe *probe)
{
    struct client_live *live = client->live;

    client->counts[probe->outcome]++;
    if (probe->outcome == PROBE_ECHOED) {
        struct timespec now;

        histogram_record(&live->connect, probe->connected_ns - probe->start_ns);
        histogram_record(&live->first_byte, probe->first_byte_ns - probe->connected_ns);
        histogram_record(&live->reply, probe->end_ns - probe->connected_ns);
        clock_gettime(CLOCK_REALTIME, &now);
        counter_set(&live->last_echo_ns,
                    (uint64_t)now.tv_sec * CLOCK_S + (uint64_t)now.tv_nsec);
    }
    counter_add(&live->messages[probe->outcome], 1);
    counter_set(&live->last_outcome, (uint64_t)probe->outcome + 1);
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

/* ---- the loop ------------------------------------------------------------------------ */

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
        if (fdwait(-1, 0, next < end ? next : end, client->signals) == -1) {
            break;
        }
    }
}

static uint64_t lost(const struct client *client)
{
    return client->sent - client->counts[PROBE_ECHOED] - client->counts[PROBE_INTERRUPTED];
}

/* Nanoseconds as "12.345" milliseconds, without floating point. */
static const char *ms_text(uint64_t ns, char out[32])
{
    format(out, 32, "%" PRIu64 ".%03u", ns / CLOCK_MS,
           (unsigned)(ns % CLOCK_MS / CLOCK_US));
    return out;
}

static void summarize(const struct client *client)
{
    const struct histogram *reply = &client->live->reply;
    uint64_t echoed = client->counts[PROBE_ECHOED];
    char kinds[160] = "", times[128] = "", min[32], mean[32], max[32];
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
        format(times, sizeof times, ", reply min/mean/max = %s/%s/%s ms",
               ms_text(reply->min_ns, min), ms_text(histogram_mean(reply), mean),
               ms_text(reply->max_ns, max));
    }
    log_event(EVENT_SUMMARY, client->sent, echoed, lost(client), kinds, times,
              reply->min_ns, histogram_mean(reply), reply->max_ns);
}

/* A line for each distribution, where there are enough messages for percentiles; with less
 * the summary has said it. */
static void log_times(const struct client *client)
{
    const struct {
        const char *name;
        const struct histogram *histogram;
    } rows[] = {
        {"resolve", &client->live->resolve},
        {"connect", &client->live->connect},
        {"first byte", &client->live->first_byte},
        {"reply", &client->live->reply},
    };
    char text[LATENCY_LINE_TEXT];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct histogram *times = rows[i].histogram;

        if (times->count > 1 && client->live->reply.count >= PERCENTILES_FROM) {
            log_event(EVENT_TIMES, rows[i].name, latency_line(text, times), times->count,
                      histogram_percentile(times, 50000),
                      histogram_percentile(times, 99000), times->max_ns);
        }
    }
}

/* Hold what was seen against what is expected, if anything is. Returns the exit code. */
static enum client_exit judge(const struct client *client)
{
    enum probe_outcome wanted = (enum probe_outcome)client->config->expect;
    char text[CLIENT_SEEN_TEXT];

    if (wanted == CLIENT_EXPECT_ANY) {
        return client_exit_code(client->counts);
    }
    const struct seen *seen = &client->seen;
    bool is_so = client_saw_only(wanted, seen->counts) && seen->wants == 0;
    client_seen_text(text, client_expect_names[wanted], seen->counts, seen->wants);
    log_event(EVENT_EXPECTATION(is_so ? LOG_INFO : LOG_ERROR), text,
              client_expect_names[wanted]);
    return is_so ? CLIENT_ALL_ECHOED : CLIENT_UNEXPECTED;
}

/* What signal ended the loop, if one did. */
static void log_signal(void)
{
    int number = selfpipe_take();

    if (number != 0) {
        log_event(EVENT_INTERRUPTED, selfpipe_name(number));
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
           client_admin_start(&client->admin) &&
           sandbox_complete(&client->sandbox,
                            SECCOMP_CLIENT | (is_numeric ? 0U : SECCOMP_NAMES) |
                                (client->admin.is_open ? SECCOMP_ADMIN : 0U));
}

enum client_exit client_run(const struct client_config *config)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
    struct client_live *live = calloc(1, sizeof *live);
    struct client client = {.config = config, .live = live};

    if (live == NULL) {
        log_event(EVENT_NO_MEMORY);
        return CLIENT_FATAL;
    }
    if (net_split(config->server_address, client.host, &client.port) != NULL) {
        free(live);
        return CLIENT_USAGE; /* the configuration checked it already */
    }
    client.signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (client.signals == -1) {
        log_event(EVENT_PIPE_FAILED, "the self-pipe", strerror(errno));
        free(live);
        return CLIENT_FATAL;
    }
    bool is_started = client_admin_open(&client.admin, config->admin_address, live) &&
                      enter_sandbox(&client);
    log_set_client(config->id);
    if (is_started) {
        run_loop(&client);
        log_signal();
    }
    client_admin_close(&client.admin);
    selfpipe_close();
    log_event(EVENT_SELF_PIPE_CLOSED);
    summarize(&client);
    log_times(&client);
    free(live);
    return is_started ? judge(&client) : CLIENT_FATAL;
}
