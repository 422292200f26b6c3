#include "load/payload.h"

#include <string.h>

#define ODD  UINT64_C(0x9e3779b97f4a7c15) /* 2^64 divided by the golden ratio */
#define WORD sizeof(uint64_t)

/* Words that are computed and compared at a time. */
#define BLOCK_WORDS 128

/* The finalizer of SplitMix64 (Steele, Lea, Flood 2014) and its inverse. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t unmix(uint64_t x)
{
    x = (x ^ x >> 31 ^ x >> 62) * UINT64_C(0x319642b2d24d8ec3);
    x = (x ^ x >> 27 ^ x >> 54) * UINT64_C(0x96de1b173f119089);
    return x ^ x >> 30 ^ x >> 60;
}

uint64_t payload_key(uint64_t seed, uint32_t connection, uint64_t message)
{
    return mix(((uint64_t)connection << 40 | message) + seed);
}

/* Words [first, first + count) in the byte order of the wire. */
static void fill_words(unsigned char *out, uint64_t key, uint64_t first, size_t count)
{
    uint64_t word = key + first * ODD;

    for (size_t i = 0; i < count; i++, word += ODD) {
        uint64_t wire = word;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        wire = __builtin_bswap64(wire);
#endif
        memcpy(out + i * WORD, &wire, WORD);
    }
}

/* Compute the bytes at `offset`, as many as one block holds. Returns their number. */
static size_t fill_block(unsigned char block[BLOCK_WORDS * WORD], uint64_t key,
                         size_t offset, size_t length, const unsigned char **bytes)
{
    size_t skipped = offset % WORD;
    size_t most = BLOCK_WORDS * WORD - skipped;
    size_t count = length < most ? length : most;

    fill_words(block, key, offset / WORD, (skipped + count + WORD - 1) / WORD);
    *bytes = block + skipped;
    return count;
}

void payload_fill(void *out, uint64_t key, size_t offset, size_t length)
{
    unsigned char block[BLOCK_WORDS * WORD], *to = out;
    const unsigned char *bytes;

    while (length > 0) {
        size_t count = fill_block(block, key, offset, length, &bytes);

        memcpy(to, bytes, count);
        to += count;
        offset += count;
        length -= count;
    }
}

size_t payload_compare(const void *bytes, uint64_t key, size_t offset, size_t length)
{
    unsigned char block[BLOCK_WORDS * WORD];
    const unsigned char *from = bytes, *right;

    for (size_t done = 0; done < length;) {
        size_t count = fill_block(block, key, offset + done, length - done, &right);

        if (memcmp(from + done, right, count) != 0) {
            while (from[done] == *right) {
                done++;
                right++;
            }
            return done;
        }
        done += count;
    }
    return length;
}

void payload_origin(const void *bytes, uint64_t seed, size_t offset, uint32_t *connection,
                    uint64_t *message)
{
    uint64_t word;

    memcpy(&word, bytes, WORD);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    uint64_t number = unmix(word - offset / WORD * ODD) - seed;

    *connection = (uint32_t)(number >> 40);
    *message = number & (PAYLOAD_MESSAGES_MAX - 1);
}
