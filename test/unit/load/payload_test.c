#include "load/payload.h"

#include <string.h>

#include "tap.h"

enum { SIZE = 5000 };

static unsigned char whole[SIZE], part[SIZE];

static void parts_make_the_whole(uint64_t key)
{
    size_t lengths[] = {1, 7, 8, 9, 64, 1023, 1024, 1025, 2000};
    size_t offset = 0;

    group("parts");
    payload_fill(whole, key, 0, SIZE);
    for (size_t i = 0; offset < SIZE; i++) {
        size_t length = lengths[i % 9];

        length = length < SIZE - offset ? length : SIZE - offset;
        payload_fill(part + offset, key, offset, length);
        offset += length;
    }
    is_mem(part, whole, SIZE, "made in parts a payload is the same");
    is_int(payload_compare(whole, key, 0, SIZE), SIZE, "a payload is equal to itself");
    is_int(payload_compare(whole + 13, key, 13, 3000), 3000, "a part is equal to itself");
}

static void every_flipped_bit_is_found(uint64_t key)
{
    size_t missed = 0;

    group("words");
    payload_fill(whole, key, 0, SIZE);
    for (size_t bit = 0; bit < 8 * (size_t)SIZE; bit += 7) {
        whole[bit / 8] ^= (unsigned char)(1U << bit % 8);
        missed += payload_compare(whole, key, 0, SIZE) == bit / 8 ? 0 : 1;
        whole[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    is_int(missed, 0, "each flipped bit is found at its place");
}

static void no_message_looks_like_another(void)
{
    size_t same = 0;

    for (uint32_t c = 0; c < 30; c++) {
        for (uint64_t m = 0; m < 30; m++) {
            payload_fill(part, payload_key(1, c, m), 0, 64);
            same += payload_compare(part, payload_key(1, 7, 7), 0, 64) >= 8 &&
                    (c != 7 || m != 7);
            same += payload_compare(part, payload_key(2, c, m), 0, 64) >= 8;
        }
    }
    is_int(same, 0, "other connections, messages and seeds have other words");
}

static void a_word_tells_where_it_comes_from(void)
{
    size_t wrong = 0;

    for (uint32_t c = 0; c < PAYLOAD_CONNECTIONS_MAX; c += 99991) {
        for (uint64_t m = 0; m < PAYLOAD_MESSAGES_MAX; m += PAYLOAD_MESSAGES_MAX / 7 - 1) {
            uint32_t connection;
            uint64_t message;

            payload_fill(part, payload_key(42, c, m), 800, 8);
            payload_origin(part, 42, 800, &connection, &message);
            wrong += connection != c || message != m;
        }
    }
    is_int(wrong, 0, "a word tells its connection and message");
}

int main(void)
{
    parts_make_the_whole(payload_key(1, 2, 3));
    parts_make_the_whole(0);
    every_flipped_bit_is_found(payload_key(9, 8, 7));
    no_message_looks_like_another();
    a_word_tells_where_it_comes_from();
    return done();
}
