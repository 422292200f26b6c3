#include "load/load_stream.h"

#include <stdlib.h>
#include <string.h>

#include "load/payload.h"
#include "tap.h"

enum { PIPELINE = 4, SIZE = 100 };

static const struct load_shape shape = {
    .seed = 42, .size = SIZE, .pipeline = PIPELINE, .connections = 8, .verify = true};

static struct load_flight flights[PIPELINE];
static unsigned char wire[PIPELINE * SIZE + 1];

static struct load_stream new_stream(void)
{
    return (struct load_stream){.connection = 3, .flights = flights};
}

/* Begin `count` messages and put all of their bytes on the wire. */
static struct load_stream sent_stream(unsigned count)
{
    struct load_stream stream = new_stream();

    for (unsigned i = 0; i < count; i++) {
        load_stream_begin(&shape, &stream, 10 + i, 20 + i);
    }
    load_stream_sent(&shape, &stream, load_stream_fill(&shape, &stream, wire, sizeof wire));
    return stream;
}

static void test_sending_in_pieces(void)
{
    struct load_stream stream = new_stream();
    unsigned char whole[3 * SIZE], parts[3 * SIZE];
    size_t done = 0;

    group("sending");
    is_int(load_stream_fill(&shape, &stream, whole, sizeof whole), 0,
           "nothing is begun: there are no bytes");
    ok(load_stream_is_sent(&stream), "nothing is begun: all is sent");
    for (int i = 0; i < 3; i++) {
        load_stream_begin(&shape, &stream, 0, 0);
    }
    is_int(load_stream_under_way(&stream), 3, "three are begun: they are under way");
    is_int(load_stream_fill(&shape, &stream, whole, sizeof whole), sizeof whole,
           "all bytes of three can be had at once");
    for (size_t n = 1; !load_stream_is_sent(&stream); n = n * 2 + 1) {
        size_t length = load_stream_fill(&shape, &stream, parts + done,
                                         n < sizeof parts - done ? n : sizeof parts - done);

        load_stream_sent(&shape, &stream, length);
        done += length;
    }
    is_mem(parts, whole, sizeof whole, "in pieces the bytes are the same");
    is_int(load_stream_fill(&shape, &stream, whole, sizeof whole), 0,
           "all is sent: no bytes are left");
    is_int(load_stream_under_way(&stream), 3, "all is sent: three are under way still");
}

/* Take all of the wire in pieces of `piece` bytes. Returns how many messages completed. */
static unsigned take_in(struct load_stream *stream, size_t length, size_t piece)
{
    unsigned complete = 0;
    size_t done = 0;

    while (done < length) {
        size_t part = piece < length - done ? piece : length - done;
        enum load_verdict taken =
            load_stream_receive(&shape, stream, wire + done, &part, 100 + done);

        if (taken != LOAD_PART && taken != LOAD_COMPLETE) {
            return 0;
        }
        if (taken == LOAD_COMPLETE &&
            (load_stream_completed(&shape, stream)->due_ns != 10 + complete ||
             load_stream_completed(&shape, stream)->sent_ns != 20 + complete)) {
            return 0;
        }
        complete += taken == LOAD_COMPLETE ? 1 : 0;
        done += part;
    }
    return complete;
}

static void test_receiving_in_pieces(void)
{
    static const size_t pieces[] = {1, 7, 8, 9, SIZE - 1, SIZE, SIZE + 1, 4 * SIZE};

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct load_stream stream = sent_stream(PIPELINE);

        group("receiving in pieces of %zu", pieces[i]);
        is_int(take_in(&stream, (size_t)PIPELINE * SIZE, pieces[i]), PIPELINE,
               "each message completes with its own times");
        is_int(load_stream_under_way(&stream), 0, "then nothing is under way");
    }
}

static void test_first_byte(void)
{
    struct load_stream stream = sent_stream(1);
    size_t length = 1;

    group("the first byte's time");
    is_int(load_stream_receiving(&shape, &stream)->first_ns, 0,
           "it is 0 before a byte came");
    load_stream_receive(&shape, &stream, wire, &length, 77);
    length = SIZE - 1;
    is_int(load_stream_receive(&shape, &stream, wire + 1, &length, 99), LOAD_COMPLETE,
           "the message completes later");
    is_int(load_stream_completed(&shape, &stream)->first_ns, 77,
           "it stays the first byte's");
}

static void test_every_wrong_byte(void)
{
    size_t missed = 0;

    group("verifying");
    for (size_t at = 0; at < SIZE; at++) {
        for (size_t begin = 0; begin <= at; begin += 13) {
            struct load_stream stream = sent_stream(2);
            size_t first = begin, length = 2 * SIZE - begin;

            if (first > 0) {
                load_stream_receive(&shape, &stream, wire, &first, 1);
            }
            wire[at] ^= 1;
            enum load_verdict taken =
                load_stream_receive(&shape, &stream, wire + begin, &length, 1);
            missed += taken == LOAD_WRONG && length == at - begin ? 0 : 1;
        }
    }
    is_int(missed, 0, "each wrong byte is found at its place");
}

static void test_surplus(void)
{
    struct load_stream stream = new_stream();
    size_t length = 5;

    group("surplus");
    is_int(load_stream_receive(&shape, &stream, wire, &length, 1), LOAD_SURPLUS,
           "bytes before anything was sent are surplus");
    is_int(length, 0, "bytes before anything was sent are not taken");
    stream = sent_stream(1);
    length = SIZE + 1;
    is_int(load_stream_receive(&shape, &stream, wire, &length, 1), LOAD_COMPLETE,
           "a byte too many: the message completes first");
    is_int(length, SIZE, "a byte too many: the message is taken up to its end");
    length = 1;
    is_int(load_stream_receive(&shape, &stream, wire + SIZE, &length, 1), LOAD_SURPLUS,
           "a byte too many: that byte is surplus");
}

static void test_descriptions(void)
{
    struct load_stream stream = sent_stream(1);
    unsigned char other[SIZE];
    char text[LOAD_STREAM_TEXT];

    group("descriptions");
    payload_fill(other, payload_key(shape.seed, 5, 6), 0, SIZE);
    load_stream_describe(&shape, &stream, other, SIZE, 0, 7, text);
    ok(strstr(text, "byte 0 is 0x") == text, "the place and the byte stand first: %s",
       text);
    ok(strstr(text, ": it is message 6 of connection 5") != NULL,
       "the message that the byte belongs to is named");
    load_stream_describe(&shape, &stream, other, SIZE, 0, 6, text);
    ok(strstr(text, "it is") == NULL, "a message that nobody sent is not named");
    payload_fill(other, payload_key(shape.seed, 8, 0), 0, SIZE);
    load_stream_describe(&shape, &stream, other, SIZE, 0, 7, text);
    ok(strstr(text, "it is") == NULL, "a connection that nobody has is not named");
    load_stream_describe(&shape, &stream, other, 3, 0, 7, text);
    ok(strstr(text, "byte 0 is 0x") == text, "less than a word is described, too");
}

static void test_giving_up(void)
{
    struct load_stream stream = sent_stream(3);
    size_t length = 10;

    group("giving up");
    load_stream_receive(&shape, &stream, wire, &length, 1);
    load_stream_give_up(&stream);
    is_int(load_stream_under_way(&stream), 0, "nothing is under way any more");
    ok(load_stream_is_sent(&stream), "nothing is to be sent any more");
    load_stream_begin(&shape, &stream, 0, 0);
    load_stream_sent(&shape, &stream, load_stream_fill(&shape, &stream, wire, sizeof wire));
    length = SIZE;
    is_int(load_stream_receive(&shape, &stream, wire, &length, 1), LOAD_COMPLETE,
           "the next message starts at its first byte");
}

static void test_not_verifying(void)
{
    struct load_shape blind = shape;
    struct load_stream stream = sent_stream(1);
    size_t length = SIZE;

    group("without verifying");
    blind.verify = false;
    memset(wire, 0, SIZE);
    is_int(load_stream_receive(&blind, &stream, wire, &length, 1), LOAD_COMPLETE,
           "bytes are counted only");
}

int main(void)
{
    test_sending_in_pieces();
    test_receiving_in_pieces();
    test_first_byte();
    test_every_wrong_byte();
    test_surplus();
    test_descriptions();
    test_giving_up();
    test_not_verifying();
    return done();
}
