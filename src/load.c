#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "await.h"
#include "clock.h"
#include "load_line.h"
#include "load_worker.h"
#include "log.h"
#include "net.h"
#include "report.h"
#include "resolve.h"
#include "sandbox.h"
#include "selfpipe.h"
#include "table.h"
#include "thread.h"

#define THREADS_MAX 64

/* How often the live line is drawn. */
#define LIVE_NS (250 * CLOCK_MS)

/* Descriptors that are no connections: standard ones, pipes, timers; and for each thread.
 */
#define DESCRIPTORS_BASE   16
#define DESCRIPTORS_THREAD 4

struct load;

struct load_thread {
    struct load *load;
    unsigned number;
    pthread_t thread;
    struct load_result *result;
};

struct load {
    const struct client_config *config;
    struct load_plan plan;
    struct load_start start;
    struct net_address addresses[RESOLVE_MAX];
    struct net_address sources[LOAD_SOURCES_MAX];
    int signals;     /* the self-pipe's end */
    int stop[2];     /* its write end is closed: the threads stop */
    int finished[2]; /* a byte for each thread that ended */
    unsigned started, ended;
    struct load_thread threads[THREADS_MAX];
    struct load_live live[THREADS_MAX]; /* of the threads */
    struct load_line line;
    int signal; /* that ended it; 0: none */
};

/* ---- before ----------------------------------------------------------------------------
 */

/* Can an address be reached from one of the sources? */
static bool has_source(const struct load *load, const struct net_address *address)
{
    for (size_t i = 0; i < load->plan.source_count; i++) {
        if (load->sources[i].storage.ss_family == address->storage.ss_family) {
            return true;
        }
    }
    return load->plan.source_count == 0;
}

/* Keep the addresses that have a source of their family. Returns false if none is left. */
static bool drop_unreachable(struct load *load)
{
    size_t kept = 0;

    for (size_t i = 0; i < load->plan.address_count; i++) {
        if (has_source(load, &load->addresses[i])) {
            load->addresses[kept++] = load->addresses[i];
        }
    }
    load->plan.address_count = kept;
    if (kept == 0) {
        log_error("--source: '%s' has no address of the kind that %s has; allowed: IPv4 to "
                  "IPv4, IPv6 to IPv6",
                  load->config->load.source, load->config->load.target);
    }
    return kept > 0;
}

/* The name's addresses, or the exit code that it ends with. */
static enum client_exit find_addresses(struct load *load, struct histogram *took)
{
    char host[NET_HOST_TEXT];
    uint16_t port;
    const char *why;
    uint64_t took_ns;

    net_split(load->config->load.target, host, &port); /* the configuration checked it */
    load->plan.address_count = resolve_wait(host, port, load->config->timeout_ns,
                                            load->signals, load->addresses, &took_ns, &why);
    if (load->plan.address_count == 0) {
        log_error("%s not resolved: %s", load->config->load.target,
                  why != NULL ? why : "interrupted");
        return CLIENT_NOT_RESOLVED;
    }
    if (took_ns != 0) {
        histogram_record(took, took_ns);
    }
    if (!drop_unreachable(load)) {
        return CLIENT_USAGE;
    }
    if (load->config->load.address_policy == LOAD_FIRST) {
        load->plan.address_count = 1;
    }
    return CLIENT_ALL_ECHOED;
}

/* The addresses are known and no file is needed any more: there is the target's port. */
static bool enter_sandbox(const struct load *load)
{
    const uint16_t any = 0;
    uint16_t port = net_port(&load->addresses[0]);
    bool has_sources = load->plan.source_count > 0;
    struct landlock_access access = {.connect_ports = &port,
                                     .connect_count = 1,
                                     .bind_ports = &any,
                                     .bind_count = has_sources ? 1 : 0};
    struct sandbox sandbox;

    return sandbox_begin(&sandbox, (enum sandbox_mode)load->config->sandbox, &access) &&
           sandbox_complete(&sandbox, SECCOMP_LOAD | (has_sources ? SECCOMP_SOURCES : 0U));
}

/* As many descriptors as there may be, and a word if they are too few. */
static bool raise_limit(const struct load_config *config)
{
    struct rlimit limit = {0, 0};
    rlim_t needed =
        config->connections + DESCRIPTORS_BASE + DESCRIPTORS_THREAD * config->threads;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    if (limit.rlim_max < needed) {
        log_error("%" PRIu64 " connections need %" PRIu64
                  " open files, the limit is %" PRIu64
                  ": allowed: fewer, or a higher hard limit (ulimit -Hn, RLIMIT_NOFILE)",
                  config->connections, (uint64_t)needed, (uint64_t)limit.rlim_max);
        return false;
    }
    return true;
}

static bool open_pipes(struct load *load)
{
    static const int caught[] = {SIGTERM, SIGINT};

    load->signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (load->signals == -1) {
        log_error("cannot make the self-pipe: %s", strerror(errno));
        return false;
    }
    if (pipe2(load->stop, O_CLOEXEC) == -1) {
        log_error("cannot make a pipe: %s", strerror(errno));
        selfpipe_close();
        return false;
    }
    if (pipe2(load->finished, O_CLOEXEC) == -1) {
        log_error("cannot make a pipe: %s", strerror(errno));
        close(load->stop[0]);
        close(load->stop[1]);
        selfpipe_close();
        return false;
    }
    return true;
}

static void close_pipes(struct load *load)
{
    close(load->finished[0]);
    close(load->finished[1]);
    close(load->stop[0]);
    if (load->stop[1] != -1) {
        close(load->stop[1]);
    }
    selfpipe_close();
}

/* ---- the run ---------------------------------------------------------------------------
 */

static void *run_thread(void *argument)
{
    struct load_thread *thread = argument;

    load_worker_run(&thread->load->plan, thread->number, thread->result,
                    &thread->load->live[thread->number]);
    (void)!write(thread->load->finished[1], "", 1);
    return NULL;
}

static size_t result_size(const struct load *load)
{
    return sizeof(struct load_result) +
           load->plan.address_count * sizeof(struct load_address_result);
}

static int start_threads(struct load *load)
{
    int error = 0;

    while (load->started < load->config->load.threads && error == 0) {
        struct load_thread *thread = &load->threads[load->started];

        thread->load = load;
        thread->number = load->started;
        if (!table_grow(&thread->result, 0, 1, result_size(load))) {
            error = ENOMEM;
            break;
        }
        error = thread_start(&thread->thread, run_thread, thread);
        if (error != 0) {
            table_free(&thread->result, 1, result_size(load));
            break;
        }
        load->started++;
    }
    return error;
}

static void order_stop(struct load *load)
{
    if (load->stop[1] != -1) {
        close(load->stop[1]);
        load->stop[1] = -1;
    }
}

/* Until all threads ended. */
static void watch(struct load *load)
{
    char byte;
    int signals = load->signals;

    while (load->ended < load->started) {
        uint64_t until = load->plan.is_live ? clock_now_ns() + LIVE_NS : UINT64_MAX;
        int revents = await_fd(load->finished[0], POLLIN, until, signals);

        if (revents == -1) {
            load->signal = selfpipe_take();
            signals = -1; /* one is enough: the threads stop at once */
            order_stop(load);
        } else if (revents != 0 && read(load->finished[0], &byte, 1) == 1) {
            load->ended++;
        } else if (load->plan.is_live) {
            load_line_draw(&load->line, load->live, load->started,
                           atomic_load(&load->start.at_ns), clock_now_ns());
        }
    }
}

/* ---- after -----------------------------------------------------------------------------
 */

static void merge(struct load *load, struct load_result *all)
{
    for (unsigned i = 0; i < load->started; i++) {
        struct load_result *one = load->threads[i].result;

        pthread_join(load->threads[i].thread, NULL);
        all->sent += one->sent;
        all->echoed += one->echoed;
        all->measured += one->measured;
        all->in_time += one->in_time;
        all->last_ns = one->last_ns > all->last_ns ? one->last_ns : all->last_ns;
        all->unfinished += one->unfinished;
        all->skipped += one->skipped;
        all->lost += one->lost;
        all->away_ns = one->away_ns > all->away_ns ? one->away_ns : all->away_ns;
        all->fatal = one->fatal != 0 ? one->fatal : all->fatal;
        for (int kind = 0; kind < PROBE_OUTCOMES; kind++) {
            all->errors[kind] += one->errors[kind];
        }
        histogram_merge(&all->connect, &one->connect);
        histogram_merge(&all->first_byte, &one->first_byte);
        histogram_merge(&all->raw, &one->raw);
        for (size_t a = 0; a < load->plan.address_count; a++) {
            all->addresses[a].connects += one->addresses[a].connects;
            all->addresses[a].echoed += one->addresses[a].echoed;
            all->addresses[a].errors += one->addresses[a].errors;
            histogram_merge(&all->addresses[a].reply, &one->addresses[a].reply);
        }
        table_free(&load->threads[i].result, 1, result_size(load));
    }
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * CLOCK_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * CLOCK_US;
}

static enum client_exit conclude(struct load *load, const struct load_result *all,
                                 const struct histogram *resolve)
{
    const struct load_plan *plan = &load->plan;
    struct histogram *reply = NULL;

    if (!table_grow(&reply, 0, 1, sizeof *reply)) {
        log_error("no memory for the report");
        return CLIENT_FATAL;
    }
    for (size_t a = 0; a < plan->address_count; a++) {
        histogram_merge(reply, &all->addresses[a].reply);
    }
    uint64_t start_ns = atomic_load(&load->start.at_ns);
    uint64_t from = load_measure_ns(&load->config->load, start_ns);
    uint64_t until = load_end_ns(&load->config->load, start_ns);

    until = all->last_ns < until ? all->last_ns : until;
    struct report report = {
        .plan = plan,
        .result = all,
        .reply = reply,
        .resolve = resolve,
        .measured_ns = start_ns != 0 && until > from ? until - from : 0,
        .cpu_ns = cpu_ns(),
        .width = load_line_columns(),
    };
    bool is_printed =
        report_print(&report, (enum load_report)load->config->load.report, STDOUT_FILENO);
    if (!is_printed) {
        log_error("cannot print the report: %s", strerror(errno));
    }
    table_free(&reply, 1, sizeof *reply);
    if (all->fatal != 0) {
        log_error("a thread could not go on: %s", strerror(all->fatal));
        return CLIENT_FATAL;
    }
    return is_printed ? client_exit_code(all->errors) : CLIENT_FATAL;
}

static enum client_exit run(struct load *load, const struct histogram *resolve)
{
    const struct load_config *config = &load->config->load;
    struct load_plan *plan = &load->plan;
    struct load_result *all = NULL;

    if (!table_grow(&all, 0, 1, result_size(load))) {
        log_error("no memory");
        return CLIENT_FATAL;
    }
    uint64_t begin_ns = clock_now_ns();
    load_line_start(&load->line, config, begin_ns);
    plan->seed = begin_ns ^ (uint64_t)getpid() << 40;
    plan->start = &load->start;
    plan->stop_fd = load->stop[0];
    load->plan.is_live = config->report == LOAD_REPORT_TEXT && isatty(STDOUT_FILENO);
    int error = start_threads(load);
    if (error != 0) {
        log_error("cannot start a thread: %s", strerror(error));
        order_stop(load);
    }
    watch(load);
    if (plan->is_live) {
        load_line_erase();
    }
    merge(load, all);
    enum client_exit code = error != 0 ? CLIENT_FATAL : conclude(load, all, resolve);
    table_free(&all, 1, result_size(load));
    return code;
}

enum client_exit load_run(const struct client_config *config)
{
    struct load *load = NULL;
    struct histogram *resolve = NULL;
    enum client_exit code = CLIENT_FATAL;

    if (!table_grow(&load, 0, 1, sizeof *load) ||
        !table_grow(&resolve, 0, 1, sizeof *resolve)) {
        log_error("no memory");
        return CLIENT_FATAL;
    }
    load->config = config;
    load->plan.config = config;
    load->plan.addresses = load->addresses;
    load->plan.sources = load->sources;
    load->plan.source_count =
        (size_t)client_config_sources(config->load.source, load->sources);
    if (raise_limit(&config->load) && open_pipes(load)) {
        code = find_addresses(load, resolve);
        if (code == CLIENT_ALL_ECHOED) {
            code = enter_sandbox(load) ? run(load, resolve) : CLIENT_FATAL;
        }
        close_pipes(load);
    }
    table_free(&resolve, 1, sizeof *resolve);
    table_free(&load, 1, sizeof *load);
    return code;
}
