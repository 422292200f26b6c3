#include "load/load_stream.h"

#include <inttypes.h>

#include "base/format.h"
#include "load/payload.h"

uint64_t load_stream_under_way(const struct load_stream *stream)
{
    return stream->begun - stream->receiving;
}

static struct load_flight *flight(const struct load_shape *shape,
                                  const struct load_stream *stream, uint64_t message)
{
    return &stream->flights[message % shape->pipeline];
}

static uint64_t key(const struct load_shape *shape, const struct load_stream *stream,
                    uint64_t message)
{
    return payload_key(shape->seed, stream->connection, message);
}

void load_stream_begin(const struct load_shape *shape, struct load_stream *stream,
                       uint64_t due_ns, uint64_t now_ns)
{
    *flight(shape, stream, stream->begun++) =
        (struct load_flight){.due_ns = due_ns, .sent_ns = now_ns};
}

size_t load_stream_fill(const struct load_shape *shape, const struct load_stream *stream,
                        unsigned char *out, size_t capacity)
{
    size_t used = 0, offset = stream->sent_bytes;

    for (uint64_t n = stream->sending; n < stream->begun && used < capacity; n++) {
        size_t left = shape->size - offset, room = capacity - used;
        size_t length = left < room ? left : room;

        payload_fill(out + used, key(shape, stream, n), offset, length);
        used += length;
        offset = 0;
    }
    return used;
}

void load_stream_sent(const struct load_shape *shape, struct load_stream *stream,
                      size_t length)
{
    stream->sent_bytes += length;
    stream->sending += stream->sent_bytes / shape->size;
    stream->sent_bytes %= shape->size;
}

bool load_stream_is_sent(const struct load_stream *stream)
{
    return stream->sending == stream->begun;
}

enum load_verdict load_stream_receive(const struct load_shape *shape,
                                      struct load_stream *stream,
                                      const unsigned char *bytes, size_t *length,
                                      uint64_t now_ns)
{
    size_t left = shape->size - stream->received_bytes;
    size_t part = *length < left ? *length : left, right = part;

    if (load_stream_under_way(stream) == 0) {
        *length = 0;
        return LOAD_SURPLUS;
    }
    if (stream->received_bytes == 0) {
        flight(shape, stream, stream->receiving)->first_ns = now_ns;
    }
    if (shape->verify) {
        right = payload_compare(bytes, key(shape, stream, stream->receiving),
                                stream->received_bytes, part);
    }
    *length = right;
    if (right < part) {
        return LOAD_WRONG;
    }
    stream->received_bytes += part;
    if (stream->received_bytes < shape->size) {
        return LOAD_PART;
    }
    stream->receiving++;
    stream->received_bytes = 0;
    return LOAD_COMPLETE;
}

const struct load_flight *load_stream_receiving(const struct load_shape *shape,
                                                const struct load_stream *stream)
{
    return flight(shape, stream, stream->receiving);
}

const struct load_flight *load_stream_completed(const struct load_shape *shape,
                                                const struct load_stream *stream)
{
    return flight(shape, stream, stream->receiving - 1);
}

void load_stream_describe(const struct load_shape *shape, const struct load_stream *stream,
                          const unsigned char *bytes, size_t length, size_t right,
                          uint64_t sent, char out[LOAD_STREAM_TEXT])
{
    unsigned char expected;
    size_t offset = stream->received_bytes + right;

    payload_fill(&expected, key(shape, stream, stream->receiving), offset, 1);
    size_t used = format(out, LOAD_STREAM_TEXT, "byte %zu is 0x%02x, expected 0x%02x",
                         offset, bytes[right], expected);
    /* The first whole word that holds the byte identifies its message. */
    for (size_t i = right > 7 ? right - 7 : 0; i + 8 <= length; i++) {
        uint32_t other;
        uint64_t message;

        if ((stream->received_bytes + i) % 8 != 0) {
            continue;
        }
        payload_origin(bytes + i, shape->seed, stream->received_bytes + i, &other,
                       &message);
        if (other < shape->connections && message < sent &&
            (other != stream->connection || message != stream->receiving)) {
            format(out + used, LOAD_STREAM_TEXT - used,
                   ": it is message %" PRIu64 " of connection %" PRIu32, message, other);
        }
        return;
    }
}

void load_stream_give_up(struct load_stream *stream)
{
    stream->sending = stream->receiving = stream->begun;
    stream->sent_bytes = stream->received_bytes = 0;
}
