/* load_addresses: the addresses of a load's server, and the look-ups of its name while the
 * load runs.
 *
 * A service comes back at another address: a container that was replaced, a service that
 * grew. So a name is looked up again when a connection ended or failed, at most once a
 * second, by a thread of its own, which asks as the first look-up did and publishes what it
 * found. Connections that are made from then on take the new addresses in turn; those that
 * are open stay. A look-up that fails changes nothing.
 *
 * Addresses have numbers, which the results are counted by. So one that is not the name's
 * any more keeps its number, and there is room for 64 in the time of a load; further ones
 * are not used. */
#ifndef ECHOLAB_LOAD_ADDRESSES_H
#define ECHOLAB_LOAD_ADDRESSES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"
#include "client/client_config.h"
#include "io/net.h"

#define LOAD_ADDRESSES_MAX 64

/* At first all zero. The first four fields are set by load, and stay. */
struct load_addresses {
    const struct client_config *config;
    const struct net_address *sources; /* to connect from; none: any address will do */
    size_t source_count;
    struct histogram *resolve; /* for the times of the look-ups */

    /* Written by one thread; others may read what `count` and `current` tell them of. */
    struct net_address list[LOAD_ADDRESSES_MAX];
    _Atomic uint32_t count;   /* all that were found so far */
    _Atomic uint64_t current; /* bit i: list[i] is one of the name's addresses now */

    _Atomic bool is_wanted; /* a look-up that has not begun */
    bool is_followed;       /* the thread runs */
    pthread_t thread;
    int wake[2], stop_fd;
};

/* From now on the name has these `count` addresses, and only those that can be reached from
 * the sources. Returns false, and changes nothing, if there are none. */
bool load_addresses_take(struct load_addresses *addresses, struct net_address *found,
                         size_t count);

/* Start the thread, which looks up when load_addresses_want() says so, until `stop_fd` is
 * readable or hung up. Returns 0 or an errno. */
int load_addresses_follow(struct load_addresses *addresses, int stop_fd);

/* A connection ended or failed: the name may have other addresses now. Any thread may say
 * so, and as often as it likes. */
void load_addresses_want(struct load_addresses *addresses);

/* Once stop_fd says so: wait for the thread's end. */
void load_addresses_end(struct load_addresses *addresses);

#endif
