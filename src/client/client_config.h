/* client_config: the settings of echo-client, as a struct and as config's table. */
#ifndef ECHOLAB_CLIENT_CONFIG_H
#define ECHOLAB_CLIENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "config/config.h"
#include "io/net.h"
#include "io/probe.h"

#define CLIENT_ID_MAX 64
/* A line of the INI file must hold it: server_address = TEXT. */
#define CLIENT_ADDRESS_MAX (CONFIG_LINE_MAX - 17 + 1)

/* Which of a name's addresses the load goes to. */
enum load_policy {
    LOAD_FIRST,
    LOAD_ROUND_ROBIN, /* each new connection to the next one */
};

/* How the load's result is printed. */
enum load_report_form {
    LOAD_REPORT_TEXT,
    LOAD_REPORT_NONE,
    LOAD_REPORT_JSON,
    LOAD_REPORT_CSV, /* from here on of a load only */
    LOAD_REPORT_PROMETHEUS,
    LOAD_REPORT_HGRM,
    LOAD_REPORT_TAP, /* from here on of an examination only */
    LOAD_REPORT_JUNIT,
};

/* The target when there is no load, but the loop. */
#define LOAD_NO_TARGET "none"

/* The checks of an examination when all are made. */
#define EXAMINE_ALL "all"

/* The rate when each message waits for an echo. */
#define LOAD_CLOSED "closed"

/* The source when the kernel chooses it; and how many may be named. */
#define LOAD_NO_SOURCE   "auto"
#define LOAD_SOURCES_MAX 16

/* How many threads may share a load. */
#define LOAD_THREADS_MAX 64

/* The shortest interval of a timeline. */
#define LOAD_TIMELINE_LEAST_NS (100 * CLOCK_MS)

/* The limits that a load may be given. A limit that is broken decides its exit code; one
 * that is kept allows what would be another exit code (load/load_judge.h). */
enum load_limit {
    LOAD_MAX_LOST,   /* messages */
    LOAD_MAX_ERRORS, /* of all kinds */
    LOAD_MAX_MOVED,  /* connections */
    LOAD_MAX_P99,    /* ns */
    LOAD_MAX_OUTAGE, /* ns */
    LOAD_LIMITS,     /* how many there are */
};

/* The precision of an open loop, where nothing else is asked for. */
#define LOAD_TICK_NS (50 * CLOCK_US)

/* Section [load]. */
struct load_config {
    char target[CLIENT_ADDRESS_MAX]; /* host:port, or LOAD_NO_TARGET */
    uint64_t connections;
    char source[CLIENT_ADDRESS_MAX]; /* addresses to come from, or LOAD_NO_SOURCE */
    uint64_t size;                   /* bytes of a message */
    uint64_t duration_ns;            /* 0: no limit */
    uint64_t warmup_ns;              /* at the start, not measured */
    uint64_t messages;               /* 0: no limit */
    uint64_t rate;                   /* messages in each rate_ns; 0: closed loop */
    uint64_t rate_ns;
    uint64_t tick_ns;  /* open loop: what is due within this goes together */
    uint64_t pipeline; /* messages under way on one connection */
    uint64_t threads;
    uint64_t retry_ns;            /* first pause before connecting again; 0: never again */
    int reconnect;                /* 0, or 1: a connection for each message */
    int address_policy;           /* enum load_policy */
    int report;                   /* enum load_report_form */
    uint64_t timeline_ns;         /* an interval of it; 0: none */
    uint64_t limits[LOAD_LIMITS]; /* CONFIG_NONE: no limit */
};

/* Section [examine]. */
struct examine_config {
    char target[CLIENT_ADDRESS_MAX]; /* host:port, or LOAD_NO_TARGET */
    char check[CLIENT_ADDRESS_MAX];  /* names with commas between, or EXAMINE_ALL */
    uint64_t idle_ns;                /* 0: skip that check, unless it is named */
};

struct client_config {
    char id[CLIENT_ID_MAX];
    char server_address[CLIENT_ADDRESS_MAX]; /* host:port; net_split() takes it */
    uint64_t loop_lapse_ns;                  /* 0: until stopped */
    uint64_t loop_period_ns;
    uint64_t interval_ns; /* from one message to the next; 0: loop_period_ns after each */
    uint64_t count;       /* messages; 0: no limit */
    uint64_t timeout_ns;  /* for each of resolving, connecting and the reply */
    int verify;           /* 0 or 1 */
    char admin_address[NET_ADDRESS_TEXT]; /* or ADMIN_NONE (io/admin.h) */
    int identity;                         /* 0, or 1: ask for it */
    int proxy_protocol;                   /* version of the header to send; 0: none */
    int expect; /* enum probe_outcome; CLIENT_EXPECT_ANY: whatever it is */
    struct load_config load;
    struct examine_config examine;
    int sandbox;    /* enum sandbox_mode */
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
};

/* What may be expected, by enum probe_outcome: what nobody expects, to be interrupted,
 * stands for no expectation. */
#define CLIENT_EXPECT_ANY PROBE_INTERRUPTED
extern const char *const client_expect_names[];

/* The actions (enum config_action) for --csv-header and --list-checks. */
#define CLIENT_CSV_HEADER  CONFIG_OWN_ACTION
#define CLIENT_LIST_CHECKS (CONFIG_OWN_ACTION + 1)

extern const struct config_program client_program;

/* Is it a load that is wanted, or an examination, not the loop? */
bool client_config_is_load(const struct client_config *config);
bool client_config_is_examination(const struct client_config *config);

/* The addresses in a source's text: numeric ones with commas between. Returns how many;
 * none for LOAD_NO_SOURCE, -1 when the text is no such list. */
int client_config_sources(const char *text, struct net_address sources[LOAD_SOURCES_MAX]);

/* The rate as a configuration has it: "1000", "1/2m". Returns `out`. */
char *client_config_rate(const struct load_config *load, char out[CONFIG_VALUE_TEXT]);

#endif
