/* The client's verifier against a server that does anything: right bytes are taken however
 * they are cut, and the first wrong one is found at its place. */
#include "load/load_stream.h"

#include <stdbool.h>
#include <string.h>

#include "fuzz.h"

#define PIPELINE_MAX 8
#define BYTES_MAX    65536

static struct load_shape shape;
static struct load_flight flights[PIPELINE_MAX];
static struct load_stream stream;

/* All bytes of all messages begun, in order; and how far each side is. */
static unsigned char whole[BYTES_MAX];
static uint64_t begun, sent, received;
static uint64_t now_ns;

/* What a message's bytes are, a second stream tells, which has an ideal server. */
static void learn(void)
{
    static struct load_flight shadow_flights[PIPELINE_MAX];
    static struct load_stream shadow;
    size_t taken = shape.size;

    if (begun == 0) {
        shadow = (struct load_stream){.connection = stream.connection,
                                      .flights = shadow_flights};
    }
    unsigned char *message = whole + begun * shape.size;
    load_stream_begin(&shape, &shadow, 1, 1);
    PROMISE(load_stream_fill(&shape, &shadow, message, shape.size) == shape.size);
    load_stream_sent(&shape, &shadow, shape.size);
    PROMISE(load_stream_receive(&shape, &shadow, message, &taken, 1) == LOAD_COMPLETE);
    begun++;
}

static void begin(void)
{
    if (load_stream_under_way(&stream) < shape.pipeline &&
        (begun + 1) * shape.size <= BYTES_MAX) {
        learn();
        now_ns++;
        load_stream_begin(&shape, &stream, now_ns - below(2), now_ns);
    }
}

static void send_some(void)
{
    static unsigned char out[BYTES_MAX];
    size_t length = load_stream_fill(&shape, &stream, out, 1 + below(1024));

    PROMISE(length <= begun * shape.size - sent);
    PROMISE(memcmp(out, whole + sent, length) == 0);
    PROMISE((length == 0) == load_stream_is_sent(&stream));
    if (length > 0) {
        size_t taken = below((unsigned)length + 1);

        load_stream_sent(&shape, &stream, taken);
        sent += taken;
    }
}

/* What the server says next: a right piece, perhaps changed, perhaps with more behind it.
 */
static size_t answer(unsigned char *out)
{
    size_t there = (size_t)(sent - received), length = below(1024);

    length = length < there ? length : there;
    memcpy(out, whole + received, length);
    switch (below(8)) {
    case 1: /* a bit flipped */
        if (length > 0) {
            out[below((unsigned)length)] ^= (unsigned char)(1U << below(8));
        }
        break;
    case 2: /* a piece left out */
        if (length > 1) {
            size_t from = below((unsigned)length), n = 1 + below((unsigned)(length - from));

            memmove(out + from, out + from + n, length - from - n);
            length -= n;
        }
        break;
    case 3: /* a piece twice, or one of another place */
        if (length > 0) {
            size_t from = below((unsigned)length), n = 1 + below((unsigned)(length - from));

            memcpy(out + length, out + from, n);
            length += n;
        }
        break;
    case 4: /* anything */
        out[length++] = (unsigned char)below(256);
        break;
    default:
        break;
    }
    return length;
}

static void give_up(void)
{
    load_stream_give_up(&stream);
    PROMISE(load_stream_under_way(&stream) == 0);
    sent = received = begun * shape.size;
}

/* Give the bytes to the stream and see that it judges each of them as the model does. */
static void receive(void)
{
    static unsigned char bytes[2 * BYTES_MAX];
    char text[LOAD_STREAM_TEXT];
    size_t length = answer(bytes), at = 0;

    while (at < length) {
        size_t taken = length - at, right = 0;
        enum load_verdict expected = LOAD_PART;

        now_ns++;
        for (; right < taken && expected == LOAD_PART; right++) {
            uint64_t place = received + right;

            if (place == begun * shape.size) {
                expected = LOAD_SURPLUS;
                break;
            }
            /* The control: a model that thinks nothing of the highest bit. */
            if (shape.verify &&
                ((bytes[at + right] ^ whole[place]) & (FUZZ_CONTROL ? 0x7f : 0xff)) != 0) {
                expected = LOAD_WRONG;
                break;
            }
            if ((place + 1) % shape.size == 0) {
                expected = LOAD_COMPLETE;
            }
        }
        PROMISE(right > 0 || expected != LOAD_PART);
        enum load_verdict got =
            load_stream_receive(&shape, &stream, bytes + at, &taken, now_ns);
        PROMISE(got == expected);
        if (got == LOAD_SURPLUS) {
            give_up();
            return;
        }
        PROMISE(taken == right);
        if (got == LOAD_WRONG) {
            load_stream_describe(&shape, &stream, bytes + at, length - at, taken, begun,
                                 text);
            PROMISE(memchr(text, '\0', sizeof text) != NULL && text[0] != '\0');
            give_up();
            return;
        }
        if (got == LOAD_COMPLETE) {
            const struct load_flight *flight = load_stream_completed(&shape, &stream);

            PROMISE(flight->first_ns <= now_ns && flight->sent_ns <= flight->first_ns &&
                    flight->due_ns <= flight->sent_ns);
        }
        received += taken;
        at += taken;
        /* What came before it was sent would be a wrong guess of the server's. */
        sent = sent < received ? received : sent;
        if (sent == received && !load_stream_is_sent(&stream)) {
            give_up();
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    fuzz_bytes = bytes;
    fuzz_left = length;
    shape = (struct load_shape){.seed = below(256),
                                .size = 1 + (below(4) == 0 ? below(2000) : below(20)),
                                .pipeline = 1 + below(PIPELINE_MAX),
                                .connections = 3,
                                .verify = below(8) != 1};
    stream = (struct load_stream){.connection = below(3), .flights = flights};
    memset(flights, 0, sizeof flights);
    begun = sent = received = 0;
    now_ns = 1;
    while (fuzz_left > 0) {
        switch (below(4)) {
        case 0:
            begin();
            break;
        case 1:
            send_some();
            break;
        default:
            receive();
            break;
        }
        PROMISE(load_stream_under_way(&stream) <= shape.pipeline);
        PROMISE(load_stream_under_way(&stream) == begun - received / shape.size);
    }
    return 0;
}
