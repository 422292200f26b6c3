#include "examine/examine.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/events.h"
#include "base/format.h"
#include "base/log.h"
#include "examine/checks.h"
#include "examine/examine_report.h"
#include "io/net.h"
#include "io/resolve.h"
#include "io/selfpipe.h"
#include "sandbox/sandbox.h"

/* Descriptors that are no connections: standard streams, the self-pipe. */
#define FILES_BASE 8

/* How long `idle` waits when it is asked for by its name alone. */
#define IDLE_NS (60 * CLOCK_S)

/* Of the stage before the checks, in timeouts. */
#define CHARACTER_LIMIT 6

struct examine {
    const struct client_config *config;
    struct check_world world;
    struct character character;
    struct check_finding findings[CHECKS_MAX];
    struct examine_report report;
    size_t chosen;    /* checks */
    uint64_t files;   /* descriptors that there may be */
    const char *stop; /* why the checks that are left are skipped; NULL: they are not */
    bool is_resolved;
};

/* ---- which checks -------------------------------------------------------------------- */

static bool wants_all(const struct client_config *config)
{
    return strcasecmp(config->examine.check, EXAMINE_ALL) == 0;
}

/* The first name in a list that is that of check `i`, or with check_count no check's; NULL:
 * there is none. */
static const char *find_name(const char *list, size_t i)
{
    for (;; list++) {
        size_t found = checks_find(list, strcspn(list, ","));

        if (found == i) {
            return list;
        }
        list += strcspn(list, ",");
        if (*list == '\0') {
            return NULL;
        }
    }
}

bool examine_mistake(const struct client_config *config, char out[EXAMINE_MISTAKE_TEXT])
{
    char shown[96];
    const char *wrong =
        wants_all(config) ? NULL : find_name(config->examine.check, check_count);

    if (wrong != NULL) {
        format(out, EXAMINE_MISTAKE_TEXT,
               "--check: '%s' is no check; allowed: " EXAMINE_ALL
               ", or names with commas between: see --list-checks",
               escape_bytes(shown, sizeof shown, wrong, strcspn(wrong, ",")));
    }
    return wrong != NULL;
}

static void choose(struct examine *examine)
{
    const struct examine_config *config = &examine->config->examine;
    bool is_all = wants_all(examine->config);

    examine->world.idle_ns = config->idle_ns != 0 ? config->idle_ns : IDLE_NS;
    for (size_t i = 0; i < check_count; i++) {
        bool is_named = !is_all && find_name(config->check, i) != NULL;

        examine->findings[i].is_selected = is_all || is_named;
        examine->findings[i].is_demanded =
            is_named || checks[i].is_demanded ||
            (checks[i].is_asked_only && config->idle_ns != 0);
        examine->chosen += examine->findings[i].is_selected;
    }
}

/* ---- before -------------------------------------------------------------------------- */

static void raise_limit(struct examine *examine)
{
    struct rlimit limit = {0, 0};

    prlimit(0, RLIMIT_NOFILE, NULL, &limit);
    limit.rlim_cur = limit.rlim_max;
    prlimit(0, RLIMIT_NOFILE, &limit, NULL);
    examine->files = limit.rlim_max;
}

static bool enter_sandbox(const struct examine *examine, uint16_t port, bool is_asking)
{
    struct landlock_access access = {.connect_ports = &port, .connect_count = 1};
    struct sandbox sandbox;

    return sandbox_begin(&sandbox, (enum sandbox_mode)examine->config->sandbox, &access) &&
           sandbox_complete(&sandbox, SECCOMP_CLIENT | (is_asking ? SECCOMP_NAMES : 0U));
}

/* ---- the checks ---------------------------------------------------------------------- */

static void skip(struct check_finding *finding, const char *why)
{
    finding->result = CHECK_SKIPPED;
    format(finding->seen, sizeof finding->seen, "%s", why);
}

/* Run a check, or say why not. */
static void run_check(struct examine *examine, size_t i)
{
    const struct check *check = &checks[i];
    struct check_finding *finding = &examine->findings[i];
    struct talk_target *target = &examine->world.target;

    if (examine->stop != NULL) {
        skip(finding, examine->stop);
        return;
    }
    if (check->is_asked_only && !finding->is_demanded) {
        skip(finding, "not asked for; allowed: --idle 1m");
        return;
    }
    if (examine->files < (uint64_t)check->files + FILES_BASE) {
        format(finding->seen, sizeof finding->seen,
               "it needs %u open files, the limit is %" PRIu64
               "; allowed: a higher one (ulimit -Hn)",
               check->files + FILES_BASE, examine->files);
        return;
    }
    uint64_t start_ns = clock_now_ns();
    target->deadline_ns = start_ns + check->limit * target->timeout_ns;
    check->run(check, &examine->world, finding);
    finding->took_ns = clock_now_ns() - start_ns;
}

/* What a check that failed says of the server. */
static void learn(struct examine *examine, size_t i)
{
    struct check_finding *finding = &examine->findings[i];
    struct character *character = &examine->character;

    if (finding->outcome == PROBE_INTERRUPTED) {
        skip(finding, "interrupted");
        examine->stop = "interrupted";
        return;
    }
    if (character->is_exact && (checks[i].trait_when >> finding->outcome & 1) != 0) {
        character_add(character, "", checks[i].trait);
    }
    if (character->is_reachable && finding->outcome == PROBE_REFUSED) {
        character_add(character, "refuses connections from this check on: ",
                      check_text(&checks[i], CHECK_ID));
        character->is_reachable = false;
    }
    if (!character->is_answering) {
        examine->stop = "the server does not answer";
    }
}

static void run_checks(struct examine *examine)
{
    for (size_t i = 0; i < check_count; i++) {
        if (!examine->findings[i].is_selected) {
            continue;
        }
        run_check(examine, i);
        if (examine->findings[i].result == CHECK_FAILED) {
            learn(examine, i);
        }
        examine_report_check(&examine->report, i);
    }
}

/* The first address that can be connected to, and what is found there. */
static void find_server(struct examine *examine, const struct net_address *addresses,
                        size_t count)
{
    struct talk_target *target = &examine->world.target;

    for (size_t i = 0; i < count && !examine->character.is_reachable; i++) {
        target->address = addresses[i];
        target->deadline_ns = clock_now_ns() + CHARACTER_LIMIT * target->timeout_ns;
        character_find(&examine->character, target);
    }
}

/* Look the name up and examine the server. Returns false if that could not begin. */
static bool resolve_and_check(struct examine *examine)
{
    struct net_address addresses[RESOLVE_MAX];
    char host[NET_HOST_TEXT];
    uint16_t port;
    uint64_t took_ns;
    bool is_asking;
    const char *why;

    net_split(examine->config->examine.target, host, &port); /* it was checked */
    size_t count =
        resolve_wait(host, port, examine->config->timeout_ns, examine->world.target.stop_fd,
                     addresses, &took_ns, &is_asking, &why);
    if (count == 0 && why != NULL) {
        log_event(EVENT_NOT_RESOLVED(LOG_ERROR), examine->config->examine.target, why, "");
    }
    if (count > 0 && !enter_sandbox(examine, port, is_asking)) {
        return false;
    }
    examine->is_resolved = count > 0 || why == NULL;
    if (count == 0) {
        examine->stop = why != NULL ? "the name has no address" : "interrupted";
    }
    examine_report_begin(&examine->report, examine->chosen);
    find_server(examine, addresses, count);
    run_checks(examine);
    return true;
}

/* ---- the verdict --------------------------------------------------------------------- */

static enum client_exit judge(const struct examine *examine)
{
    uint64_t counts[PROBE_OUTCOMES] = {0};
    bool is_complete = true;

    counts[PROBE_NOT_RESOLVED] = examine->is_resolved ? 0 : 1;
    for (size_t i = 0; i < check_count; i++) {
        const struct check_finding *finding = &examine->findings[i];

        if (!finding->is_selected || finding->result == CHECK_PASSED) {
            counts[PROBE_ECHOED] += finding->is_selected ? 1 : 0;
        } else if (finding->is_demanded && finding->result == CHECK_FAILED) {
            counts[finding->outcome]++;
        } else if (finding->is_demanded) {
            is_complete = false;
        }
    }
    enum client_exit code = client_exit_code(counts);
    return code == CLIENT_ALL_ECHOED && !is_complete ? CLIENT_FATAL : code;
}

static void log_signal(void)
{
    int number = selfpipe_take();

    if (number != 0) {
        log_event(EVENT_INTERRUPTED, selfpipe_name(number));
    }
}

enum client_exit examine_run(const struct client_config *config)
{
    static const int caught[] = {SIGTERM, SIGINT, SIGHUP};
    struct examine examine = {.config = config};
    enum client_exit code = CLIENT_FATAL;

    int signals = selfpipe_open(caught, sizeof caught / sizeof caught[0]);
    if (signals == -1) {
        log_event(EVENT_PIPE_FAILED, "the self-pipe", strerror(errno));
        return CLIENT_FATAL;
    }
    examine.world.target.stop_fd = signals;
    examine.world.target.timeout_ns = config->timeout_ns;
    examine.world.seed = clock_now_ns() ^ (uint64_t)getpid() << 40;
    examine.report = (struct examine_report){
        .config = config,
        .character = &examine.character,
        .findings = examine.findings,
        .form = (enum load_report_form)config->load.report,
        .output = {.fd = STDOUT_FILENO},
    };
    choose(&examine);
    raise_limit(&examine);
    if (resolve_and_check(&examine)) {
        log_signal();
        code = judge(&examine);
        if (!examine_report_end(&examine.report, (unsigned)code)) {
            log_event(EVENT_REPORT_FAILED, strerror(errno));
            code = CLIENT_FATAL;
        }
    }
    selfpipe_close();
    return code;
}
