/* client_config: what echo-client can be told, as a struct and as config's table. */
#ifndef ECHOLAB_CLIENT_CONFIG_H
#define ECHOLAB_CLIENT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "net.h"

#define CLIENT_ID_MAX 64
/* A line of the INI file must hold it: server_address = TEXT. */
#define CLIENT_ADDRESS_MAX (CONFIG_LINE_MAX - 17 + 1)

/* Which of a name's addresses the load goes to. */
enum load_policy {
    LOAD_FIRST,
    LOAD_ROUND_ROBIN, /* each new connection to the next one */
};

/* How the load's result is printed. */
enum load_report {
    LOAD_REPORT_TEXT,
    LOAD_REPORT_JSON,
    LOAD_REPORT_CSV,
    LOAD_REPORT_NONE,
};

/* The target when there is no load, but the loop. */
#define LOAD_NO_TARGET "none"

/* The source when the kernel chooses it; and how many may be named. */
#define LOAD_NO_SOURCE   "auto"
#define LOAD_SOURCES_MAX 16

/* Section [load]. */
struct load_config {
    char target[CLIENT_ADDRESS_MAX]; /* host:port, or LOAD_NO_TARGET */
    uint64_t connections;
    char source[CLIENT_ADDRESS_MAX]; /* addresses to come from, or LOAD_NO_SOURCE */
    uint64_t size;                   /* bytes of a message */
    uint64_t duration_ns;            /* 0: no limit */
    uint64_t warmup_ns;              /* at the start, not measured */
    uint64_t messages;               /* 0: no limit */
    uint64_t rate;                   /* messages per second; 0: closed loop */
    uint64_t pipeline;               /* messages under way on one connection */
    uint64_t threads;
    uint64_t retry_ns;  /* first pause before connecting again; 0: never again */
    bool reconnect;     /* a connection for each message */
    int address_policy; /* enum load_policy */
    int report;         /* enum load_report */
};

struct client_config {
    char id[CLIENT_ID_MAX];
    char server_address[CLIENT_ADDRESS_MAX]; /* host:port; net_split() takes it */
    uint64_t loop_lapse_ns;                  /* 0: until stopped */
    uint64_t loop_period_ns;
    uint64_t interval_ns; /* from one message to the next; 0: loop_period_ns after each */
    uint64_t count;       /* messages; 0: no limit */
    uint64_t timeout_ns;  /* for each of resolving, connecting and the reply */
    bool verify;
    struct load_config load;
    int sandbox;    /* enum sandbox_mode */
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
};

extern const struct config_program client_program;

/* Is it a load that is wanted, not the loop? */
bool client_config_is_load(const struct client_config *config);

/* The addresses in a source's text: numeric ones with commas between. Returns how many;
 * none for LOAD_NO_SOURCE, -1 when the text is no such list. */
int client_config_sources(const char *text, struct net_address sources[LOAD_SOURCES_MAX]);

/* Settings that are right one by one, but not together. Returns NULL, or one line: which,
 * and what is allowed. */
const char *client_config_contradiction(const struct client_config *config);

#endif
