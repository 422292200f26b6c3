/* proxy_decoder: a second, simple decoder of PROXY headers, for tests: it sees all bytes at
 * once and was written from the specification, not from src/. */
#ifndef ECHOLAB_PROXY_DECODER_H
#define ECHOLAB_PROXY_DECODER_H

#include <stddef.h>

/* Decode the header that `length` bytes begin with. Returns its length, with its source as
 * "203.0.113.7 4711", "2001:db8::1 80" (as inet_ntop() has it) or "-" in `source`, of 64
 * bytes; 0: these are, so far, only a part of one; -1: they begin with none. */
long proxy_decode(const unsigned char *bytes, size_t length, char *source);

/* CRC32C from a table, the other way to compute it. */
unsigned proxy_crc32c(const unsigned char *bytes, size_t length);

#endif
