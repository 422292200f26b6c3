/* client_admin: the admin address of the periodic loop (io/admin.h), served by a thread of
 * its own with a poll set of its own: whatever peers do there delays no message.
 *
 *   /metrics   client_metrics.h
 *   /livez     200 while the thread serves
 *   /readyz    200 if the last message was echoed, else 503 with what became of it
 *
 * The listener is opened before the sandbox, which knows no listening; the thread starts
 * between the sandbox's steps, so that both hold for it. */
#ifndef ECHOLAB_CLIENT_ADMIN_H
#define ECHOLAB_CLIENT_ADMIN_H

#include <pthread.h>
#include <stdbool.h>

#include "client/client_metrics.h"
#include "io/admin.h"
#include "io/pollset.h"

/* All zero to begin with. */
struct client_admin {
    const struct client_live *live;
    struct pollset *set;
    struct admin *admin;
    struct process process;
    pthread_t thread;
    int stop[2]; /* a pipe; its end is closed: the thread ends */
    bool is_open, is_started, is_stopping;
    int error; /* errno that ended the thread; 0: none. The log is not the thread's */
};

/* Open the listener, unless the address is ADMIN_NONE. `live` must outlive it. Returns
 * false, and logs why, when that fails; client_admin_close() must be called then, too. */
bool client_admin_open(struct client_admin *admin, const char *address,
                       const struct client_live *live);

/* Start the thread, if there is a listener. Returns as client_admin_open(). */
bool client_admin_start(struct client_admin *admin);

/* End the thread and close the listener and all connections, if there are any. */
void client_admin_close(struct client_admin *admin);

#endif
