/* Addresses, and real sockets on loopback with ports of the kernel's choice. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "tap.h"

#define PATIENCE_MS 2000
#define CANARY      0x5a

/* ---- addresses and texts ---------------------------------------------------------------
 */

static const char *text_of(const struct net_address *address)
{
    static char out[NET_ADDRESS_TEXT];

    return net_address_text(address, out);
}

static void is_numeric(const char *host, uint16_t port, int family, const char *wanted)
{
    struct net_address address;

    ok(net_numeric(host, port, &address), "'%s' is numeric", host);
    is_int(address.storage.ss_family, family, "... its family");
    is_int(address.length,
           family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
           "... its length");
    is_str(text_of(&address), wanted, "... its text");
}

static void test_numeric(void)
{
    static const char *const bad[] = {
        "",
        "localhost",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.3.-4",
        " 1.2.3.4",
        "1.2.3.4 ",
        "1.2.3.4:7",
        "0x7f.0.0.1",
        "example.org",
        "[::1]",
        "::1]",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "::g",
        "12345::",
        "::1%",
        "%",
        "%lo",
        "::1%no-such-zone",
        "1:2:3:4:5:6:7:8:9",
        "*",
        "127.1",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee:ffff",
    };
    struct net_address address;

    is_numeric("127.0.0.1", 7, AF_INET, "127.0.0.1:7");
    is_numeric("0.0.0.0", 0, AF_INET, "0.0.0.0:0");
    is_numeric("255.255.255.255", 65535, AF_INET, "255.255.255.255:65535");
    is_numeric("192.0.2.1", 12345, AF_INET, "192.0.2.1:12345");
    is_numeric("::", 7, AF_INET6, "[::]:7");
    is_numeric("::1", 12345, AF_INET6, "[::1]:12345");
    is_numeric("2001:db8::1", 7, AF_INET6, "[2001:db8::1]:7");
    is_numeric("2001:DB8:0:0:0:0:0:1", 7, AF_INET6, "[2001:db8::1]:7");
    is_numeric("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, AF_INET6,
               "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    is_numeric("::ffff:192.0.2.1", 7, AF_INET6, "192.0.2.1:7");
    is_numeric("::ffff:c000:201", 7, AF_INET6, "192.0.2.1:7");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ok(!net_numeric(bad[i], 7, &address), "'%s' is not numeric", bad[i]);
    }
    ok(!net_numeric("fe80::1%lo", 7, &address), "a zone is the resolver's business");
}

static void test_text(void)
{
    char out[NET_ADDRESS_TEXT + 1];
    struct net_address address;

    memset(&address, 0, sizeof address);
    is_str(text_of(&address), "?", "no family: no address");
    address.storage.ss_family = AF_UNIX;
    is_str(text_of(&address), "?", "another family, too");

    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(65535), .sin6_scope_id = UINT32_MAX};
    memset(&v6.sin6_addr, 0xff, sizeof v6.sin6_addr);
    memcpy(&address.storage, &v6, sizeof v6);
    address.length = sizeof v6;
    memset(out, CANARY, sizeof out);
    ok(net_address_text(&address, out) == out, "returns its buffer");
    is_str(out, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
           "the longest text");
    is_int(out[NET_ADDRESS_TEXT], CANARY, "... fits");
    net_numeric("fe80::1", 7, &address);
    is_str(text_of(&address), "[fe80::1]:7", "a link-local address without a zone");
    memcpy(&v6, &address.storage, sizeof v6);
    v6.sin6_scope_id = 3;
    memcpy(&address.storage, &v6, sizeof v6);
    is_str(text_of(&address), "[fe80::1%3]:7",
           "... and with one, which prints as its number");

    is_str(net_local_text(-1, out), "?", "no socket: no local address");
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) {
        abort();
    }
    is_str(net_local_text(pair[0], out), "?", "a Unix socket: none, either");
    close(pair[0]);
    close(pair[1]);
}

static void splits(const char *text, const char *host, uint16_t port)
{
    char got[NET_HOST_TEXT] = "";
    uint16_t got_port = 0;
    const char *error = net_split(text, got, &got_port);

    ok(error == NULL, "'%.40s' can be split", text);
    is_str(got, host, "... its host");
    is_int(got_port, port, "... its port");
}

static void test_split(void)
{
    static const char *const bad[] = {
        "",
        "host",
        "host:",
        ":7",
        ":",
        "host:0",
        "host:65536",
        "host:x",
        "host:-1",
        "host:+7",
        "host: 7",
        "host:7 ",
        "host:7x",
        "host:0x7",
        "::1",
        "::1:7",
        "1:2:3",
        "a::7",
        "[::1]",
        "[::1]7",
        "[::1]:",
        "[::1",
        "[::1:7",
        "[]:7",
        "[",
        "[]",
        "[::1]:0",
        "[::1]:65536",
        "[::1]:x",
        "[::1] :7",
        "host:7:",
        "host:18446744073709551623",
        "host:99999999999999999999999",
        "host:4294967303",
        "host:65543",
    };
    char text[NET_HOST_TEXT + 32], host[NET_HOST_TEXT + 1];
    uint16_t port;

    splits("localhost:7", "localhost", 7);
    splits("127.0.0.1:12345", "127.0.0.1", 12345);
    splits("[::1]:12345", "::1", 12345);
    splits("[2001:db8::1]:65535", "2001:db8::1", 65535);
    splits("[fe80::1%lo]:1", "fe80::1%lo", 1);
    splits("server:1", "server", 1);
    splits("h:65535", "h", 65535);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *error = net_split(bad[i], host, &port);
        ok(error != NULL && *error != '\0' && strchr(error, '\n') == NULL,
           "'%s' cannot be split", bad[i]);
    }

    memset(text, 'h', sizeof text);
    strcpy(text + NET_HOST_TEXT - 1, ":7");
    memset(host, CANARY, sizeof host);
    ok(net_split(text, host, &port) == NULL, "the longest host");
    ok(strlen(host) == NET_HOST_TEXT - 1 && memcmp(host, text, NET_HOST_TEXT - 1) == 0,
       "... is whole");
    text[NET_HOST_TEXT - 1] = 'h';
    strcpy(text + NET_HOST_TEXT, ":7");
    memset(host, CANARY, sizeof host);
    ok(net_split(text, host, &port) != NULL, "one more is too long");
    is_int(host[NET_HOST_TEXT], CANARY, "... and is not written");
    text[0] = '[';
    strcpy(text + NET_HOST_TEXT + 1, "]:7");
    ok(net_split(text, host, &port) != NULL, "... nor in brackets");
    is_int(host[NET_HOST_TEXT], CANARY, "... which is not written, either");
}

static void test_accept_class(void)
{
    is_int(net_accept_class(EAGAIN), NET_ACCEPT_EMPTY, "EAGAIN: empty");
    is_int(net_accept_class(EWOULDBLOCK), NET_ACCEPT_EMPTY, "EWOULDBLOCK: empty");
    is_int(net_accept_class(ECONNABORTED), NET_ACCEPT_NEXT, "ECONNABORTED: next");
    is_int(net_accept_class(EPROTO), NET_ACCEPT_NEXT, "EPROTO: next");
    is_int(net_accept_class(EPERM), NET_ACCEPT_NEXT, "EPERM, of a firewall: next");
    is_int(net_accept_class(EHOSTUNREACH), NET_ACCEPT_NEXT, "EHOSTUNREACH: next");
    is_int(net_accept_class(ENETUNREACH), NET_ACCEPT_NEXT, "ENETUNREACH: next");
    is_int(net_accept_class(ENETDOWN), NET_ACCEPT_NEXT, "ENETDOWN: next");
    is_int(net_accept_class(EMFILE), NET_ACCEPT_PAUSE, "EMFILE: pause");
    is_int(net_accept_class(ENFILE), NET_ACCEPT_PAUSE, "ENFILE: pause");
    is_int(net_accept_class(ENOBUFS), NET_ACCEPT_PAUSE, "ENOBUFS: pause");
    is_int(net_accept_class(ENOMEM), NET_ACCEPT_PAUSE, "ENOMEM: pause");
}

/* ---- sockets ---------------------------------------------------------------------------
 */

static int fds_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

/* No new descriptor can be made while this is true. */
static void exhaust(bool is_on)
{
    static struct rlimit before;
    struct rlimit none;

    if (is_on) {
        getrlimit(RLIMIT_NOFILE, &before);
        none = before;
        none.rlim_cur = 0;
        setrlimit(RLIMIT_NOFILE, &none);
    } else {
        setrlimit(RLIMIT_NOFILE, &before);
    }
}

static bool wait_for(int fd, short events)
{
    struct pollfd pfd = {.fd = fd, .events = events};

    return poll(&pfd, 1, PATIENCE_MS) == 1;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;

    return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

static bool is_careful(int fd)
{
    return (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in6 local = {0};
    socklen_t length = sizeof local;

    if (getsockname(fd, (struct sockaddr *)&local, &length) == -1) {
        abort();
    }
    return ntohs(local.sin6_port); /* at the same offset in IPv4's */
}

static int listen_on(const char *host, struct net_address *where)
{
    char error[NET_ERROR_TEXT];
    int fd = net_listen(host, 0, 16, 0, error);

    if (fd != -1) {
        net_numeric(host, port_of(fd), where);
    }
    return fd;
}

struct connection {
    int own, accepted;
    struct net_address peer; /* as accepted */
};

static bool connect_both(struct connection *c, int listener,
                         const struct net_address *where, const char *source)
{
    struct net_address from;

    c->accepted = -1;
    if (source != NULL) {
        net_numeric(source, 0, &from);
    }
    c->own = net_connect(where, source != NULL ? &from : NULL);
    if (c->own == -1 || !wait_for(c->own, POLLOUT) || net_connect_result(c->own) != 0 ||
        !wait_for(listener, POLLIN)) {
        return false;
    }
    c->accepted = net_accept(listener, &c->peer);
    return c->accepted != -1;
}

static void close_both(const struct connection *c)
{
    close(c->own);
    close(c->accepted);
}

static void test_round_trip(const char *host)
{
    struct net_address where, nobody;
    struct connection c;
    char text[NET_ADDRESS_TEXT], own[NET_ADDRESS_TEXT], byte = 0;
    int listener = listen_on(host, &where);

    if (listener == -1) {
        skip("cannot listen on %s here", host);
        return;
    }
    ok(is_careful(listener), "%s: the listener is close-on-exec and non-blocking", host);
    ok(port_of(listener) != 0, "... and has a port");
    is_str(net_local_text(listener, text), text_of(&where), "... and its text tells it");
    errno = 0;
    is_int(net_accept(listener, &nobody), -1, "nobody comes: nothing to accept");
    is_int(net_accept_class(errno), NET_ACCEPT_EMPTY, "... errno says that it is empty");
    if (!ok(connect_both(&c, listener, &where, NULL), "connect and accept")) {
        return;
    }
    ok(is_careful(c.own), "the client's socket is close-on-exec and non-blocking");
    ok(is_careful(c.accepted), "the accepted one, too");
    is_int(option(c.accepted, IPPROTO_TCP, TCP_NODELAY), 1, "... and has TCP_NODELAY");
    is_int(option(c.accepted, SOL_SOCKET, SO_KEEPALIVE), 1, "... and keepalive");
    is_str(text_of(&c.peer), net_local_text(c.own, own),
           "accept() tells where it comes from");
    is_str(net_local_text(c.accepted, text), text_of(&where), "... and its own end");
    ok(!net_is_health_check(&c.peer), "... which is not the health check");
    ok(send(c.own, "x", 1, 0) == 1 && wait_for(c.accepted, POLLIN) &&
           recv(c.accepted, &byte, 1, 0) == 1 && byte == 'x',
       "a byte goes through");
    close_both(&c);
    close(listener);
}

static void test_dual_stack(void)
{
    struct net_address where, v4, v6;
    struct connection c;
    char own[NET_ADDRESS_TEXT];
    int listener = listen_on("::", &where);

    if (listener == -1) {
        skip("no IPv6 here");
        return;
    }
    net_numeric("127.0.0.1", port_of(listener), &v4);
    ok(connect_both(&c, listener, &v4, NULL), "'::' takes IPv4");
    is_str(text_of(&c.peer), net_local_text(c.own, own), "... which prints as IPv4");
    ok(strncmp(own, "127.0.0.1:", 10) == 0, "... %s", own);
    close_both(&c);
    ok(connect_both(&c, listener, &v4, NET_HEALTH_CHECK_SOURCE),
       "'::' and the health check");
    ok(net_is_health_check(&c.peer), "... which is known through IPv6, too");
    close_both(&c);
    net_numeric("::1", port_of(listener), &v6);
    if (connect_both(&c, listener, &v6, NULL)) {
        close_both(&c);
        ok(connect_both(&c, listener, &v6, "::1"), "an IPv6 source");
        ok(!net_is_health_check(&c.peer), "... is not the health check");
        ok(strncmp(text_of(&c.peer), "[::1]:", 6) == 0, "... %s", text_of(&c.peer));
    } else {
        skip("no ::1 here");
    }
    close_both(&c);
    close(listener);
}

static void test_health_check(void)
{
    static const char *const others[] = {"127.0.0.1", "127.8.6.1",   "127.8.6.3",
                                         "127.2.6.8", "2.6.8.127",   "::1",
                                         "::",        "::127.8.6.2", "::fffe:7f08:602"};
    struct net_address where, address;
    struct connection c;
    int listener = listen_on("127.0.0.1", &where);

    ok(connect_both(&c, listener, &where, NET_HEALTH_CHECK_SOURCE), "a source of its own");
    ok(net_is_health_check(&c.peer), "the health check is known by it");
    ok(strncmp(text_of(&c.peer), NET_HEALTH_CHECK_SOURCE ":", 10) == 0, "... %s",
       text_of(&c.peer));
    close_both(&c);
    ok(connect_both(&c, listener, &where, "127.0.0.3"), "another source");
    ok(!net_is_health_check(&c.peer), "... is another's");
    close_both(&c);
    close(listener);

    net_numeric(NET_HEALTH_CHECK_SOURCE, 7, &address);
    ok(net_is_health_check(&address), "the port does not matter");
    net_numeric("::ffff:" NET_HEALTH_CHECK_SOURCE, 7, &address);
    ok(net_is_health_check(&address), "nor does the kind of socket");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        net_numeric(others[i], 7, &address);
        ok(!net_is_health_check(&address), "%s is not the health check", others[i]);
    }
    memset(&address, 0, sizeof address);
    ok(!net_is_health_check(&address), "nor is no address");
}

/* How connecting ends: at once or after a wait. */
static int outcome(const struct net_address *where)
{
    int fd = net_connect(where, NULL);

    if (fd == -1) {
        return errno;
    }
    int error = wait_for(fd, POLLOUT) ? net_connect_result(fd) : ETIMEDOUT;
    close(fd);
    return error;
}

static void test_connect_fails(void)
{
    struct net_address where, strange;
    int before = fds_open();
    int listener = listen_on("127.0.0.1", &where);

    net_numeric("192.0.2.1", 0, &strange);
    is_int(outcome(&where), 0, "somebody listens: 0");
    close(listener);
    is_int(outcome(&where), ECONNREFUSED, "nobody listens: ECONNREFUSED");
    errno = 0;
    is_int(net_connect(&where, &strange), -1, "a source that is not ours");
    is_int(errno, EADDRNOTAVAIL, "... errno is bind's");
    exhaust(true);
    errno = 0;
    int fd = net_connect(&where, NULL);
    int error = errno;
    exhaust(false);
    is_int(fd, -1, "no descriptor for a socket");
    is_int(error, EMFILE, "... errno is socket's");
    is_int(net_connect_result(-1), EBADF, "no socket has no result");
    is_int(fds_open(), before, "no failure leaves a descriptor open");
}

static void fails_to_listen(const char *address, uint16_t port, int wanted,
                            const char *part)
{
    char error[NET_ERROR_TEXT + 1];
    int before = fds_open();

    memset(error, CANARY, sizeof error);
    errno = 0;
    int fd = net_listen(address, port, 16, 0, error);
    int got = errno;
    is_int(fd, -1, "cannot listen on '%.40s'", address);
    is_int(got, wanted, "... errno");
    is_int(error[NET_ERROR_TEXT], CANARY, "... the text fits");
    error[NET_ERROR_TEXT] = '\0';
    ok(strchr(error, '\n') == NULL && strstr(error, part) != NULL, "... it says: %s",
       error);
    is_int(fds_open(), before, "... no descriptor is left");
}

static void test_listen_fails(void)
{
    struct net_address where;
    char name[400];
    int listener = listen_on("127.0.0.1", &where);

    fails_to_listen("127.0.0.1", port_of(listener), EADDRINUSE, strerror(EADDRINUSE));
    fails_to_listen("127.0.0.1", port_of(listener), EADDRINUSE, text_of(&where));
    close(listener);
    fails_to_listen("192.0.2.1", 0, EADDRNOTAVAIL, strerror(EADDRNOTAVAIL));
    fails_to_listen("localhost", 0, EINVAL, "localhost");
    fails_to_listen("", 0, EINVAL, "");
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    fails_to_listen(name, 0, EINVAL, "nnnn");
    exhaust(true);
    errno = 0;
    int fd = net_listen("127.0.0.1", 0, 16, 0, name);
    int error = errno;
    exhaust(false);
    is_int(fd, -1, "no descriptor for a listener");
    is_int(error, EMFILE, "... errno is socket's");
    ok(strstr(name, strerror(EMFILE)) != NULL, "... it says: %s", name);
}

static void test_accept_fails(void)
{
    struct net_address where, peer;
    int listener = listen_on("127.0.0.1", &where);
    int own = net_connect(&where, NULL);

    ok(wait_for(listener, POLLIN), "somebody comes");
    exhaust(true);
    errno = 0;
    int fd = net_accept(listener, &peer);
    int error = errno;
    exhaust(false);
    is_int(fd, -1, "... but there is no descriptor for them");
    is_int(error, EMFILE, "... errno is accept's");
    fd = net_accept(listener, &peer);
    ok(fd >= 0, "... they still wait once there is one");
    close(fd);
    close(own);
    close(listener);
    errno = 0;
    is_int(net_accept(-1, &peer), -1, "no listener accepts nothing");
    is_int(errno, EBADF, "... errno");
}

static void test_listen_options(void)
{
    struct net_address where;
    struct connection c;
    struct tcp_info info;
    socklen_t length = sizeof info;
    char error[NET_ERROR_TEXT];
    int listener = net_listen("127.0.0.1", 0, 3, 1500, error);

    net_numeric("127.0.0.1", port_of(listener), &where);
    memset(&info, 0, sizeof info);
    getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length);
    is_int(info.tcpi_sacked, 3,
           "the backlog is the one asked for"); /* ss(8) calls it Send-Q */
    ok(connect_both(&c, listener, &where, NULL), "a connection of this listener");
    is_int(option(c.accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 1500,
           "... has its user timeout");
    close_both(&c);
    close(listener);

    listener = listen_on("127.0.0.1", &where);
    ok(connect_both(&c, listener, &where, NULL), "a connection without a user timeout");
    is_int(option(c.accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 0, "... has the kernel's");
    close_both(&c);
    close(listener);
}

/* Connections that a stopped server leaves behind must not keep the next one from its port.
 */
static void test_port_again(void)
{
    struct net_address where;
    struct connection c;
    char error[NET_ERROR_TEXT] = "";
    int listener = listen_on("127.0.0.1", &where);
    uint16_t port = port_of(listener);

    connect_both(&c, listener, &where, NULL);
    close(listener);
    close(c.accepted); /* the server closes first: its end goes to TIME_WAIT */
    close(c.own);
    listener = net_listen("127.0.0.1", port, 16, 0, error);
    ok(listener != -1, "the port of a closed listener can be had again %s", error);
    close(listener);
}

/* ---- unacknowledged bytes --------------------------------------------------------------
 */

static bool becomes_unacknowledged(int fd, size_t wanted)
{
    uint64_t end = clock_now_ns() + PATIENCE_MS * CLOCK_MS;

    while (net_unacknowledged(fd) != wanted) {
        if (clock_now_ns() > end) {
            printf("# got %zu, expected %zu\n", net_unacknowledged(fd), wanted);
            return false;
        }
        poll(NULL, 0, 1);
    }
    return true;
}

/* Send until both buffers are full: what the peer's kernel has not acknowledged is then
 * what was sent, less what the peer could read. */
static size_t fill(int fd, int peer)
{
    static char block[16384];
    size_t sent = 0;
    int readable = 0;

    for (int i = 0; i < 20; i++) {
        for (ssize_t n; (n = send(fd, block, sizeof block, MSG_NOSIGNAL)) > 0;) {
            sent += (size_t)n;
        }
        struct pollfd pfd = {.fd = fd, .events = POLLOUT};
        if (poll(&pfd, 1, 10) == 0) {
            break;
        }
    }
    ioctl(peer, FIONREAD, &readable);
    return sent - (size_t)readable;
}

static void drain(int fd)
{
    static char block[16384];

    while (wait_for(fd, POLLIN) && recv(fd, block, sizeof block, 0) > 0) {
    }
}

static void test_unacknowledged(void)
{
    struct net_address where;
    struct connection c;
    const int small = 8192;
    int ends[2], listener = listen_on("127.0.0.1", &where);

    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ok(connect_both(&c, listener, &where, NULL), "a connection");
    setsockopt(c.own, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    is_int(net_unacknowledged(c.own), 0, "nothing sent: nothing unacknowledged");
    ok(send(c.own, "hello", 5, 0) == 5 && becomes_unacknowledged(c.own, 0),
       "a little sent: the peer's kernel acknowledges it, unread");
    size_t waiting = fill(c.own, c.accepted) + 5;
    ok(waiting > 0 && becomes_unacknowledged(c.own, waiting),
       "a peer that does not read: %zu bytes unacknowledged", waiting);
    is_int(net_unacknowledged(c.accepted), 0, "... not on its own side");
    shutdown(c.own, SHUT_WR);
    ok(becomes_unacknowledged(c.own, waiting + 1), "the end of stream counts as one");
    drain(c.accepted);
    ok(becomes_unacknowledged(c.own, 0), "all read: nothing is unacknowledged");
    close_both(&c);
    is_int(net_unacknowledged(-1), 0, "no socket: 0");
    is_int(net_unacknowledged(listener), 0, "a listener: 0");
    close(listener);
    if (pipe(ends) == -1) {
        abort();
    }
    is_int(net_unacknowledged(ends[0]), 0, "a pipe: 0");
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    alarm(20); /* whatever blocks ends the test */
    test_numeric();
    test_text();
    test_split();
    test_accept_class();
    test_round_trip("127.0.0.1");
    test_round_trip("::1");
    test_dual_stack();
    test_health_check();
    test_connect_fails();
    test_listen_fails();
    test_accept_fails();
    test_listen_options();
    test_port_again();
    test_unacknowledged();
    return done();
}
