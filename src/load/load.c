#include "load/load.h"

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

#include "base/clock.h"
#include "base/events.h"
#include "base/log.h"
#include "base/thread.h"
#include "io/fdwait.h"
#include "io/net.h"
#include "io/resolve.h"
#include "io/selfpipe.h"
#include "load/load_figures.h"
#include "load/load_progress.h"
#include "load/load_report.h"
#include "load/load_sources.h"
#include "load/load_thread.h"
#include "load/load_judge.h"
#include "sandbox/sandbox.h"

/* How often the progress is drawn. */
#define LIVE_NS (250 * CLOCK_MS)

/* Descriptors that are no connections: standard streams, pipes; and those of each thread.
 */
#define DESCRIPTORS_BASE   16
#define DESCRIPTORS_THREAD 4

struct load;

struct thread {
    struct load *load;
    unsigned number;
    pthread_t thread;
    struct load_result *result;
};

struct load {
    const struct client_config *config;
    struct load_plan plan;
    struct load_result *result; /* of all threads */
    struct load_start start;
    int signals;     /* the self-pipe's end */
    int stop[2];     /* its write end is closed: the threads stop */
    int finished[2]; /* a byte for each thread that ended */
    unsigned started, ended;
    bool is_live;  /* the progress is drawn */
    bool has_name; /* the target is one, and no numeric address */
    struct load_addresses addresses;
    struct net_address sources[LOAD_SOURCES_MAX];
    struct thread threads[LOAD_THREADS_MAX];
    struct load_live live[LOAD_THREADS_MAX]; /* of the threads */
    struct load_progress progress;
    struct load_judgement judgement;
    struct timespec begin;           /* by the calendar (CLOCK_REALTIME) */
    struct histogram resolve, reply; /* of the look-up; of all addresses */
};

/* ---- before -------------------------------------------------------------------------- */

/* A program that reads the report gets one in any case; people need none of a load in which
 * no thread ran. */
static bool wants_report(const struct load *load)
{
    return load->started > 0 || load->config->load.report != LOAD_REPORT_TEXT;
}

static uint64_t connects(const struct load *load)
{
    return load_result_connects(load->result, load->addresses.count);
}

/* A line of what was seen, unless that was expected and the report says so. */
static void log_seen(const struct load *load)
{
    const struct client_config *config = load->config;
    bool is_so = load->judgement.is_as_expected;
    char text[LOAD_JUDGE_SEEN];

    if (config->expect != CLIENT_EXPECT_ANY && !(is_so && wants_report(load))) {
        log_event(EVENT_EXPECTATION(is_so ? LOG_INFO : LOG_ERROR),
                  load_judge_seen(text, config, load->result, connects(load)),
                  client_expect_names[config->expect]);
    }
}

/* It counts as one error. Returns the exit code. */
static enum client_exit not_resolved(struct load *load, enum probe_outcome outcome,
                                     bool has_asked)
{
    load->result->errors[outcome] = load->result->failures[outcome] = 1;
    load->result->wants = has_asked ? 0 : 1;
    load_judge(&load->judgement, load->config, load->result, 0, NULL);
    log_seen(load);
    return load->judgement.exit_code;
}

/* The name's addresses; where there are none, the exit code. */
static enum client_exit find_addresses(struct load *load)
{
    struct net_address found[RESOLVE_MAX];
    char host[NET_HOST_TEXT];
    uint16_t port;
    const char *why;
    uint64_t took_ns;
    bool is_asking; /* the sandbox allows it, for the next look-up */

    net_split(load->config->load.target, host, &port); /* the configuration checked it */
    size_t count = resolve_wait(host, port, load->config->timeout_ns, load->signals, found,
                                &took_ns, &is_asking, &why);
    load->has_name = took_ns != 0;
    if (count == 0) {
        bool is_expected = load->config->expect == PROBE_NOT_RESOLVED && why != NULL;

        log_event(EVENT_NOT_RESOLVED(is_expected ? LOG_DEBUG : LOG_ERROR),
                  load->config->load.target, why != NULL ? why : "interrupted",
                  why != NULL && took_ns != 0 ? resolve_hint(host) : "");
        return not_resolved(load, why != NULL ? PROBE_NOT_RESOLVED : PROBE_INTERRUPTED,
                            took_ns != 0);
    }
    if (took_ns != 0) {
        histogram_record(&load->resolve, took_ns);
    }
    if (!load_addresses_take(&load->addresses, found, count)) {
        log_event(EVENT_SOURCE_FAMILY, load->config->load.source,
                  load->config->load.target);
        return CLIENT_USAGE;
    }
    return CLIENT_ALL_ECHOED;
}

/* What the load still needs: the target's port, and a name's look-ups. */
static bool enter_sandbox(const struct load *load)
{
    const uint16_t any = 0;
    const uint16_t ports[] = {net_port(&load->addresses.list[0]), RESOLVE_PORT};
    bool has_sources = load->plan.source_count > 0;
    struct landlock_access access = {.files = resolve_files,
                                     .file_count = load->has_name ? RESOLVE_FILES : 0,
                                     .connect_ports = ports,
                                     .connect_count = load->has_name ? 2 : 1,
                                     .bind_ports = &any,
                                     .bind_count = has_sources ? 1 : 0};
    struct sandbox sandbox;

    unsigned users = SECCOMP_LOAD | (has_sources ? SECCOMP_SOURCES : 0U) |
                     (load->has_name ? SECCOMP_NAMES : 0U);
    return sandbox_begin(&sandbox, (enum sandbox_mode)load->config->sandbox, &access) &&
           sandbox_complete(&sandbox, users);
}

/* As many descriptors as there may be, and a word if they are too few. */
static bool raise_limit(const struct load_config *config)
{
    struct rlimit limit = {0, 0};
    rlim_t needed =
        config->connections + DESCRIPTORS_BASE + DESCRIPTORS_THREAD * config->threads;

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    if (limit.rlim_max < needed) {
        log_event(EVENT_TOO_FEW_FILES, config->connections, (uint64_t)needed,
                  (uint64_t)limit.rlim_max);
        return false;
    }
    return true;
}

static bool open_pipes(struct load *load)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP};

    load->signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (load->signals == -1) {
        log_event(EVENT_PIPE_FAILED, "the self-pipe", strerror(errno));
        return false;
    }
    if (pipe2(load->stop, O_CLOEXEC) == -1) {
        log_event(EVENT_PIPE_FAILED, "a pipe", strerror(errno));
        selfpipe_close();
        return false;
    }
    if (pipe2(load->finished, O_CLOEXEC) == -1) {
        log_event(EVENT_PIPE_FAILED, "a pipe", strerror(errno));
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

/* ---- the run ------------------------------------------------------------------------- */

static void *run_thread(void *argument)
{
    struct thread *thread = argument;
    struct load *load = thread->load;

    load_thread_run(&load->plan, &load->start, thread->number, thread->result,
                    &load->live[thread->number]);
    (void)!write(load->finished[1], "", 1);
    return NULL;
}

static int start_threads(struct load *load)
{
    int error = 0;

    while (load->started < load->config->load.threads && error == 0) {
        struct thread *thread = &load->threads[load->started];

        thread->load = load;
        thread->number = load->started;
        thread->result = load_result_new(load->has_name ? LOAD_ADDRESSES_MAX : 1);
        if (thread->result == NULL) {
            error = ENOMEM;
            break;
        }
        error = thread_start(&thread->thread, run_thread, thread);
        if (error != 0) {
            free(thread->result);
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
        uint64_t until = load->is_live ? clock_now_ns() + LIVE_NS : UINT64_MAX;
        int revents = fdwait(load->finished[0], POLLIN, until, signals);

        if (revents == -1) {
            log_event(EVENT_INTERRUPTED, selfpipe_name(selfpipe_take()));
            log_flush();
            signals = -1; /* one is enough: the threads stop at once */
            order_stop(load);
        } else if (revents != 0 && read(load->finished[0], &byte, 1) == 1) {
            load->ended++;
        } else if (load->is_live) {
            load_progress_draw(&load->progress, load->live, load->started,
                               atomic_load(&load->start.at_ns), clock_now_ns());
        }
    }
}

/* ---- after --------------------------------------------------------------------------- */

static void merge(struct load *load)
{
    for (unsigned i = 0; i < load->started; i++) {
        struct thread *thread = &load->threads[i];

        pthread_join(thread->thread, NULL);
        load_result_merge(load->result, thread->result, load->addresses.count);
        free(thread->result);
    }
    if (load->plan.timeline != NULL) {
        load_timeline_finish(load->plan.timeline);
    }
    for (size_t a = 0; a < load->addresses.count; a++) {
        histogram_merge(&load->reply, &load->result->addresses[a].reply);
    }
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * CLOCK_S +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * CLOCK_US;
}

/* For how long messages were measured. */
static uint64_t measured_ns(const struct load *load)
{
    struct load_result *all = load->result;
    uint64_t start_ns = atomic_load(&load->start.at_ns);

    load_result_start(all, &load->config->load, start_ns);
    uint64_t until = all->last_ns < all->end_ns ? all->last_ns : all->end_ns;
    return start_ns != 0 && until > all->measure_ns ? until - all->measure_ns : 0;
}

/* Print the result of a load that ends with this code. Returns false, and logs it, when
 * that fails. */
static bool print_report(const struct load *load, enum client_exit code)
{
    const struct load_figures figures = {
        .plan = &load->plan,
        .result = load->result,
        .judgement = &load->judgement,
        .begin = load->begin,
        .reply = &load->reply,
        .resolve = &load->resolve,
        .measured_ns = measured_ns(load),
        .cpu_ns = cpu_ns(),
        .timeline = load->plan.timeline,
        .exit_code = (unsigned)code,
        .width = load_progress_columns(),
    };

    if (!load_report_print(&figures, (enum load_report_form)load->config->load.report,
                           STDOUT_FILENO)) {
        log_event(EVENT_REPORT_FAILED, strerror(errno));
        return false;
    }
    return true;
}

/* A line for each limit that is broken. */
static void log_limits(const struct load *load)
{
    char seen[LOAD_LIMIT_TEXT], limit[LOAD_LIMIT_TEXT];

    for (int i = 0; i < LOAD_LIMITS; i++) {
        if (load->judgement.is_broken[i]) {
            log_event(EVENT_LIMIT_BROKEN, load_limit_forms[i].name,
                      load_limit_text(seen, i, load->judgement.seen[i]),
                      load_limit_text(limit, i, load->config->load.limits[i]));
        }
    }
}

/* The exit code of a load that ran. */
static enum client_exit judge(struct load *load)
{
    const struct load_result *all = load->result;

    if (all->fatal != 0) {
        log_event(EVENT_THREAD_FAILED, strerror(all->fatal));
        return CLIENT_FATAL;
    }
    load_judge(&load->judgement, load->config, all, connects(load), &load->reply);
    log_seen(load);
    log_limits(load);
    if (load->judgement.exit_code == CLIENT_FATAL) {
        log_event(EVENT_NOTHING_ECHOED);
    }
    return load->judgement.exit_code;
}

/* Run all threads to their end. Returns the exit code. */
static enum client_exit run(struct load *load)
{
    const struct load_config *config = &load->config->load;
    struct load_plan *plan = &load->plan;

    uint64_t begin_ns = clock_now_ns();
    load_progress_start(&load->progress, config, begin_ns);
    plan->seed = begin_ns ^ (uint64_t)getpid() << 40;
    plan->stop_fd = load->stop[0];
    load->is_live = config->report == LOAD_REPORT_TEXT && isatty(STDOUT_FILENO) &&
                    !(plan->timeline != NULL && log_enabled(LOG_DEBUG));
    int error = load->has_name && config->retry_ns != 0
                    ? load_addresses_follow(&load->addresses, load->stop[0])
                    : 0;
    if (error == 0) {
        error = start_threads(load);
    }
    if (error != 0) {
        log_event(EVENT_THREAD_START_FAILED, load->started + 1, config->threads,
                  thread_error_text(error));
        order_stop(load);
    }
    watch(load);
    order_stop(load);
    load_addresses_end(&load->addresses);
    if (load->is_live) {
        load_progress_erase();
    }
    merge(load);
    return error != 0 ? CLIENT_FATAL : judge(load);
}

/* ---- all of it ----------------------------------------------------------------------- */

/* From what it needs to its end. Returns the exit code. */
static enum client_exit run_if_possible(struct load *load)
{
    if (!load_sources_are_own(load->plan.sources, load->plan.source_count)) {
        return CLIENT_USAGE;
    }
    if (!raise_limit(&load->config->load) || !open_pipes(load)) {
        return CLIENT_FATAL;
    }
    enum client_exit code = find_addresses(load);
    if (code == CLIENT_ALL_ECHOED && load->addresses.count > 0) {
        code = enter_sandbox(load) ? run(load) : CLIENT_FATAL;
    }
    close_pipes(load);
    return code;
}

enum client_exit load_run(const struct client_config *config)
{
    struct load *load = calloc(1, sizeof *load);
    struct load_result *result = load_result_new(LOAD_ADDRESSES_MAX);
    bool has_timeline = config->load.timeline_ns != 0;
    struct load_timeline *timeline = has_timeline ? load_timeline_new(&config->load) : NULL;
    enum client_exit code = CLIENT_FATAL;

    if (load == NULL || result == NULL || (has_timeline && timeline == NULL)) {
        log_event(EVENT_NO_MEMORY);
    } else {
        clock_gettime(CLOCK_REALTIME, &load->begin);
        load->config = config;
        load->result = result;
        load->plan.config = config;
        load->plan.timeline = timeline;
        load->plan.addresses = &load->addresses;
        load->plan.sources = load->sources;
        load->plan.source_count =
            (size_t)client_config_sources(config->load.source, load->sources);
        load->addresses.config = config;
        load->addresses.sources = load->sources;
        load->addresses.source_count = load->plan.source_count;
        load->addresses.resolve = &load->resolve;
        code = run_if_possible(load);
        if (wants_report(load) && !print_report(load, code)) {
            code = CLIENT_FATAL;
        }
    }
    free(timeline);
    free(result);
    free(load);
    return code;
}
