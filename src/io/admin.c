#include "io/admin.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/format.h"
#include "io/http.h"

/* A request must be there after this time; its answer must be taken after as long again. */
#define STEP_NS CLOCK_S

/* A peer that asked for nothing has so long to take the answer 408. */
#define GRACE_NS (100 * CLOCK_MS)

/* The listener rests after each connection, so that a storm of requests takes no more than
 * some hundredths of the loop's time, and after accept(2) found no descriptors or memory.
 */
#define REST_NS (10 * CLOCK_MS)

/* Connections that may wait to be accepted. */
#define BACKLOG 16

/* Bytes behind a request that are read, so that close(2) sends no reset. A peer that sends
 * more has a second to read its answer, and is reset then. */
#define DISCARD_MAX ((size_t)64 * 1024)

enum admin_state {
    ADMIN_READING,   /* the request is not complete */
    ADMIN_ANSWERING, /* send() has not taken all of the answer */
    ADMIN_ENDING,    /* our end of stream is sent; the peer's is missing */
};

struct connection {
    int fd; /* -1: free */
    enum admin_state state;
    size_t used;       /* READING: bytes of the request; ENDING: bytes behind it */
    size_t begin, end; /* of the rest of the answer in `bytes` */
    /* First the request, then the answer: the page behind room for its head. */
    char bytes[HTTP_HEAD_TEXT + METRICS_TEXT];
};
_Static_assert(HTTP_REQUEST_MAX <= HTTP_HEAD_TEXT + METRICS_TEXT, "a request fits");

struct admin {
    struct pollset *set;
    const struct admin_pages *pages;
    void *context;
    int listener;
    size_t open; /* connections */
    struct connection connections[ADMIN_CONNECTIONS];
};

/* ---- the address -----------------------------------------------------------------------
 */

const char *admin_check_address(const char *text)
{
    struct net_address address;

    return strcmp(text, ADMIN_NONE) == 0 || net_numeric_port(text, &address)
               ? NULL
               : "is not a numeric address";
}

bool admin_is_at(const char *text, const struct net_address *address)
{
    struct net_address ours;

    return net_numeric_port(text, &ours) && net_port(&ours) != 0 &&
           net_collide(&ours, address);
}

/* ---- the listener ----------------------------------------------------------------------
 */

static struct connection *find(struct admin *admin, int fd)
{
    for (size_t i = 0; admin != NULL && i < ADMIN_CONNECTIONS; i++) {
        if (admin->connections[i].fd == fd) {
            return &admin->connections[i];
        }
    }
    return NULL;
}

/* The listener looks again after a moment. */
static void rest(struct admin *admin)
{
    pollset_want(admin->set, admin->listener, 0);
    pollset_deadline(admin->set, admin->listener, pollset_now(admin->set) + REST_NS);
}

/* Accept one connection. While there is no slot for it the listener stays parked. */
static void accept_one(struct admin *admin)
{
    struct connection *free = find(admin, -1);
    struct net_address peer;

    rest(admin);
    int fd = free != NULL ? net_accept(admin->listener, &peer) : -1;
    if (fd == -1) {
        return;
    }
    if (!pollset_add(admin->set, fd, POLLIN)) {
        close(fd);
        return;
    }
    pollset_deadline(admin->set, fd, pollset_now(admin->set) + STEP_NS);
    free->fd = fd;
    free->state = ADMIN_READING;
    free->used = 0;
    admin->open++;
}

/* ---- one connection --------------------------------------------------------------------
 */

static void close_connection(struct admin *admin, struct connection *connection)
{
    pollset_remove(admin->set, connection->fd);
    close(connection->fd);
    connection->fd = -1;
    admin->open--;
}

/* Write the page that was asked for into `out`, or what may be asked for. Returns its
 * length. */
static size_t print_page(struct admin *admin, const struct http_request *request,
                         enum http_status *status, char *out)
{
    const char *line = "ok";

    if (*status != HTTP_OK) {
        line = NULL;
    } else if (http_path_is(request, "/metrics")) {
        return admin->pages->metrics(admin->context, out);
    } else if (http_path_is(request, "/readyz")) {
        const char *why = admin->pages->unready(admin->context);

        if (why != NULL) {
            line = why;
            *status = HTTP_UNAVAILABLE;
        }
    } else if (!http_path_is(request, "/livez")) {
        line = NULL;
        *status = HTTP_NOT_FOUND;
    }
    return format(out, METRICS_TEXT, "%s\n",
                  line != NULL ? line
                               : "allowed: GET or HEAD of /metrics, /livez, /readyz");
}

/* Send what is left of the answer, then our end of stream. */
static void go_on(struct admin *admin, struct connection *connection)
{
    ssize_t taken = send(connection->fd, connection->bytes + connection->begin,
                         connection->end - connection->begin, MSG_NOSIGNAL);

    if (taken == -1 && errno != EAGAIN && errno != EINTR) {
        close_connection(admin, connection);
        return;
    }
    connection->begin += taken > 0 ? (size_t)taken : 0;
    if (connection->begin < connection->end) {
        pollset_want(admin->set, connection->fd, POLLOUT);
        return;
    }
    shutdown(connection->fd, SHUT_WR);
    connection->state = ADMIN_ENDING;
    connection->used = 0;
    pollset_want(admin->set, connection->fd, POLLIN);
}

/* Judged: make the answer and begin to send it. */
static void answer(struct admin *admin, struct connection *connection,
                   const struct http_request *request, enum http_status status)
{
    char head[HTTP_HEAD_TEXT];
    char *page = connection->bytes + HTTP_HEAD_TEXT;
    bool is_head = request->is_head;
    size_t length = print_page(admin, request, &status, page);
    size_t head_length = http_head(head, status, length);

    connection->begin = HTTP_HEAD_TEXT - head_length;
    connection->end = HTTP_HEAD_TEXT + (is_head ? 0 : length);
    memcpy(connection->bytes + connection->begin, head, head_length);
    connection->state = ADMIN_ANSWERING;
    pollset_deadline(admin->set, connection->fd,
                     pollset_now(admin->set) +
                         (status == HTTP_TIMEOUT ? GRACE_NS : STEP_NS));
    go_on(admin, connection);
}

/* Bytes of the request, or behind it; those are thrown away. */
static void receive(struct admin *admin, struct connection *connection)
{
    struct http_request request = {.is_head = false};
    enum http_status status = HTTP_BAD_REQUEST;
    size_t at = connection->state == ADMIN_READING ? connection->used : 0;
    ssize_t n = recv(connection->fd, connection->bytes + at, HTTP_REQUEST_MAX - at, 0);

    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    /* An end before the first byte asks for nothing. */
    if (n == -1 || (n == 0 && at == 0)) {
        close_connection(admin, connection);
        return;
    }
    connection->used += (size_t)n;
    if (connection->state == ADMIN_ENDING) {
        if (connection->used > DISCARD_MAX) {
            pollset_want(admin->set, connection->fd, 0);
        }
        return;
    }
    if (n > 0) {
        status = http_parse(connection->bytes, connection->used, &request);
    }
    if (status != HTTP_INCOMPLETE) {
        answer(admin, connection, &request, status);
    }
}

bool admin_event(struct admin *admin, int fd)
{
    struct connection *connection = find(admin, fd);

    if (connection == NULL) {
        if (admin == NULL || fd != admin->listener) {
            return false;
        }
        accept_one(admin);
    } else if (connection->state == ADMIN_ANSWERING) {
        go_on(admin, connection);
    } else {
        receive(admin, connection);
    }
    return true;
}

bool admin_deadline(struct admin *admin, int fd)
{
    const struct http_request none = {.is_head = false};
    struct connection *connection = find(admin, fd);

    if (connection == NULL) {
        if (admin == NULL || fd != admin->listener) {
            return false;
        }
        pollset_want(admin->set, fd, POLLIN);
    } else if (connection->state == ADMIN_READING) {
        answer(admin, connection, &none, HTTP_TIMEOUT);
    } else {
        close_connection(admin, connection);
    }
    return true;
}

/* ---- beginning and end -----------------------------------------------------------------
 */

struct admin *admin_open(const char *text, struct pollset *set,
                         const struct admin_pages *pages, void *context,
                         char error[NET_ERROR_TEXT])
{
    struct net_address address;
    struct admin *admin = calloc(1, sizeof *admin);

    net_numeric_port(text, &address);
    int listener = net_listen_at(&address, BACKLOG, 0, error);
    if (listener == -1 || admin == NULL || !pollset_add(set, listener, POLLIN)) {
        if (listener != -1) {
            format(error, NET_ERROR_TEXT, "no memory");
            close(listener);
        }
        free(admin);
        return NULL;
    }
    admin->set = set;
    admin->pages = pages;
    admin->context = context;
    admin->listener = listener;
    for (size_t i = 0; i < ADMIN_CONNECTIONS; i++) {
        admin->connections[i].fd = -1;
    }
    return admin;
}

void admin_close(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    for (size_t i = 0; i < ADMIN_CONNECTIONS; i++) {
        if (admin->connections[i].fd != -1) {
            close_connection(admin, &admin->connections[i]);
        }
    }
    pollset_remove(admin->set, admin->listener);
    close(admin->listener);
    free(admin);
}

char *admin_address_text(const struct admin *admin, char *out)
{
    return net_local_text(admin->listener, out);
}

size_t admin_descriptors(const struct admin *admin)
{
    return admin != NULL ? 1 + admin->open : 0;
}
