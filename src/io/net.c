#include "io/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/format.h"
#include "base/units.h"

bool net_numeric(const char *host, uint16_t port, struct net_address *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        memcpy(&address->storage, &v4, sizeof v4);
        address->length = sizeof v4;
        return true;
    }
    if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        memcpy(&address->storage, &v6, sizeof v6);
        address->length = sizeof v6;
        return true;
    }
    return false;
}

const char *net_split(const char *text, char *host, uint16_t *port)
{
    const char *start = text, *end, *colon;
    uint64_t number;

    if (strncmp(text + strcspn(text, ":"), "://", 3) == 0) {
        return "begins with a scheme";
    }
    if (*text == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL || end[1] != ':') {
            return "an IPv6 address stands in brackets, its port behind them";
        }
        colon = end + 1;
    } else {
        end = colon = strrchr(text, ':');
        if (colon == NULL) {
            return "the port is missing";
        }
        if (memchr(text, ':', (size_t)(colon - text)) != NULL) {
            return "an IPv6 address needs brackets";
        }
    }
    if (end == start) {
        return "the host is missing";
    }
    if (end - start >= NET_HOST_TEXT) {
        return "the host is too long";
    }
    if (!units_parse_whole(colon + 1, &number) || number < 1 || number > UINT16_MAX) {
        return "the port is not a number from 1 to 65535";
    }
    memcpy(host, start, (size_t)(end - start));
    host[end - start] = '\0';
    *port = (uint16_t)number;
    return NULL;
}

bool net_numeric_port(const char *text, struct net_address *address)
{
    char host[NET_ADDRESS_TEXT];
    size_t is_v6 = *text == '[';
    const char *colon = memrchr(text, ':', strlen(text));
    uint64_t port;

    if (colon == NULL || colon - text >= NET_ADDRESS_TEXT || (is_v6 && colon[-1] != ']') ||
        !units_parse_whole(colon + 1, &port) || port > UINT16_MAX) {
        return false;
    }
    format(host, (size_t)(colon - text) - 2 * is_v6 + 1, "%s", text + is_v6);
    return net_numeric(host, (uint16_t)port, address) &&
           (address->storage.ss_family == AF_INET6) == is_v6;
}

/* The IPv4 address inside ::ffff:a.b.c.d, or of an IPv4 address itself; NULL for others. */
static const unsigned char *ipv4_bytes(const struct net_address *address)
{
    const struct sockaddr *any = (const struct sockaddr *)&address->storage;

    if (any->sa_family == AF_INET) {
        return (const unsigned char *)&((const struct sockaddr_in *)any)->sin_addr;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)any;
    if (any->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        return v6->sin6_addr.s6_addr + 12;
    }
    return NULL;
}

uint16_t net_port(const struct net_address *address)
{
    /* It stands at the same offset in both kinds of address. */
    return ntohs(((const struct sockaddr_in6 *)&address->storage)->sin6_port);
}

/* Is `b`, apart from the port, the address `a` or one of those that it stands for? */
static bool covers(const struct net_address *a, const struct net_address *b)
{
    static const struct in6_addr any; /* its first bytes are 0.0.0.0, too */
    const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->storage;
    const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->storage;
    const unsigned char *a4 = ipv4_bytes(a), *b4 = ipv4_bytes(b);

    if (a4 != NULL) {
        return b4 != NULL && (memcmp(a4, &any, 4) == 0 || memcmp(a4, b4, 4) == 0);
    }
    return memcmp(&a6->sin6_addr, &any, sizeof any) == 0 ||
           (b4 == NULL && memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof any) == 0);
}

bool net_collide(const struct net_address *a, const struct net_address *b)
{
    return net_port(a) == net_port(b) && (covers(a, b) || covers(b, a));
}

char *net_address_text(const struct net_address *address, char *out)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address->storage;
    unsigned port = net_port(address);
    const unsigned char *v4 = ipv4_bytes(address);
    char host[INET6_ADDRSTRLEN], zone[16] = "";

    if (v4 != NULL) {
        format(out, NET_ADDRESS_TEXT, "%u.%u.%u.%u:%u", v4[0], v4[1], v4[2], v4[3], port);
    } else if (v6->sin6_family == AF_INET6 &&
               inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host) != NULL) {
        if (v6->sin6_scope_id != 0) {
            format(zone, sizeof zone, "%%%u", v6->sin6_scope_id);
        }
        format(out, NET_ADDRESS_TEXT, "[%s%s]:%u", host, zone, port);
    } else {
        format(out, NET_ADDRESS_TEXT, "?");
    }
    return out;
}

char *net_local_text(int fd, char *out)
{
    struct net_address local = {.length = sizeof local.storage};

    if (getsockname(fd, (struct sockaddr *)&local.storage, &local.length) == -1) {
        local.storage.ss_family = AF_UNSPEC;
    }
    return net_address_text(&local, out);
}

/* What a connection inherits from its listener is set here, once. */
static bool set_inherited(int fd, uint64_t user_timeout_ms)
{
    const int on = 1;
    const unsigned most = user_timeout_ms < INT_MAX ? (unsigned)user_timeout_ms : INT_MAX;

    return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) == 0 &&
           setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most, sizeof most) == 0;
}

/* Bind and listen. */
static bool make_listener(int fd, const struct net_address *address, int backlog,
                          uint64_t user_timeout_ms, const char **step)
{
    const int on = 1, off = 0;
    const struct sockaddr *any = (const struct sockaddr *)&address->storage;

    *step = "set the options of";
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == -1 ||
        !set_inherited(fd, user_timeout_ms) ||
        (any->sa_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == -1)) {
        return false;
    }
    *step = "bind";
    if (bind(fd, any, address->length) == -1) {
        return false;
    }
    *step = "listen on";
    return listen(fd, backlog) == 0;
}

bool net_adopt_listener(int fd, int backlog, uint64_t user_timeout_ms,
                        char error[NET_ERROR_TEXT])
{
    char text[NET_ADDRESS_TEXT];

    if (set_inherited(fd, user_timeout_ms) && listen(fd, backlog) == 0) {
        return true;
    }
    format(error, NET_ERROR_TEXT, "cannot listen on %s, which was passed: %s",
           net_local_text(fd, text), strerror(errno));
    return false;
}

int net_listen_at(const struct net_address *address, int backlog, uint64_t user_timeout_ms,
                  char error[NET_ERROR_TEXT])
{
    char text[NET_ADDRESS_TEXT];
    const char *step = "open a socket for";
    int fd =
        socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd != -1 && make_listener(fd, address, backlog, user_timeout_ms, &step)) {
        return fd;
    }
    int saved = errno;
    format(error, NET_ERROR_TEXT, "cannot %s %s: %s", step, net_address_text(address, text),
           strerror(saved));
    if (fd != -1) {
        close(fd);
    }
    errno = saved;
    return -1;
}

int net_listen(const char *address, uint16_t port, int backlog, uint64_t user_timeout_ms,
               char error[NET_ERROR_TEXT])
{
    struct net_address where;

    if (!net_numeric(address, port, &where)) {
        format(error, NET_ERROR_TEXT, "'%s' is no numeric address", address);
        errno = EINVAL;
        return -1;
    }
    return net_listen_at(&where, backlog, user_timeout_ms, error);
}

int net_accept(int listener, struct net_address *peer)
{
    peer->length = sizeof peer->storage;
    return accept4(listener, (struct sockaddr *)&peer->storage, &peer->length,
                   SOCK_NONBLOCK | SOCK_CLOEXEC);
}

unsigned net_backlog(int listener)
{
    struct tcp_info info;
    socklen_t length = offsetof(struct tcp_info, tcpi_sacked);

    /* Of a listener it is the length of its queue (net/ipv4/tcp.c: tcp_get_info()). */
    info.tcpi_unacked = 0;
    getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info.tcpi_unacked;
}

enum net_accept_class net_accept_class(int error)
{
    switch (error) {
    case EAGAIN:
        return NET_ACCEPT_EMPTY;
    case EINTR:
    case ECONNABORTED:
    case EPERM:    /* a firewall rule forbade it */
    case EPROTO:   /* from here on: errors that were waiting on the new socket, which */
    case ENETDOWN: /* accept(2) says to treat like EAGAIN and to retry */
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
        return NET_ACCEPT_NEXT;
    default: /* EMFILE, ENFILE, ENOBUFS, ENOMEM, and what we did not foresee */
        return NET_ACCEPT_PAUSE;
    }
}

int net_connect(const struct net_address *address, const struct net_address *source)
{
    const int on = 1;
    int fd =
        socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return -1;
    }
    if (source != NULL) { /* where that is not known, bind() takes a port at once */
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    }
    if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == -1 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == -1 ||
        (source != NULL &&
         bind(fd, (const struct sockaddr *)&source->storage, source->length) == -1) ||
        (connect(fd, (const struct sockaddr *)&address->storage, address->length) == -1 &&
         errno != EINPROGRESS && errno != EINTR)) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

const char *net_error_text(int error)
{
    switch (error) {
    case EADDRNOTAVAIL: /* of connect(): bind() to a foreign address is net_is_own()'s */
        return "no port is left on this side for that address: see "
               "net.ipv4.ip_local_port_range, or give a load several addresses (--source); "
               "or it is an IPv6 address, and IPv6 is off here";
    case EMFILE:
        return "no descriptor is left: raise the limit of open files (ulimit -n)";
    case ENFILE:
        return "no descriptor is left in the system: see fs.file-max";
    default:
        return strerror(error);
    }
}

bool net_is_own(const struct net_address *address)
{
    const int on = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return errno != EAFNOSUPPORT;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    bool is_foreign =
        bind(fd, (const struct sockaddr *)&address->storage, address->length) == -1 &&
        errno == EADDRNOTAVAIL;
    close(fd);
    return !is_foreign;
}

int net_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof error;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == -1) {
        return errno;
    }
    return error;
}

/* Two sockets that open a connection to each other at the same time are connected (RFC
 * 9293, 3.5: simultaneous open), and so is one whose own port is the port that it connects
 * to. */
static bool is_its_own_peer(int fd)
{
    struct net_address own = {.length = sizeof own.storage};
    struct net_address peer = {.length = sizeof peer.storage};

    return getsockname(fd, (struct sockaddr *)&own.storage, &own.length) == 0 &&
           getpeername(fd, (struct sockaddr *)&peer.storage, &peer.length) == 0 &&
           own.storage.ss_family != AF_UNIX && own.length == peer.length &&
           memcmp(&own.storage, &peer.storage, own.length) == 0;
}

int net_connect_result(int fd)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};
    int error = net_error(fd);

    if (error != 0 || !is_its_own_peer(fd)) {
        return error;
    }
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none); /* no TIME_WAIT */
    return ECONNREFUSED;
}

size_t net_unacknowledged(int fd)
{
    int bytes = 0;

    if (ioctl(fd, TIOCOUTQ, &bytes) == -1 || bytes < 0) {
        return 0;
    }
    return (size_t)bytes;
}

/* The first byte of an abstract name is 0, and its length counts. */
static int open_abstract(const char *name, struct sockaddr_un *address, socklen_t *length)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    format(address->sun_path + 1, sizeof address->sun_path - 1, "%s", name);
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
                          strlen(address->sun_path + 1));
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

static int close_failed(int fd)
{
    int error = errno;

    close(fd);
    errno = error;
    return -1;
}

int net_listen_abstract(const char *name, int backlog)
{
    struct sockaddr_un address;
    socklen_t length;
    int fd = open_abstract(name, &address, &length);

    if (fd != -1 && (bind(fd, (struct sockaddr *)&address, length) == -1 ||
                     listen(fd, backlog) == -1)) {
        return close_failed(fd);
    }
    return fd;
}

int net_connect_abstract(const char *name)
{
    struct sockaddr_un address;
    socklen_t length;
    int fd = open_abstract(name, &address, &length);

    if (fd != -1 && connect(fd, (struct sockaddr *)&address, length) == -1) {
        return close_failed(fd);
    }
    return fd;
}

bool net_drop(int fd, void *bytes, size_t length)
{
    for (size_t dropped = 0; dropped < length;) {
        ssize_t n = recv(fd, (char *)bytes + dropped, length - dropped, MSG_TRUNC);

        if (n == 0 || (n == -1 && errno != EINTR)) {
            return false;
        }
        dropped += n > 0 ? (size_t)n : 0;
    }
    return true;
}
