/* load_sources: the addresses of this machine that a load connects from (--source). */
#ifndef ECHOLAB_LOAD_SOURCES_H
#define ECHOLAB_LOAD_SOURCES_H

#include <stdbool.h>
#include <stddef.h>

#include "io/net.h"

/* Is each source an address of this machine? Logs each that is none. */
bool load_sources_are_own(const struct net_address *sources, size_t count);

/* Keep the addresses that can be reached from one of the sources, which is of their family;
 * without sources that is all of them. Returns how many there are then. */
size_t load_sources_reach(const struct net_address *sources, size_t source_count,
                          struct net_address *addresses, size_t address_count);

#endif
