/* payload: bytes that no other message has, and where strange bytes come from.
 *
 * Byte i of message m on connection c follows from these three and a seed alone: nothing is
 * stored, any part can be made anew and compared. In words of 8 bytes (little-endian), word
 * j is key + j * ODD modulo 2^64, where the key is an invertible mixture of c, m and seed:
 * two messages differ in every word, and a whole word of a reply tells which message it was
 * made for. */
#ifndef ECHOLAB_PAYLOAD_H
#define ECHOLAB_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Connections and messages are numbered below these. */
#define PAYLOAD_CONNECTIONS_MAX (UINT32_C(1) << 24)
#define PAYLOAD_MESSAGES_MAX    (UINT64_C(1) << 40)

/* What a message's bytes are made from. */
uint64_t payload_key(uint64_t seed, uint32_t connection, uint64_t message);

/* Write the bytes [offset, offset + length) of the message with this key. */
void payload_fill(void *out, uint64_t key, size_t offset, size_t length);

/* Compare received bytes with [offset, offset + length) of the message. Returns how many
 * are right before the first wrong one: `length` when all are. */
size_t payload_compare(const void *bytes, uint64_t key, size_t offset, size_t length);

/* Whose word are these 8 bytes, if they stood at `offset` (a multiple of 8) of a message?
 * Any word has an answer; whether it makes sense is for the caller to see. */
void payload_origin(const void *bytes, uint64_t seed, size_t offset, uint32_t *connection,
                    uint64_t *message);

#endif
