/* net: TCP sockets and addresses. Every socket it makes is non-blocking and close-on-exec.
 *
 * Nothing here logs: a function that fails leaves one line of text in the caller's error
 * buffer, or errno where its comment says so. */
#ifndef ECHOLAB_NET_H
#define ECHOLAB_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Enough for every text of net_address_text(): [v6%zone]:port. */
#define NET_ADDRESS_TEXT 72

/* Enough for every text in an error buffer. */
#define NET_ERROR_TEXT 256

/* The longest name of a host, and its NUL (RFC 1035: 253 characters; with room for a zone).
 */
#define NET_HOST_TEXT 256

/* The server's own health check connects from this loopback address, so that its
 * connections can be told from others'. (TCP's echo service is RFC 862.) */
#define NET_HEALTH_CHECK_SOURCE "127.8.6.2"

struct net_address {
    socklen_t length;
    struct sockaddr_storage storage;
};

/* What the loop should do after accept() failed with a given errno. */
enum net_accept_class {
    NET_ACCEPT_EMPTY, /* EAGAIN: nothing waits */
    NET_ACCEPT_NEXT, /* that one connection failed before we took it: go on with the next */
    NET_ACCEPT_PAUSE, /* no descriptors or memory: a retry at once would spin */
};

/* Make an address from the text of a numeric one (IPv4 or IPv6) and a port. Returns false
 * when the text is neither (an IPv6 zone, fe80::1%eth0, is the resolver's business). */
bool net_numeric(const char *host, uint16_t port, struct net_address *address);

/* Split "host:port" or "[v6]:port". `host` has NET_HOST_TEXT bytes. Returns NULL, or what
 * is wrong with the text; port 0 is wrong, too: nobody can connect to it. */
const char *net_split(const char *text, char *host, uint16_t *port);

/* The port of an address. */
uint16_t net_port(const struct net_address *address);

/* Print an address as 192.0.2.1:7 or [2001:db8::1]:7 into NET_ADDRESS_TEXT bytes; an IPv4
 * address that came through an IPv6 socket prints as IPv4, a zone as its number. Returns
 * `out`. */
char *net_address_text(const struct net_address *address, char *out);

/* The address a socket is bound to, as text (getsockname(2)); "?" if that fails. */
char *net_local_text(int fd, char *out);

/* Does the connection come from NET_HEALTH_CHECK_SOURCE? */
bool net_is_health_check(const struct net_address *peer);

/* Open a listening socket on a numeric address. "::" takes IPv4, too (dual-stack). The
 * connections that it accepts have TCP_NODELAY set. `backlog` is the length of the queue of
 * connections not yet accepted (listen(2); the kernel cuts it at net.core.somaxconn). The
 * connections inherit TCP_USER_TIMEOUT, `user_timeout_ms` without an acknowledgement (0:
 * the kernel's default), and keepalive (tcp(7)). Returns the descriptor, or -1 with `error`
 * filled and errno set. */
int net_listen(const char *address, uint16_t port, int backlog, uint64_t user_timeout_ms,
               char error[NET_ERROR_TEXT]);

/* Accept one connection. Returns its descriptor, or -1 with errno set (accept(2)). */
int net_accept(int listener, struct net_address *peer);

/* Which class an errno of accept(2) belongs to. */
enum net_accept_class net_accept_class(int error);

/* Open a socket and begin to connect it; `source` may be NULL or the address to come from,
 * of the same family. Its port is chosen when the connection is made, where the kernel can
 * do that, so that ports are shared between destinations (ip(7), IP_BIND_ADDRESS_NO_PORT).
 * Returns the descriptor, to
 * be polled for POLLOUT and asked by net_connect_result(), or -1 with errno set. */
int net_connect(const struct net_address *address, const struct net_address *source);

/* How the connect ended: 0 or an errno (SO_ERROR, connect(2)). */
int net_connect_result(int fd);

/* Bytes that were taken by send() and that the peer has not acknowledged; the end of stream
 * counts as one (tcp(7), SIOCOUTQ). 0 when that cannot be told. */
size_t net_unacknowledged(int fd);

#endif
