#include "load/load_sources.h"

#include <string.h>

#include "base/events.h"
#include "base/log.h"

static void report_foreign(const struct net_address *source)
{
    char text[NET_ADDRESS_TEXT];
    size_t length = strlen(net_address_text(source, text)) - strlen(":0");
    bool has_brackets = text[0] == '[';

    log_event(EVENT_SOURCE_FOREIGN, (int)(has_brackets ? length - 2 : length),
              text + has_brackets);
}

bool load_sources_are_own(const struct net_address *sources, size_t count)
{
    bool are_own = true;

    for (size_t i = 0; i < count; i++) {
        if (!net_is_own(&sources[i])) {
            report_foreign(&sources[i]);
            are_own = false;
        }
    }
    return are_own;
}

static bool has_source(const struct net_address *sources, size_t count,
                       const struct net_address *address)
{
    for (size_t i = 0; i < count; i++) {
        if (sources[i].storage.ss_family == address->storage.ss_family) {
            return true;
        }
    }
    return count == 0;
}

size_t load_sources_reach(const struct net_address *sources, size_t source_count,
                          struct net_address *addresses, size_t address_count)
{
    size_t kept = 0;

    for (size_t i = 0; i < address_count; i++) {
        if (has_source(sources, source_count, &addresses[i])) {
            addresses[kept++] = addresses[i];
        }
    }
    return kept;
}
