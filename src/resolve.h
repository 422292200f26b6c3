/* resolve: getaddrinfo(3) that poll(2) can wait for.
 *
 * getaddrinfo() blocks, for many seconds when a name server is silent, and cannot be
 * interrupted. It runs in a thread of its own here, so that a signal or a timeout still
 * ends the wait at once; an abandoned look-up ends by itself and frees what it holds. */
#ifndef ECHOLAB_RESOLVE_H
#define ECHOLAB_RESOLVE_H

#include <stddef.h>
#include <stdint.h>

#include "net.h"

/* The most addresses of one name that are kept. */
#define RESOLVE_MAX 16

/* What a look-up reads and where it asks, for those who restrict themselves
 * (resolv.conf(5), hosts(5); over TCP when an answer is long, RFC 7766). */
#define RESOLVE_FILES 2
#define RESOLVE_PORT  53
extern const char *const resolve_files[RESOLVE_FILES];

struct resolve;

/* Begin to look up `host` (a name or a numeric address). Returns NULL with errno set when
 * there is no memory, descriptor or thread for it, or the name is longer than any (EINVAL).
 */
struct resolve *resolve_start(const char *host, uint16_t port);

/* The descriptor that poll(2) reports (POLLIN or POLLHUP) once the answer is there. */
int resolve_fd(const struct resolve *resolve);

/* Take the answer and release the look-up: copies up to RESOLVE_MAX addresses, in the order
 * in which they should be tried (RFC 6724), and returns how many. 0: none, and *error says
 * why (gai_strerror(3)). Call it only after resolve_fd() was reported. */
size_t resolve_finish(struct resolve *resolve, struct net_address *addresses,
                      const char **error);

/* All of it: look `host` up and wait for the answer for `timeout_ns`, or until `stop_fd`
 * (-1: none) is readable. Returns how many addresses there are, and in *took_ns how long it
 * took (0: the address is numeric, nothing was asked). 0: none, and *error says why, or is
 * NULL when stop_fd ended it. */
size_t resolve_wait(const char *host, uint16_t port, uint64_t timeout_ns, int stop_fd,
                    struct net_address *addresses, uint64_t *took_ns, const char **error);

/* Give the look-up up and release it. NULL is allowed. */
void resolve_abandon(struct resolve *resolve);

#endif
