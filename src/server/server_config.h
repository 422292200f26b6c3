/* server_config: the settings of echo-server, as a struct and as config's table. */
#ifndef ECHOLAB_SERVER_CONFIG_H
#define ECHOLAB_SERVER_CONFIG_H

#include <stdint.h>

#include "config/config.h"
#include "io/identity.h"
#include "io/net.h"

struct server_config {
    char address[NET_ADDRESS_TEXT]; /* numeric */
    uint64_t port;                  /* 0: the kernel chooses */
    uint64_t listen_backlog;
    uint64_t max_connections;
    uint64_t pending_memory;   /* bytes, for pending blocks */
    uint64_t workers;          /* threads; 0: as many as CPUs */
    uint64_t idle_timeout_ns;  /* 0: off */
    uint64_t write_timeout_ns; /* 0: off */
    uint64_t drain_timeout_ns;
    char admin_address[NET_ADDRESS_TEXT]; /* ADMIN_NONE, or what admin_open() takes */
    int identity;                         /* 0, or 1: it is told to whoever asks */
    char name[IDENTITY_NAME_TEXT];        /* or SERVER_HOST_NAME */
    int proxy_protocol;                   /* 0, or 1: a header is required */
    int sandbox;                          /* enum sandbox_mode */
    int log_level;                        /* enum log_level */
    int log_format;                       /* enum log_format */
};

/* The word of a name that stands for the host's. */
#define SERVER_HOST_NAME "hostname"

/* The action (enum config_action) for --healthcheck. */
#define SERVER_HEALTHCHECK CONFIG_OWN_ACTION

extern const struct config_program server_program;

#endif
