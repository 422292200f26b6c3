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

struct client_config {
    char id[CLIENT_ID_MAX];
    char server_address[CLIENT_ADDRESS_MAX]; /* host:port; net_split() takes it */
    uint64_t loop_lapse_ns;                  /* 0: until stopped */
    uint64_t loop_period_ns;
    uint64_t timeout_ns; /* for each of resolving, connecting and the reply */
    bool verify;
    int log_level;  /* enum log_level */
    int log_format; /* enum log_format */
};

extern const struct config_program client_program;

#endif
