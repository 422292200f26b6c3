/* load_plan: the settings that all threads of a load share. load makes the plan before they
 * start, owns everything that it points to, and changes nothing until all threads ended,
 * but for the addresses, which follow the name. */
#ifndef ECHOLAB_LOAD_PLAN_H
#define ECHOLAB_LOAD_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "client/client_config.h"
#include "io/net.h"
#include "load/load_addresses.h"
#include "load/load_timeline.h"

struct load_plan {
    const struct client_config *config;
    struct load_addresses *addresses;  /* of the server, at least one */
    const struct net_address *sources; /* to connect from, in turn; none: kernel's choice */
    size_t source_count;               /* if any: each address has a source of its family */
    struct load_timeline *timeline;    /* written by all threads; NULL: none is wanted */
    uint64_t seed;                     /* of the payload */
    int stop_fd;                       /* readable, or hung up: stop at once */
};

#endif
