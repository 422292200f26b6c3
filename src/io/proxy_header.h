/* proxy_header: the header by which a proxy tells whose connection it passes on: the PROXY
 * protocol, versions 1 and 2 (https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt).
 *
 * Pure: nothing here knows a socket. The bytes of a header may arrive in any pieces: a
 * judgement is made at the first byte that allows one, so it is the same however the bytes
 * were cut. What the specification leaves open is decided so:
 * - The line of version 1 is decoded when its CRLF is there. UNKNOWN is followed by CRLF or
 *   a blank; what stands behind it is ignored.
 * - The block of LOCAL and of an unspecified family or protocol is passed over unread, as
 *   the specification wants it. Of other blocks the TLVs must fill the rest exactly. Their
 *   types do not matter, except the checksum (CRC32C), which must be right, and of which
 *   there is one at most.
 * - Datagrams are taken like streams: the client's address is the same.
 * - A header is at most PROXY_HEADER_MAX bytes long, a longer one is wrong. */
#ifndef ECHOLAB_PROXY_HEADER_H
#define ECHOLAB_PROXY_HEADER_H

#include <stddef.h>

#include "io/net.h"

/* The longest header; longer ones have no use: their sender has to send them at once. */
#define PROXY_HEADER_MAX 4096

/* The longest header that proxy_header_print() makes: a line of version 1. */
#define PROXY_HEADER_PRINTED 108

enum proxy_verdict {
    PROXY_INCOMPLETE, /* more bytes are needed */
    PROXY_GOOD,
    PROXY_WRONG,
};

struct proxy_header {
    unsigned length;           /* PROXY_GOOD: of the whole header */
    struct net_address source; /* and the client's address; of length 0 where there is none:
                                  LOCAL, UNKNOWN or a UNIX socket */
    unsigned wrong_at;         /* PROXY_WRONG: offset of what is wrong: the field's first
                                  byte */
};

/* Judge the first `length` bytes of a connection. It is enough to have PROXY_HEADER_MAX. */
enum proxy_verdict proxy_header_judge(const unsigned char *bytes, size_t length,
                                      struct proxy_header *header);

/* Write a header of version 1 or 2 for a connection from `source` to `destination`, both of
 * the same family, without its TLVs. Returns its length. */
size_t proxy_header_print(int version, const struct net_address *source,
                          const struct net_address *destination,
                          unsigned char out[PROXY_HEADER_PRINTED]);

#endif
