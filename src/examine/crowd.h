/* crowd: many talks at once, each with one line: connect, send, receive, close.
 *
 * All connect at the same time, so that a server's queue of connections not yet accepted
 * may overflow. What it drops the kernel tries again, after 1, 3, 7 and 15 s
 * (tcp_syn_retries, tcp(7)). */
#ifndef ECHOLAB_CROWD_H
#define ECHOLAB_CROWD_H

#include <stdbool.h>
#include <stddef.h>

#include "examine/talk.h"

/* Run `count` talks until their end, the first failure, or the target's deadline; its
 * timeout does not count. Returns how many came back exactly, and in *failed the talk that
 * failed (PROBE_ECHOED: none), or PROBE_UNREACHABLE with ENOMEM. */
size_t crowd_run(const struct talk_target *target, uint64_t key, size_t count,
                 struct talk *failed);

#endif
