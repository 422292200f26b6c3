/* Addresses, and real sockets on loopback with ports of the kernel's choice. */
#include "io/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "fds.h"
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

    group("numeric '%s'", host);
    ok(net_numeric(host, port, &address), "it is an address");
    is_int(address.storage.ss_family, family, "its family is right");
    is_int(address.length,
           family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
           "its length is its family's");
    is_str(text_of(&address), wanted, "its text is %s", wanted);
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
    group("numeric");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ok(!net_numeric(bad[i], 7, &address), "'%s' is not numeric", bad[i]);
    }
    ok(!net_numeric("fe80::1%lo", 7, &address), "a zone is the resolver's business");
}

static void test_text(void)
{
    char out[NET_ADDRESS_TEXT + 1];
    struct net_address address;

    group("text");
    memset(&address, 0, sizeof address);
    is_str(text_of(&address), "?", "of no family: ?");
    address.storage.ss_family = AF_UNIX;
    is_str(text_of(&address), "?", "of another family: ?");

    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(65535), .sin6_scope_id = UINT32_MAX};
    memset(&v6.sin6_addr, 0xff, sizeof v6.sin6_addr);
    memcpy(&address.storage, &v6, sizeof v6);
    address.length = sizeof v6;
    memset(out, CANARY, sizeof out);
    ok(net_address_text(&address, out) == out, "the buffer is returned");
    is_str(out, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535",
           "the longest one is whole");
    is_int(out[NET_ADDRESS_TEXT], CANARY, "the longest one fits");
    net_numeric("fe80::1", 7, &address);
    is_str(text_of(&address), "[fe80::1]:7", "of a link-local address without a zone");
    memcpy(&v6, &address.storage, sizeof v6);
    v6.sin6_scope_id = 3;
    memcpy(&address.storage, &v6, sizeof v6);
    is_str(text_of(&address), "[fe80::1%3]:7",
           "of a link-local address with a zone, as its number");

    is_str(net_local_text(-1, out), "?", "of no socket's local address: ?");
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == -1) {
        abort();
    }
    is_str(net_local_text(pair[0], out), "?", "of a Unix socket's local address: ?");
    close(pair[0]);
    close(pair[1]);
}

static void test_collide(void)
{
    static const struct {
        const char *a, *b;
        bool wanted;
    } cases[] = {
        {"127.0.0.1:7", "127.0.0.1:7", true},
        {"127.0.0.1:7", "127.0.0.1:8", false},
        {"127.0.0.1:7", "127.0.0.2:7", false},
        {"127.0.0.1:7", "0.0.0.0:7", true},
        {"127.0.0.1:7", "[::]:7", true},
        {"127.0.0.1:7", "[::ffff:127.0.0.1]:7", true},
        {"127.0.0.1:7", "[::1]:7", false},
        {"[::1]:7", "[::1]:7", true},
        {"[::1]:7", "[::2]:7", false},
        {"[::1]:7", "0.0.0.0:7", false},
        {"[::1]:7", "[::]:7", true},
        {"0.0.0.0:7", "[::]:7", true},
        {"0.0.0.0:7", "[::ffff:1.2.3.4]:7", true},
        {"[::]:7", "[::]:8", false},
    };

    group("collide");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_address a, b;
        bool is_good = net_numeric_port(cases[i].a, &a) && net_numeric_port(cases[i].b, &b);

        ok(is_good && net_collide(&a, &b) == cases[i].wanted &&
               net_collide(&b, &a) == cases[i].wanted,
           "%s and %s: %d", cases[i].a, cases[i].b, cases[i].wanted);
    }
}

static void splits(const char *text, const char *host, uint16_t port)
{
    char got[NET_HOST_TEXT] = "";
    uint16_t got_port = 0;
    const char *error = net_split(text, got, &got_port);

    group("split '%.40s'", text);
    ok(error == NULL, "it can be split");
    is_str(got, host, "its host is %s", host);
    is_int(got_port, port, "its port is %d", port);
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
        "tcp://host:7",
        "http://host",
        "tcp://[::1]:7",
        "://host:7",
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
    group("split");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *error = net_split(bad[i], host, &port);
        ok(error != NULL && *error != '\0' && strchr(error, '\n') == NULL,
           "'%s' cannot be split", bad[i]);
    }

    memset(text, 'h', sizeof text);
    strcpy(text + NET_HOST_TEXT - 1, ":7");
    memset(host, CANARY, sizeof host);
    ok(net_split(text, host, &port) == NULL, "the longest host is taken");
    ok(strlen(host) == NET_HOST_TEXT - 1 && memcmp(host, text, NET_HOST_TEXT - 1) == 0,
       "the longest host is whole");
    text[NET_HOST_TEXT - 1] = 'h';
    strcpy(text + NET_HOST_TEXT, ":7");
    memset(host, CANARY, sizeof host);
    ok(net_split(text, host, &port) != NULL, "a host of one byte more is refused");
    is_int(host[NET_HOST_TEXT], CANARY, "a host of one byte more is not written");
    text[0] = '[';
    strcpy(text + NET_HOST_TEXT + 1, "]:7");
    ok(net_split(text, host, &port) != NULL,
       "a host of one byte more in brackets is refused");
    is_int(host[NET_HOST_TEXT], CANARY,
           "a host of one byte more in brackets is not written");
}

static void test_accept_class(void)
{
    group("net_accept_class");
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

static bool wait_for(int fd, short events)
{
    return fds_poll(fd, events, PATIENCE_MS) != 0;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t length = sizeof value;

    return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
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

/* A read ends before the urgent byte, and the next one takes it. */
static void test_urgent(int from, int to)
{
    char bytes[8] = "";
    size_t used = 0;

    ok(send(from, "ab", 2, 0) == 2 && send(from, "c", 1, MSG_OOB) == 1 &&
           send(from, "de", 2, 0) == 2,
       "an urgent byte is sent between others");
    for (int reads = 0; used < 5 && reads < 5 && wait_for(to, POLLIN); reads++) {
        ssize_t n = recv(to, bytes + used, sizeof bytes - 1 - used, 0);

        used += n > 0 ? (size_t)n : 0;
    }
    is_str(bytes, "abcde", "it comes in its place");
}

static void test_round_trip(const char *host)
{
    struct net_address where, nobody;
    struct connection c;
    char text[NET_ADDRESS_TEXT], own[NET_ADDRESS_TEXT], byte = 0;
    int listener = listen_on(host, &where);

    group("round trip over %s", host);
    if (listener == -1) {
        skip("cannot listen on %s here", host);
        return;
    }
    ok(fds_is_careful(listener), "the listener is close-on-exec and non-blocking");
    ok(port_of(listener) != 0, "the listener has a port");
    is_str(net_local_text(listener, text), text_of(&where),
           "the listener's text is its address");
    errno = 0;
    is_int(net_accept(listener, &nobody), -1, "nobody comes: nothing is accepted");
    is_int(net_accept_class(errno), NET_ACCEPT_EMPTY,
           "nobody comes: errno says that the queue is empty");
    if (!ok(connect_both(&c, listener, &where, NULL),
            "a connection is made and accepted")) {
        return;
    }
    ok(fds_is_careful(c.own), "the client's socket is close-on-exec and non-blocking");
    ok(fds_is_careful(c.accepted), "the accepted one is close-on-exec and non-blocking");
    is_int(option(c.accepted, IPPROTO_TCP, TCP_NODELAY), 1,
           "the accepted one has TCP_NODELAY");
    is_int(option(c.accepted, SOL_SOCKET, SO_KEEPALIVE), 1,
           "the accepted one has keepalive");
    is_int(option(c.accepted, SOL_SOCKET, SO_OOBINLINE), 1,
           "the accepted one has urgent bytes in line");
    is_int(option(c.own, SOL_SOCKET, SO_OOBINLINE), 1,
           "the client's has urgent bytes in line");
    is_str(text_of(&c.peer), net_local_text(c.own, own),
           "net_accept() says where it comes from");
    is_str(net_local_text(c.accepted, text), text_of(&where),
           "the accepted one's own end is the listener's address");
    ok(send(c.own, "x", 1, 0) == 1 && wait_for(c.accepted, POLLIN) &&
           recv(c.accepted, &byte, 1, 0) == 1 && byte == 'x',
       "a byte goes through");
    test_urgent(c.own, c.accepted);
    test_urgent(c.accepted, c.own);
    close_both(&c);
    close(listener);
}

static void test_dual_stack(void)
{
    struct net_address where, v4, v6;
    struct connection c;
    char own[NET_ADDRESS_TEXT];
    int listener = listen_on("::", &where);

    group("listening on '::'");
    if (listener == -1) {
        skip("no IPv6 here");
        return;
    }
    net_numeric("127.0.0.1", port_of(listener), &v4);
    ok(connect_both(&c, listener, &v4, NULL), "it takes IPv4");
    is_str(text_of(&c.peer), net_local_text(c.own, own), "an IPv4 peer prints as IPv4");
    ok(strncmp(own, "127.0.0.1:", 10) == 0, "an IPv4 peer is of 127.0.0.1: %s", own);
    close_both(&c);
    ok(connect_both(&c, listener, &v4, "127.8.6.2"), "it takes another IPv4 source");
    ok(strncmp(text_of(&c.peer), "127.8.6.2:", 10) == 0, "that source prints as IPv4: %s",
       text_of(&c.peer));
    close_both(&c);
    net_numeric("::1", port_of(listener), &v6);
    if (connect_both(&c, listener, &v6, NULL)) {
        close_both(&c);
        ok(connect_both(&c, listener, &v6, "::1"), "it takes an IPv6 source");
        ok(strncmp(text_of(&c.peer), "[::1]:", 6) == 0, "an IPv6 source prints as IPv6: %s",
           text_of(&c.peer));
    } else {
        skip("no ::1 here");
    }
    close_both(&c);
    close(listener);
}

static void test_abstract(void)
{
    static const char name[] = "echolab-net-test";
    struct net_address peer;
    struct stat file;
    char byte = 0, text[NET_ADDRESS_TEXT];

    group("a UNIX socket with an abstract name");
    is_int(net_connect_abstract(name), -1, "nobody listens: no connection");
    is_int(errno, ECONNREFUSED, "nobody listens: refused");
    int listener = net_listen_abstract(name, 4);
    ok(listener != -1, "it can be listened on");
    ok(fds_is_careful(listener), "the listener is close-on-exec and non-blocking");
    is_int(stat(name, &file), -1, "there is no file of that name");
    is_int(net_listen_abstract(name, 4), -1, "a second listener: no");
    is_int(errno, EADDRINUSE, "a second listener: the name is taken");
    int own = net_connect_abstract(name);
    ok(own != -1 && fds_is_careful(own), "it connects, close-on-exec and non-blocking");
    int accepted = net_accept(listener, &peer);
    ok(accepted != -1 && fds_is_careful(accepted), "it is accepted like others");
    is_str(net_address_text(&peer, text), "?", "the peer has no address");
    ok(send(own, "x", 1, 0) == 1 && wait_for(accepted, POLLIN) &&
           recv(accepted, &byte, 1, 0) == 1 && byte == 'x',
       "a byte goes through");
    is_int(net_unacknowledged(own), 0, "nothing is on the way any more");
    close(own);
    close(accepted);
    close(listener);
    is_int(net_connect_abstract(name), -1, "the name goes with the listener");

    char longest[NET_ABSTRACT_TEXT];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    listener = net_listen_abstract(longest, 4);
    own = net_connect_abstract(longest);
    ok(listener != -1 && own != -1, "the longest name has room");
    close(own);
    close(listener);
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

    group("net_connect");
    net_numeric("192.0.2.1", 0, &strange);
    is_int(outcome(&where), 0, "somebody listens: 0");
    close(listener);
    is_int(outcome(&where), ECONNREFUSED, "nobody listens: ECONNREFUSED");
    errno = 0;
    is_int(net_connect(&where, &strange), -1, "a source that is not ours fails");
    is_int(errno, EADDRNOTAVAIL, "a source that is not ours: errno is bind's");
    fds_exhaust(true);
    errno = 0;
    int fd = net_connect(&where, NULL);
    int error = errno;
    fds_exhaust(false);
    is_int(fd, -1, "no descriptor left: it fails");
    is_int(error, EMFILE, "no descriptor left: errno is socket's");
    is_int(net_connect_result(-1), EBADF, "the result of no socket is EBADF");
    is_int(net_error(-1), EBADF, "the error of no socket is EBADF");
    is_int(fds_open(), before, "no failure leaves a descriptor open");
}

/* A socket whose own port is the one that it connects to. Returns -1 if there is no such
 * address here. */
static int connect_to_itself(const char *host, struct net_address *where)
{
    struct net_address any;
    int fd;

    net_numeric(host, 0, &any);
    fd = socket(any.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1 || bind(fd, (const struct sockaddr *)&any.storage, any.length) == -1) {
        close(fd);
        return -1;
    }
    net_numeric(host, port_of(fd), where);
    if (connect(fd, (const struct sockaddr *)&where->storage, where->length) == -1) {
        abort();
    }
    return fd;
}

static void test_own_peer(const char *host)
{
    struct net_address where;
    char error[NET_ERROR_TEXT], byte = 0;
    int fd = connect_to_itself(host, &where);

    group("a socket connected to itself over %s", host);
    if (fd == -1) {
        skip("no such address here");
        return;
    }
    ok(send(fd, "x", 1, 0) == 1 && recv(fd, &byte, 1, 0) == 1 && byte == 'x',
       "it echoes, as no server does");
    is_int(net_error(fd), 0, "no error waits on it");
    is_int(net_connect_result(fd), ECONNREFUSED, "its connect was refused");
    close(fd);
    int listener = net_listen(host, net_port(&where), 16, 0, error);
    ok(listener != -1, "its port is free as soon as it is closed");
    close(listener);
}

static void fails_to_listen(const char *address, uint16_t port, int wanted,
                            const char *part)
{
    char error[NET_ERROR_TEXT + 1];
    int before = fds_open();

    group("net_listen on '%.40s'", address);
    memset(error, CANARY, sizeof error);
    errno = 0;
    int fd = net_listen(address, port, 16, 0, error);
    int got = errno;
    is_int(fd, -1, "it fails");
    is_int(got, wanted, "errno is %s", strerror(wanted));
    is_int(error[NET_ERROR_TEXT], CANARY, "the text fits");
    error[NET_ERROR_TEXT] = '\0';
    ok(strchr(error, '\n') == NULL && strstr(error, part) != NULL,
       "the text is one line with '%.40s': %s", part, error);
    is_int(fds_open(), before, "no descriptor is left open");
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
    fds_exhaust(true);
    errno = 0;
    int fd = net_listen("127.0.0.1", 0, 16, 0, name);
    int error = errno;
    fds_exhaust(false);
    group("net_listen with no descriptor left");
    is_int(fd, -1, "it fails");
    is_int(error, EMFILE, "errno is socket's");
    ok(strstr(name, strerror(EMFILE)) != NULL, "the text says why: %s", name);
}

static void test_accept_fails(void)
{
    struct net_address where, peer;
    int listener = listen_on("127.0.0.1", &where);
    int own = net_connect(&where, NULL);

    group("net_accept with no descriptor left");
    ok(wait_for(listener, POLLIN), "somebody comes");
    fds_exhaust(true);
    errno = 0;
    int fd = net_accept(listener, &peer);
    int error = errno;
    fds_exhaust(false);
    is_int(fd, -1, "it fails");
    is_int(error, EMFILE, "errno is accept's");
    fd = net_accept(listener, &peer);
    ok(fd >= 0, "they still wait once there is one");
    close(fd);
    close(own);
    close(listener);
    group("net_accept of no listener");
    errno = 0;
    is_int(net_accept(-1, &peer), -1, "it fails");
    is_int(errno, EBADF, "errno is EBADF");
}

static void test_listen_options(void)
{
    struct net_address where;
    struct connection c;
    struct tcp_info info;
    socklen_t length = sizeof info;
    char error[NET_ERROR_TEXT];
    int listener = net_listen("127.0.0.1", 0, 3, 1500, error);

    group("a listener's options");
    net_numeric("127.0.0.1", port_of(listener), &where);
    memset(&info, 0, sizeof info);
    getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length);
    is_int(info.tcpi_sacked, 3,
           "the backlog is the one asked for"); /* ss(8) calls it Send-Q */
    ok(connect_both(&c, listener, &where, NULL),
       "a listener with a user timeout takes a connection");
    is_int(option(c.accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 1500,
           "its connection has the user timeout");
    close_both(&c);
    close(listener);

    listener = listen_on("127.0.0.1", &where);
    ok(connect_both(&c, listener, &where, NULL),
       "a listener without a user timeout takes a connection");
    is_int(option(c.accepted, IPPROTO_TCP, TCP_USER_TIMEOUT), 0,
           "its connection has the kernel's");
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

    group("the port of a stopped server");
    connect_both(&c, listener, &where, NULL);
    close(listener);
    close(c.accepted); /* the server closes first: its end goes to TIME_WAIT */
    close(c.own);
    listener = net_listen("127.0.0.1", port, 16, 0, error);
    ok(listener != -1, "it can be had again %s", error);
    close(listener);
}

/* ---- unacknowledged bytes --------------------------------------------------------------
 */

static bool becomes_unacknowledged(int fd, size_t wanted)
{
    uint64_t end = clock_now_ns() + PATIENCE_MS * CLOCK_MS;

    while (net_unacknowledged(fd) != wanted) {
        if (clock_now_ns() > end) {
            diag("got %zu, expected %zu", net_unacknowledged(fd), wanted);
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

    group("net_unacknowledged");
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    ok(connect_both(&c, listener, &where, NULL), "a connection is made");
    setsockopt(c.own, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    is_int(net_unacknowledged(c.own), 0, "nothing sent: 0");
    ok(send(c.own, "hello", 5, 0) == 5 && becomes_unacknowledged(c.own, 0),
       "a little sent: the peer's kernel acknowledges it, unread: 0");
    size_t waiting = fill(c.own, c.accepted) + 5;
    ok(waiting > 0 && becomes_unacknowledged(c.own, waiting),
       "a peer that does not read: %zu bytes", waiting);
    is_int(net_unacknowledged(c.accepted), 0,
           "a peer that does not read: 0 on its own side");
    shutdown(c.own, SHUT_WR);
    ok(becomes_unacknowledged(c.own, waiting + 1), "the end of stream counts as one");
    drain(c.accepted);
    ok(becomes_unacknowledged(c.own, 0), "all read: 0");
    close_both(&c);
    is_int(net_unacknowledged(-1), 0, "of no socket: 0");
    is_int(net_unacknowledged(listener), 0, "of a listener: 0");
    close(listener);
    if (pipe(ends) == -1) {
        abort();
    }
    is_int(net_unacknowledged(ends[0]), 0, "of a pipe: 0");
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    alarm(20); /* whatever blocks ends the test */
    test_numeric();
    test_text();
    test_collide();
    test_split();
    test_accept_class();
    test_round_trip("127.0.0.1");
    test_round_trip("::1");
    test_dual_stack();
    test_abstract();
    test_connect_fails();
    test_own_peer("127.0.0.1");
    test_own_peer("::1");
    test_own_peer("::ffff:127.0.0.1");
    test_listen_fails();
    test_accept_fails();
    test_listen_options();
    test_port_again();
    test_unacknowledged();
    return done();
}
