/* load_stream: the messages of one connection of a load, without its socket.
 *
 *   messages:   0 ...  receiving ... sending ... begun
 *               echoed |  under way                |
 *
 * Every received byte is compared with the byte that was sent (payload.h), so a reply that
 * belongs to another message or connection is found wherever the kernel cuts the stream. Of
 * a message only its times are stored. */
#ifndef ECHOLAB_LOAD_STREAM_H
#define ECHOLAB_LOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Data that all streams of a load share. */
struct load_shape {
    uint64_t seed; /* of the payload */
    size_t size;   /* bytes of a message, at least 1 */
    uint64_t pipeline;
    uint64_t connections; /* of the whole load: a wrong reply may belong to any of them */
    bool verify;          /* compare; otherwise bytes are only counted */
};

/* A message under way. */
struct load_flight {
    uint64_t due_ns;   /* when it should have been sent; in a closed loop, when it was */
    uint64_t sent_ns;  /* when its first byte was given to send() */
    uint64_t first_ns; /* when its first byte came back; 0: not yet */
};

/* At first all fields but the first two are 0. */
struct load_stream {
    uint32_t connection;         /* its number in the whole load */
    struct load_flight *flights; /* `pipeline` of them, owned by the caller */
    uint64_t begun, sending, receiving;
    size_t sent_bytes, received_bytes; /* of the messages `sending` and `receiving` */
};

/* The verdict on received bytes. */
enum load_verdict {
    LOAD_PART,     /* all bytes are right, and the message is not complete yet */
    LOAD_COMPLETE, /* the message's last byte came; bytes of the next may follow */
    LOAD_WRONG,    /* a byte differs */
    LOAD_SURPLUS,  /* no message is under way that these bytes could belong to */
};

/* The number of messages under way. */
uint64_t load_stream_under_way(const struct load_stream *stream);

/* Begin a message. Fewer than `pipeline` must be under way. */
void load_stream_begin(const struct load_shape *shape, struct load_stream *stream,
                       uint64_t due_ns, uint64_t now_ns);

/* Write the bytes to be sent next, of all messages begun, to `out`, at most `capacity`.
 * Returns their number. The same bytes come again until load_stream_sent() moves on. */
size_t load_stream_fill(const struct load_shape *shape, const struct load_stream *stream,
                        unsigned char *out, size_t capacity);

/* send(2) took `length` of those bytes. */
void load_stream_sent(const struct load_shape *shape, struct load_stream *stream,
                      size_t length);

/* Did send() take all messages that were begun? */
bool load_stream_is_sent(const struct load_stream *stream);

/* Judge received bytes, `*length` of them (at least 1), up to the end of one message. Sets
 * *length to the number of bytes judged; for LOAD_WRONG, to the number of right ones. */
enum load_verdict load_stream_receive(const struct load_shape *shape,
                                      struct load_stream *stream,
                                      const unsigned char *bytes, size_t *length,
                                      uint64_t now_ns);

/* The times of the message that is received now or next, and of the one that
 * load_stream_receive() just completed. */
const struct load_flight *load_stream_receiving(const struct load_shape *shape,
                                                const struct load_stream *stream);
const struct load_flight *load_stream_completed(const struct load_shape *shape,
                                                const struct load_stream *stream);

/* After LOAD_WRONG: describe the byte that came after `right` right ones, and the message
 * that it belongs to, if that can be found. `bytes` and `length` are those given to
 * load_stream_receive(); all messages of the load have numbers below `sent`. */
#define LOAD_STREAM_TEXT 160
void load_stream_describe(const struct load_shape *shape, const struct load_stream *stream,
                          const unsigned char *bytes, size_t length, size_t right,
                          uint64_t sent, char out[LOAD_STREAM_TEXT]);

/* Give up the messages under way: the connection failed. The next message has a new
 * number. */
void load_stream_give_up(struct load_stream *stream);

#endif
