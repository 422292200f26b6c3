/* load_stream: the messages of one connection of a load, without its socket.
 *
 *   messages:   0 ...  receiving ... sending ... begun
 *               echoed |  under way                |
 *
 * Every byte that comes back is compared with what was sent (payload.h), so a reply that
 * belongs to another message or connection is caught wherever the kernel cuts the stream.
 * Nothing is stored of a message but its times. */
#ifndef ECHOLAB_LOAD_STREAM_H
#define ECHOLAB_LOAD_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is the same for all streams of a load. */
struct load_shape {
    uint64_t seed; /* of the payload */
    size_t size;   /* bytes of a message, at least 1 */
    uint64_t pipeline;
    uint64_t connections; /* of the whole load: what a strange reply may come from */
    bool verify;          /* compare; otherwise bytes are only counted */
};

/* A message under way. */
struct load_flight {
    uint64_t due_ns;   /* when it should have been sent; in a closed loop, when it was */
    uint64_t sent_ns;  /* when its first byte was given to send() */
    uint64_t first_ns; /* when its first byte came back; 0: not yet */
};

/* All zero to begin with, but the first two. */
struct load_stream {
    uint32_t connection;         /* its number in the whole load */
    struct load_flight *flights; /* `pipeline` of them, the caller's */
    uint64_t begun, sending, receiving;
    size_t sent_bytes, received_bytes; /* of the messages `sending` and `receiving` */
};

enum load_taken {
    LOAD_PART,     /* all bytes are right, and the message is not complete */
    LOAD_COMPLETE, /* the message's last byte came; more may stand behind it */
    LOAD_WRONG,    /* a byte differs */
    LOAD_SURPLUS,  /* nothing is under way that these bytes could belong to */
};

/* How many messages are under way. */
uint64_t load_stream_under_way(const struct load_stream *stream);

/* Begin a message; fewer than `pipeline` may be under way. */
void load_stream_begin(const struct load_shape *shape, struct load_stream *stream,
                       uint64_t due_ns, uint64_t now_ns);

/* Write to `out` the bytes to be sent next, of all messages begun, at most `capacity`.
 * Returns how many. The same bytes come again until load_stream_sent() moves on. */
size_t load_stream_fill(const struct load_shape *shape, const struct load_stream *stream,
                        unsigned char *out, size_t capacity);

/* `length` of those bytes were taken by send(2). */
void load_stream_sent(const struct load_shape *shape, struct load_stream *stream,
                      size_t length);

/* Is all that was begun given to send()? */
bool load_stream_is_sent(const struct load_stream *stream);

/* Take received bytes, `*length` of them (at least 1), up to the end of one message. Sets
 * *length to how many were taken; of LOAD_WRONG, to how many were right. */
enum load_taken load_stream_take(const struct load_shape *shape, struct load_stream *stream,
                                 const unsigned char *bytes, size_t *length,
                                 uint64_t now_ns);

/* The times of the message that is received now or next, and of the one that
 * load_stream_take() just completed. */
const struct load_flight *load_stream_receiving(const struct load_shape *shape,
                                                const struct load_stream *stream);
const struct load_flight *load_stream_completed(const struct load_shape *shape,
                                                const struct load_stream *stream);

/* After LOAD_WRONG: say what came instead of the byte behind `right` right ones, and whose
 * it is if that can be told. `bytes` and `length` are as they were given; no message of the
 * load has a number of `sent` or more. */
#define LOAD_STREAM_TEXT 160
void load_stream_describe(const struct load_shape *shape, const struct load_stream *stream,
                          const unsigned char *bytes, size_t length, size_t right,
                          uint64_t sent, char out[LOAD_STREAM_TEXT]);

/* Give up what is under way: the connection failed. The next message has a new number. */
void load_stream_give_up(struct load_stream *stream);

#endif
