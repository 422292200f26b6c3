/* net: TCP sockets and addresses, and UNIX sockets by a name of the abstract kind. Every
 * socket it makes is non-blocking and close-on-exec. An urgent byte (MSG_OOB, a telnet's
 * interrupt) is a byte of the stream like others, in its place (SO_OOBINLINE, tcp(7)). A
 * recv(2) ends before it, so that a read that did not fill its buffer may leave bytes
 * behind; the next one takes them.
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

/* Make an address from the text "address:port" or "[v6]:port"; port 0 may be one that the
 * kernel chooses. Returns false when the text is neither. */
bool net_numeric_port(const char *text, struct net_address *address);

/* Connections that wait in a listener's backlog (TCP_INFO, tcp(7)); 0 if that cannot be
 * told. */
unsigned net_backlog(int listener);

/* The port of an address. */
uint16_t net_port(const struct net_address *address);

/* Can only one of two listeners have its address? The port is the same, and the address,
 * too, or one of them is 0.0.0.0, which stands for all of IPv4, or ::, for all. */
bool net_collide(const struct net_address *a, const struct net_address *b);

/* Print an address as 192.0.2.1:7 or [2001:db8::1]:7 into NET_ADDRESS_TEXT bytes; an IPv4
 * address that came through an IPv6 socket prints as IPv4, a zone as its number. Returns
 * `out`. */
char *net_address_text(const struct net_address *address, char *out);

/* The address a socket is bound to, as text (getsockname(2)); "?" if that fails. */
char *net_local_text(int fd, char *out);

/* Open a listening socket on a numeric address. "::" takes IPv4, too (dual-stack). The
 * connections that it accepts have TCP_NODELAY set. `backlog` is the length of the queue of
 * connections not yet accepted (listen(2); the kernel cuts it at net.core.somaxconn). The
 * connections inherit TCP_USER_TIMEOUT, `user_timeout_ms` without an acknowledgement (0:
 * the kernel's default), and keepalive (tcp(7)). Returns the descriptor, or -1 with `error`
 * filled and errno set. */
int net_listen(const char *address, uint16_t port, int backlog, uint64_t user_timeout_ms,
               char error[NET_ERROR_TEXT]);

/* The same on an address that was made before. */
int net_listen_at(const struct net_address *address, int backlog, uint64_t user_timeout_ms,
                  char error[NET_ERROR_TEXT]);

/* Make an open listening socket one like those of net_listen(). Returns false with `error`
 * filled when that fails; the socket stays open. */
bool net_adopt_listener(int fd, int backlog, uint64_t user_timeout_ms,
                        char error[NET_ERROR_TEXT]);

/* Accept one connection. Returns its descriptor, or -1 with errno set (accept(2)). */
int net_accept(int listener, struct net_address *peer);

/* Which class an errno of accept(2) belongs to. */
enum net_accept_class net_accept_class(int error);

/* Open a socket and begin to connect it; `source` may be NULL or the address to come from,
 * of the same family. Its port is chosen when the connection is made, where the kernel can
 * do that, so that ports are shared between destinations (ip(7), IP_BIND_ADDRESS_NO_PORT).
 * Returns the descriptor, to be polled for POLLOUT and asked by net_connect_result(), or -1
 * with errno set. */
int net_connect(const struct net_address *address, const struct net_address *source);

/* How the connect ended: 0 or an errno (connect(2)). A socket that connected to itself,
 * which happens to a port of the ephemeral range on which nobody listens, is ECONNREFUSED;
 * close() then leaves nothing of it, so that the port is free for a server. */
int net_connect_result(int fd);

/* What an errno of connecting, sending or receiving means here, for people: which limit of
 * this machine, if it is one; else strerror(3)'s text. */
const char *net_error_text(int error);

/* Is the address one of this machine's, to connect from? */
bool net_is_own(const struct net_address *address);

/* The error that waits on a socket, which is taken from it: 0 or an errno (SO_ERROR,
 * socket(7)). */
int net_error(int fd);

/* Listen on, or begin to connect to, a UNIX stream socket with a name in the abstract
 * namespace (unix(7)): it belongs to the network namespace, needs no file, and goes with
 * its last descriptor. `name` has at most NET_ABSTRACT_TEXT bytes with its NUL. Both return
 * the descriptor, or -1 with errno set (EADDRINUSE: somebody has the name). */
#define NET_ABSTRACT_TEXT 107
int net_listen_abstract(const char *name, int backlog);
int net_connect_abstract(const char *name);

/* Bytes that were taken by send() and that the peer has not acknowledged; the end of stream
 * counts as one (tcp(7), SIOCOUTQ). 0 when that cannot be told. */
size_t net_unacknowledged(int fd);

/* Remove `length` bytes, which were peeked at, from the kernel's receive buffer. `bytes` is
 * room for them; TCP drops them without a copy (MSG_TRUNC, tcp(7)). Returns false with
 * errno set when the connection has an error. */
bool net_drop(int fd, void *bytes, size_t length);

#endif
