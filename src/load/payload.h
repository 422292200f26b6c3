/* payload: bytes that are unique to each message, and the origin of bytes in a wrong reply.
 *
 * Byte i of message m on connection c follows from i, m, c and a seed alone: nothing is
 * stored, and any part can be computed again and compared. In words of 8 bytes
 * (little-endian), word j is key + j * ODD modulo 2^64, where the key is an invertible
 * mixture of c, m and seed. So two messages differ in every word, and a whole word of a
 * reply identifies its message. */
#ifndef ECHOLAB_PAYLOAD_H
#define ECHOLAB_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of connections and messages are below these. */
#define PAYLOAD_CONNECTIONS_MAX (UINT32_C(1) << 24)
#define PAYLOAD_MESSAGES_MAX    (UINT64_C(1) << 40)

/* The key from which a message's bytes are computed. */
uint64_t payload_key(uint64_t seed, uint32_t connection, uint64_t message);

/* Write the bytes [offset, offset + length) of the message with this key. */
void payload_fill(void *out, uint64_t key, size_t offset, size_t length);

/* Compare received bytes with [offset, offset + length) of the message. Returns the number
 * of right bytes before the first wrong one; `length`: all are right. */
size_t payload_compare(const void *bytes, uint64_t key, size_t offset, size_t length);

/* Find the connection and message of the word in these 8 bytes, received at `offset` (a
 * multiple of 8) of a message. Any word gives an answer; the caller checks whether it makes
 * sense. */
void payload_origin(const void *bytes, uint64_t seed, size_t offset, uint32_t *connection,
                    uint64_t *message);

#endif
