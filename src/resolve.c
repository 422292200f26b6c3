#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "await.h"
#include "clock.h"
#include "ensure.h"
#include "format.h"
#include "thread.h"

const char *const resolve_files[RESOLVE_FILES] = {"/etc/hosts", "/etc/resolv.conf"};

/* Shared by the caller and the thread; whoever lets go last frees it. */
struct resolve {
    atomic_int holders;
    atomic_bool is_done; /* status and list are valid */
    int read_end;        /* the caller's; closed when it lets go */
    int write_end;       /* the thread's; closing it is the report */
    char host[NET_HOST_TEXT];
    char port[8];
    int status; /* of getaddrinfo() */
    struct addrinfo *list;
};

static void let_go(struct resolve *resolve)
{
    if (atomic_fetch_sub(&resolve->holders, 1) == 1) {
        if (resolve->list != NULL) {
            freeaddrinfo(resolve->list);
        }
        free(resolve);
    }
}

static void *look_up(void *argument)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct resolve *resolve = argument;

    resolve->status = getaddrinfo(resolve->host, resolve->port, &hints, &resolve->list);
    atomic_store(&resolve->is_done, true);
    close(resolve->write_end);
    let_go(resolve);
    return NULL;
}

struct resolve *resolve_start(const char *host, uint16_t port)
{
    struct resolve *resolve = calloc(1, sizeof *resolve);
    int ends[2];

    if (resolve == NULL) {
        return NULL;
    }
    if (strlen(host) >= sizeof resolve->host) {
        free(resolve);
        errno = EINVAL;
        return NULL;
    }
    if (pipe2(ends, O_CLOEXEC) == -1) {
        free(resolve);
        return NULL;
    }
    resolve->read_end = ends[0];
    resolve->write_end = ends[1];
    format(resolve->host, sizeof resolve->host, "%s", host);
    format(resolve->port, sizeof resolve->port, "%u", port);
    atomic_init(&resolve->holders, 2);
    int error = thread_start(NULL, look_up, resolve);
    if (error != 0) {
        close(ends[0]);
        close(ends[1]);
        free(resolve);
        errno = error;
        return NULL;
    }
    return resolve;
}

int resolve_fd(const struct resolve *resolve)
{
    return resolve->read_end;
}

size_t resolve_finish(struct resolve *resolve, struct net_address *addresses,
                      const char **error)
{
    size_t count = 0;

    ensure(atomic_load(&resolve->is_done));
    *error = NULL;
    if (resolve->status != 0) {
        *error = gai_strerror(resolve->status);
    }
    for (const struct addrinfo *a = resolve->list; a != NULL && count < RESOLVE_MAX;
         a = a->ai_next) {
        memset(&addresses[count], 0, sizeof addresses[count]);
        memcpy(&addresses[count].storage, a->ai_addr, a->ai_addrlen);
        addresses[count++].length = a->ai_addrlen;
    }
    resolve_abandon(resolve);
    return count;
}

void resolve_abandon(struct resolve *resolve)
{
    if (resolve != NULL) {
        close(resolve->read_end);
        let_go(resolve);
    }
}

size_t resolve_wait(const char *host, uint16_t port, uint64_t timeout_ns, int stop_fd,
                    struct net_address *addresses, uint64_t *took_ns, const char **error)
{
    uint64_t start = clock_now_ns();

    *took_ns = 0;
    if (net_numeric(host, port, addresses)) {
        return 1;
    }
    struct resolve *resolve = resolve_start(host, port);
    if (resolve == NULL) {
        *error = strerror(errno);
        return 0;
    }
    int revents = await_fd(resolve_fd(resolve), POLLIN, start + timeout_ns, stop_fd);
    if (revents <= 0) {
        resolve_abandon(resolve);
        *error = revents == -1 ? NULL : "no answer from the name server in time";
        return 0;
    }
    *took_ns = clock_now_ns() - start;
    return resolve_finish(resolve, addresses, error);
}
