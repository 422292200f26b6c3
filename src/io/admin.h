/* admin: a program's pages for operators: /metrics, /livez and /readyz, over HTTP.
 *
 * A listener of its own on a poll set, whose owner passes on the events and deadlines of
 * its descriptors. It answers GET and HEAD and closes. All is bounded, so that nothing that
 * peers do holds up what else the loop does: ADMIN_CONNECTIONS at once, further ones wait
 * in the backlog; one new connection in 10 ms; a request of HTTP_REQUEST_MAX bytes, which
 * must come within a second; another second for the peer to take the answer. It ends its
 * own direction, then waits for the peer's end, so that no reset overtakes the answer.
 *
 *     READING --- request judged, or 408 ---> ANSWERING --- all taken by send() ---> ENDING
 *
 * A hang-up or an error closes in every state. Opened before the sandbox; from then on it
 * needs accept4(), recv(), send(), shutdown() and close(). Nothing here logs. */
#ifndef ECHOLAB_ADMIN_H
#define ECHOLAB_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/metrics.h"
#include "io/net.h"
#include "io/pollset.h"

#define ADMIN_CONNECTIONS 4

/* The most descriptors that it has open. */
#define ADMIN_FDS (1 + ADMIN_CONNECTIONS)

/* The word of an address that stands for none. */
#define ADMIN_NONE "none"

struct admin;

/* What the program says; `context` is the one given to admin_open(). */
struct admin_pages {
    /* Write the text of /metrics into METRICS_TEXT bytes. Returns its length. */
    size_t (*metrics)(void *context, char *out);
    /* Is the program ready for work? Returns NULL (200) or why not, in a few words without
     * newline (503). */
    const char *(*unready)(void *context);
};

/* NULL, or what is wrong with the text of an admin address: ADMIN_NONE, address:port or
 * [v6]:port; numeric, with port 0 the kernel chooses. For a configuration's table. */
const char *admin_check_address(const char *text);
#define ADMIN_ADDRESS_ALLOWED "none, or address:port like 127.0.0.1:9100 or [::1]:9100"

/* Is this the text of an address whose port is not 0, and which nobody can have beside that
 * one (net_collide())? */
bool admin_is_at(const char *text, const struct net_address *address);

/* Open the listener at an address that was checked and is not ADMIN_NONE, and add it to
 * `set`. `pages` must outlive it. Returns NULL with `error` filled. */
struct admin *admin_open(const char *text, struct pollset *set,
                         const struct admin_pages *pages, void *context,
                         char error[NET_ERROR_TEXT]);

/* Close the listener and all connections and release them. NULL is allowed. */
void admin_close(struct admin *admin);

/* The address that the listener is bound to, as text into NET_ADDRESS_TEXT bytes. */
char *admin_address_text(const struct admin *admin, char *out);

/* Descriptors open now. NULL has none. */
size_t admin_descriptors(const struct admin *admin);

/* For the callbacks of the poll set. Both return false, and do nothing, when the descriptor
 * is none of the admin's; NULL has none. */
bool admin_event(struct admin *admin, int fd);
bool admin_deadline(struct admin *admin, int fd);

#endif
