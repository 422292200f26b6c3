#include "io/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/format.h"
#include "base/thread.h"
#include "io/fdwait.h"

const char *const resolve_files[RESOLVE_FILES] = {"/etc/hosts", "/etc/resolv.conf"};

/* The part of the time after which IPv4 is asked for beside what is not answered yet. */
#define PATIENT_PART 4

/* Shared by the caller and the threads; the last of them to let go frees it. */
struct resolve {
    atomic_int holders;
    atomic_int asking;    /* threads without an answer yet */
    atomic_bool is_taken; /* one of them has the answer */
    atomic_bool is_done;  /* the answer is there: the list, or without one the status */
    int read_end;         /* the caller's; closed when it lets go */
    int write_end;        /* closing it notifies; the business of who has the answer */
    char host[NET_HOST_TEXT];
    char port[8];
    int status; /* of getaddrinfo() for both kinds of address */
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

static struct addrinfo *ask(const struct resolve *resolve, int family, int *status)
{
    const struct addrinfo hints = {
        .ai_family = family, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;

    *status = getaddrinfo(resolve->host, resolve->port, &hints, &list);
    return *status == 0 ? list : NULL;
}

/* A thread has asked: the first list is the answer, or the last failure. */
static void answer(struct resolve *resolve, struct addrinfo *list)
{
    bool is_last = atomic_fetch_sub(&resolve->asking, 1) == 1;

    if ((list != NULL || is_last) && !atomic_exchange(&resolve->is_taken, true)) {
        resolve->list = list;
        atomic_store(&resolve->is_done, true);
        close(resolve->write_end);
    } else if (list != NULL) {
        freeaddrinfo(list);
    }
}

static void *look_up_ipv4(void *argument)
{
    int status;

    answer(argument, ask(argument, AF_INET, &status));
    let_go(argument);
    return NULL;
}

/* musl asks for both kinds at once and fails when one of the answers is a failure. */
static void *look_up(void *argument)
{
    struct resolve *resolve = argument;
    struct addrinfo *list = ask(resolve, AF_UNSPEC, &resolve->status);

    if (list == NULL && !atomic_load(&resolve->is_taken)) {
        look_up_ipv4(resolve);
    } else {
        answer(resolve, list);
        let_go(resolve);
    }
    return NULL;
}

/* Ask for IPv4 alone, too; the first answer that is good counts. */
static void ask_ipv4_too(struct resolve *resolve)
{
    atomic_fetch_add(&resolve->holders, 1);
    atomic_fetch_add(&resolve->asking, 1);
    if (thread_start(NULL, look_up_ipv4, resolve) != 0) {
        answer(resolve, NULL);
        atomic_fetch_sub(&resolve->holders, 1); /* the caller holds it still */
    }
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
    atomic_init(&resolve->asking, 1);
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
    *error = resolve->list == NULL ? gai_strerror(resolve->status) : NULL;
    for (const struct addrinfo *a = resolve->list; a != NULL && count < RESOLVE_MAX;
         a = a->ai_next) {
        memset(&addresses[count], 0, sizeof addresses[count]);
        memcpy(&addresses[count].storage, a->ai_addr, a->ai_addrlen);
        addresses[count++].length = a->ai_addrlen;
    }
    resolve_abandon(resolve);
    return count;
}

const char *resolve_hint(const char *host)
{
    return strpbrk(host, ".:") != NULL || strcmp(host, "localhost") == 0
               ? ""
               : "; a container of this name may be stopped or disconnected";
}

void resolve_abandon(struct resolve *resolve)
{
    if (resolve != NULL) {
        close(resolve->read_end);
        let_go(resolve);
    }
}

size_t resolve_wait(const char *host, uint16_t port, uint64_t timeout_ns, int stop_fd,
                    struct net_address *addresses, uint64_t *took_ns, bool *is_asking,
                    const char **error)
{
    uint64_t start = clock_now_ns();

    *took_ns = 0;
    *is_asking = false;
    if (net_numeric(host, port, addresses)) {
        return 1;
    }
    struct resolve *resolve = resolve_start(host, port);
    if (resolve == NULL) {
        *error = thread_error_text(errno); /* a look-up needs one */
        return 0;
    }
    int revents =
        fdwait(resolve_fd(resolve), POLLIN, start + timeout_ns / PATIENT_PART, stop_fd);
    if (revents == 0) {
        ask_ipv4_too(resolve);
        revents = fdwait(resolve_fd(resolve), POLLIN, start + timeout_ns, stop_fd);
    }
    *took_ns = clock_now_ns() - start;
    if (revents <= 0) {
        resolve_abandon(resolve);
        *error = revents == -1 ? NULL : "no answer from the name server in time";
        return 0;
    }
    *is_asking = atomic_load(&resolve->asking) > 0;
    return resolve_finish(resolve, addresses, error);
}
