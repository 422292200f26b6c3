/* resolve: name look-up with getaddrinfo(3), whose end poll(2) can wait for.
 *
 * getaddrinfo() blocks, for many seconds when a name server is silent, and cannot be
 * interrupted. So it runs in a thread of its own: a signal or a timeout ends the wait at
 * once, and an abandoned look-up ends by itself and frees its memory.
 *
 * Name servers and the middle boxes before them often fail for IPv6 (AAAA: NXDOMAIN,
 * SERVFAIL, REFUSED, silence) where IPv4 (A) is fine. glibc's getaddrinfo() returns the
 * addresses that it has, musl's fails as a whole. So after a failure IPv4 is asked for
 * alone, and resolve_wait() does so beside a look-up that is not answered within a quarter
 * of its time. */
#ifndef ECHOLAB_RESOLVE_H
#define ECHOLAB_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/net.h"

/* The most addresses that are kept of one name. */
#define RESOLVE_MAX 16

/* The files that a look-up reads and the port that it asks, for a sandbox (resolv.conf(5),
 * hosts(5); over TCP when an answer is long, RFC 7766). */
#define RESOLVE_FILES 2
#define RESOLVE_PORT  53
extern const char *const resolve_files[RESOLVE_FILES];

struct resolve;

/* Begin to look up `host` (a name or a numeric address). Returns NULL with errno set when
 * there is no memory, descriptor or thread for it, or when the name is too long
 * (EINVAL). */
struct resolve *resolve_start(const char *host, uint16_t port);

/* The descriptor that becomes ready (POLLIN or POLLHUP) once the answer is there. */
int resolve_fd(const struct resolve *resolve);

/* Take the answer and release the look-up. Copies up to RESOLVE_MAX addresses, in the order
 * in which to try them (RFC 6724), and returns their number. 0: none, and *error is the
 * reason (gai_strerror(3)). Call it only after resolve_fd() became ready. */
size_t resolve_finish(struct resolve *resolve, struct net_address *addresses,
                      const char **error);

/* All steps at once: look `host` up and wait for the answer for `timeout_ns`, or until
 * `stop_fd` (-1: none) is readable. Returns the number of addresses, and in *took_ns the
 * time that the look-up took (0: the address is numeric, or the look-up could not even
 * begin, and errno says why). 0: none, and *error is the reason, or NULL when stop_fd ended
 * the wait. *is_asking: a thread still waits for a name server, so a sandbox must allow
 * what getaddrinfo() does. */
size_t resolve_wait(const char *host, uint16_t port, uint64_t timeout_ns, int stop_fd,
                    struct net_address *addresses, uint64_t *took_ns, bool *is_asking,
                    const char **error);

/* What may be the reason that a name server does not know `host`: text for behind the
 * reason, or "". A container that is stopped or disconnected is gone from Docker's name
 * server; its name has no dot. */
const char *resolve_hint(const char *host);

/* Abandon the look-up and release it. NULL is allowed. */
void resolve_abandon(struct resolve *resolve);

#endif
