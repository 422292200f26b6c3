#include "client/client_admin.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/events.h"
#include "base/log.h"
#include "base/thread.h"
#include "io/selfpipe.h"

/* Descriptors that are open as long as the listener: standard ones, both pipes. */
#define OTHER_FDS (3 + SELFPIPE_FDS + 2)

/* ---- the pages ----------------------------------------------------------------------- */

static size_t print_metrics(void *context, char *out)
{
    const struct client_admin *self = context;

    return client_metrics_print(
        self->live, &self->process,
        OTHER_FDS + log_has_descriptor() + admin_descriptors(self->admin), out);
}

static const char *unready(void *context)
{
    const struct client_admin *self = context;
    uint64_t last = counter_get(&self->live->last_outcome);

    if (last == 0) {
        return "no message yet";
    }
    return last - 1 == PROBE_ECHOED ? NULL : probe_outcome_names[last - 1];
}

static const struct admin_pages pages = {print_metrics, unready};

/* ---- the thread ---------------------------------------------------------------------- */

static void on_event(void *context, int fd, short revents)
{
    struct client_admin *self = context;

    (void)revents;
    /* The pipe's end stays what it was, whatever comes after it in the same round. */
    self->is_stopping |= !admin_event(self->admin, fd);
}

static void on_deadline(void *context, int fd)
{
    admin_deadline(((struct client_admin *)context)->admin, fd);
}

static const struct pollset_callbacks callbacks = {on_event, on_deadline, NULL};

static void *serve(void *argument)
{
    struct client_admin *self = argument;

    while (!self->is_stopping) {
        if (!pollset_wait(self->set)) {
            self->error = errno;
            break;
        }
    }
    return NULL;
}

/* ---- beginning and end --------------------------------------------------------------- */

bool client_admin_open(struct client_admin *admin, const char *address,
                       const struct client_live *live)
{
    char text[NET_ERROR_TEXT];

    admin->live = live;
    if (strcmp(address, ADMIN_NONE) == 0) {
        return true;
    }
    if (pipe2(admin->stop, O_CLOEXEC) == -1) {
        log_event(EVENT_PIPE_FAILED, "a pipe", strerror(errno));
        return false;
    }
    admin->is_open = true;
    process_open(&admin->process);
    admin->set = pollset_new(&callbacks, admin);
    if (admin->set == NULL || !pollset_add(admin->set, admin->stop[0], POLLIN)) {
        log_event(EVENT_NO_MEMORY);
        return false;
    }
    admin->admin = admin_open(address, admin->set, &pages, admin, text);
    if (admin->admin == NULL) {
        log_event(EVENT_LISTEN_FAILED, text);
        return false;
    }
    log_event(EVENT_ADMIN, admin_address_text(admin->admin, text), "open");
    log_flush(); /* the first message may take long */
    return true;
}

bool client_admin_start(struct client_admin *admin)
{
    if (!admin->is_open) {
        return true;
    }
    int error = thread_start(&admin->thread, serve, admin);
    admin->is_started = error == 0;
    if (error != 0) {
        log_event(EVENT_THREAD_START_FAILED, 1U, (uint64_t)1, thread_error_text(error));
    }
    return error == 0;
}

void client_admin_close(struct client_admin *admin)
{
    char text[NET_ADDRESS_TEXT];

    if (!admin->is_open) {
        return;
    }
    close(admin->stop[1]);
    if (admin->is_started) {
        pthread_join(admin->thread, NULL);
    }
    if (admin->error != 0) {
        log_event(EVENT_POLL_FAILED, strerror(admin->error));
    }
    if (admin->admin != NULL) {
        log_event(EVENT_ADMIN, admin_address_text(admin->admin, text), "closed");
        admin_close(admin->admin);
    }
    pollset_free(admin->set);
    process_close(&admin->process);
    close(admin->stop[0]);
}
