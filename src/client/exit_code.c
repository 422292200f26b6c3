#include "client/exit_code.h"

#include <inttypes.h>

#include "base/format.h"

enum client_exit client_exit_code(const uint64_t counts[PROBE_OUTCOMES])
{
    const uint64_t *n = counts;
    const uint64_t by_code[] = {
        [CLIENT_NOT_RESOLVED] = n[PROBE_NOT_RESOLVED],
        [CLIENT_NO_CONNECTION] = n[PROBE_REFUSED] + n[PROBE_UNREACHABLE],
        [CLIENT_TIMED_OUT] = n[PROBE_TIMED_OUT],
        [CLIENT_DIFFERS] = n[PROBE_DIFFERS],
        [CLIENT_CLOSED] = n[PROBE_CLOSED_EARLY] + n[PROBE_RESET],
    };
    enum client_exit code = n[PROBE_ECHOED] > 0 ? CLIENT_ALL_ECHOED : CLIENT_FATAL;
    uint64_t most = 0;

    for (int i = CLIENT_NOT_RESOLVED; i <= CLIENT_CLOSED; i++) {
        if (by_code[i] > most) {
            most = by_code[i];
            code = (enum client_exit)i;
        }
    }
    return code;
}

bool client_saw_only(enum probe_outcome wanted, const uint64_t seen[PROBE_OUTCOMES])
{
    for (int kind = PROBE_ECHOED; kind < PROBE_INTERRUPTED; kind++) {
        if ((seen[kind] > 0) != (kind == (int)wanted)) {
            return false;
        }
    }
    return true;
}

char *client_kinds_text(char out[CLIENT_KINDS_TEXT], enum probe_outcome first,
                        const uint64_t counts[PROBE_OUTCOMES])
{
    size_t used = 0;

    for (int kind = (int)first; kind < PROBE_OUTCOMES; kind++) {
        if (counts[kind] > 0) {
            used += format(out + used, CLIENT_KINDS_TEXT - used, "%s%" PRIu64 " %s",
                           used == 0 ? "" : ", ", counts[kind], probe_outcome_names[kind]);
        }
    }
    if (used == 0) {
        format(out, CLIENT_KINDS_TEXT, "nothing");
    }
    return out;
}

char *client_seen_text(char out[CLIENT_SEEN_TEXT], const char *expected,
                       const uint64_t seen[PROBE_OUTCOMES], uint64_t wants)
{
    char kinds[CLIENT_KINDS_TEXT];

    format(out, CLIENT_SEEN_TEXT, "expected %s, seen: %s%s", expected,
           client_kinds_text(kinds, PROBE_ECHOED, seen),
           wants > 0 ? ", some for want of ports, files or memory here" : "");
    return out;
}
