/* PROXY headers: those of the specification and of its rules, each at every cut; what is
 * wrong, with its offset; 10,000 mutated ones, judged as a second decoder judges them; and
 * those that are printed. */
#include "io/proxy_header.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proxy_decoder.h"
#include "tap.h"

#define SIGNATURE  "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(...) (const unsigned char *)(__VA_ARGS__), sizeof(__VA_ARGS__) - 1
#define V4_BLOCK   "\xcb\0\x71\x07\xc0\0\x02\x01\x12\x67\x30\x39" /* 203.0.113.7:4711 */
#define SITE       "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"
#define V6_BLOCK   SITE "\x01" SITE "\x02\x12\x67\x30\x39"
#define ZEROS_12   "\0\0\0\0\0\0\0\0\0\0\0\0"
#define ZEROS_108                                                                          \
    ZEROS_12 ZEROS_12 ZEROS_12 ZEROS_12 ZEROS_12 ZEROS_12 ZEROS_12 ZEROS_12 ZEROS_12

/* A header and what it says: the source's text; NULL: there is none. */
static const struct {
    const char *name;
    const unsigned char *bytes;
    size_t length;
    const char *source;
} good[] = {
    {"the specification's example",
     BYTES("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"), "192.168.0.1:56324"},
    {"the longest line of TCP4",
     BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
     "255.255.255.255:65535"},
    {"the longest line of TCP6",
     BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
    {"the short line of UNKNOWN", BYTES("PROXY UNKNOWN\r\n"), NULL},
    {"the longest line",
     BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
     NULL},
    {"UNKNOWN and anything", BYTES("PROXY UNKNOWN \0 \n\r\r x\xff\r\n"), NULL},
    {"TCP6, short and in capitals", BYTES("PROXY TCP6 2001:DB8::A :: 0 1\r\n"),
     "[2001:db8::a]:0"},
    {"TCP4, zeros", BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0:0"},
    {"LOCAL", BYTES(SIGNATURE "\x20\0\0\0"), NULL},
    {"LOCAL with a family that is none and a block",
     BYTES(SIGNATURE "\x20\xff\0\x05\x03\0\x04zz"), NULL},
    {"an unspecified family", BYTES(SIGNATURE "\x21\0\0\x03zzz"), NULL},
    {"an unspecified protocol", BYTES(SIGNATURE "\x21\x10\0\x01z"), NULL},
    {"TCP over IPv4", BYTES(SIGNATURE "\x21\x11\0\x0c" V4_BLOCK), "203.0.113.7:4711"},
    {"UDP over IPv4", BYTES(SIGNATURE "\x21\x12\0\x0c" V4_BLOCK), "203.0.113.7:4711"},
    {"TCP over IPv6", BYTES(SIGNATURE "\x21\x21\0\x24" V6_BLOCK), "[2001:db8::1]:4711"},
    {"UDP over IPv6", BYTES(SIGNATURE "\x21\x22\0\x24" V6_BLOCK), "[2001:db8::1]:4711"},
    {"UNIX", BYTES(SIGNATURE "\x21\x31\0\xd8" ZEROS_108 ZEROS_108), NULL},
    {"UNIX datagrams", BYTES(SIGNATURE "\x21\x32\0\xd8" ZEROS_108 ZEROS_108), NULL},
    {"TLVs: ALPN, NOOP, one of a later version",
     BYTES(SIGNATURE "\x21\x11\0\x19" V4_BLOCK "\x01\0\x02h2\x04\0\0\xff\0\x02zz"),
     "203.0.113.7:4711"},
    /* Of haproxy 2.6: send-proxy-v2 proxy-v2-options crc32c. */
    {"a checksum", BYTES(SIGNATURE "\x21\x11\0\x13" V4_BLOCK "\x03\0\x04\x00\x00\x00\x00"),
     "203.0.113.7:4711"},
};

static const struct {
    const char *name;
    const unsigned char *bytes;
    size_t length;
    unsigned at;
} bad[] = {
    {"another protocol", BYTES("GET / HTTP/1.1\r\n"), 0},
    {"small letters", BYTES("Proxy TCP4"), 1},
    {"no blank", BYTES("PROXY\r\n"), 5},
    {"two blanks", BYTES("PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), 6},
    {"another family", BYTES("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n"), 6},
    {"UNKNOWNS", BYTES("PROXY UNKNOWNS\r\n"), 6},
    {"nothing behind TCP4", BYTES("PROXY TCP4\r\n"), 10},
    {"two blanks before an address", BYTES("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n"), 11},
    {"a leading zero", BYTES("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n"), 11},
    {"IPv6 as TCP4", BYTES("PROXY TCP4 ::1 ::1 1 2\r\n"), 11},
    {"IPv4 as TCP6", BYTES("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n"), 11},
    {"IPv4 in IPv6", BYTES("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n"), 11},
    {"a zone", BYTES("PROXY TCP6 fe80::1%1 ::1 1 2\r\n"), 11},
    {"the second address", BYTES("PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n"), 19},
    {"no ports", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4\r\n"), 26},
    {"a port too large", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n"), 27},
    {"a port with a leading zero", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 02\r\n"), 29},
    {"a port with a sign", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n"), 27},
    {"a blank at the end", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n"), 30},
    {"a sixth word", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n"), 30},
    {"a tab", BYTES("PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n"), 11},
    {"a NUL", BYTES("PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"), 18},
    {"a single LF", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n\r\n"), 29},
    {"a second CR", BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n"), 29},
    {"a line too long by one",
     BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
           "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 655350\r\n"),
     107},
    {"a signature with a wrong end", BYTES("\r\n\r\n\0\r\nQUIT\r"), 11},
    {"version 1 in binary", BYTES(SIGNATURE "\x11"), 12},
    {"an unassigned command", BYTES(SIGNATURE "\x22"), 12},
    {"an unassigned family", BYTES(SIGNATURE "\x21\x41"), 13},
    {"an unassigned protocol", BYTES(SIGNATURE "\x21\x13"), 13},
    {"no room for IPv4", BYTES(SIGNATURE "\x21\x11\0\x0b"), 14},
    {"no room for IPv6", BYTES(SIGNATURE "\x21\x21\0\x23"), 14},
    {"no room for UNIX", BYTES(SIGNATURE "\x21\x31\0\xd7"), 14},
    {"too long by one", BYTES(SIGNATURE "\x21\x11\x0f\xf1"), 14},
    {"half a TLV", BYTES(SIGNATURE "\x21\x11\0\x0e" V4_BLOCK "\x04\0"), 28},
    {"a TLV too long", BYTES(SIGNATURE "\x21\x11\0\x10" V4_BLOCK "\x04\0\x02z"), 28},
    {"a short checksum", BYTES(SIGNATURE "\x21\x11\0\x12" V4_BLOCK "\x03\0\x03zzz"), 31},
    {"a wrong checksum", BYTES(SIGNATURE "\x21\x11\0\x13" V4_BLOCK "\x03\0\x04zzzz"), 31},
};

/* Judge a copy that ends where the bytes end, so that a sanitizer sees what is read beyond.
 */
static enum proxy_verdict judge(const unsigned char *bytes, size_t length,
                                struct proxy_header *header)
{
    unsigned char *copy = malloc(length + (length == 0));

    memcpy(copy, bytes, length);
    enum proxy_verdict verdict = proxy_header_judge(copy, length, header);
    free(copy);
    return verdict;
}

/* With its checksum, if it has a zero one at its end. */
static size_t finished(const unsigned char *bytes, size_t length, unsigned char *out)
{
    static const unsigned char hole[] = {3, 0, 4, 0, 0, 0, 0};

    memcpy(out, bytes, length);
    if (length >= 35 && memcmp(out + length - sizeof hole, hole, sizeof hole) == 0) {
        unsigned sum = proxy_crc32c(out, length);

        for (int i = 0; i < 4; i++) {
            out[length - 4 + (size_t)i] = (unsigned char)(sum >> (24 - 8 * i));
        }
    }
    return length;
}

static void test_good(void)
{
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        unsigned char bytes[512];
        char text[NET_ADDRESS_TEXT] = "";
        size_t length = finished(good[i].bytes, good[i].length, bytes);
        struct proxy_header header = {0};
        size_t parts = 0;

        group("%s", good[i].name);
        while (parts < length && judge(bytes, parts, &header) == PROXY_INCOMPLETE) {
            parts++;
        }
        is_int(parts, length, "each cut is incomplete");
        is_int(judge(bytes, length, &header), PROXY_GOOD, "the whole is good");
        is_int(header.length, length, "its length");
        memcpy(bytes + length, "PROXY \r\n", 8);
        is_int(judge(bytes, length + 8, &header), PROXY_GOOD,
               "more behind it is no matter");
        is_int(header.length, length, "nor for its length");
        if (header.source.length != 0) {
            net_address_text(&header.source, text);
        }
        is_str(text, good[i].source != NULL ? good[i].source : "", "its source");
    }
}

static void test_bad(void)
{
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct proxy_header header = {0};
        enum proxy_verdict verdict = PROXY_INCOMPLETE;
        size_t used = 0;

        group("%s", bad[i].name);
        while (used < bad[i].length && verdict == PROXY_INCOMPLETE) {
            verdict = judge(bad[i].bytes, ++used, &header);
        }
        is_int(verdict, PROXY_WRONG, "it is wrong");
        is_int(header.wrong_at, bad[i].at, "at this byte");
        header.wrong_at = 9999;
        is_int(judge(bad[i].bytes, bad[i].length, &header), PROXY_WRONG, "also as a whole");
        is_int(header.wrong_at, bad[i].at, "at the same byte");
    }
}

static uint32_t seed = 1;

static unsigned any(unsigned below)
{
    seed = seed * 1103515245 + 12345;
    return (seed >> 8) % below;
}

/* Change a header a little: a byte, a bit, one more, one less, the checksum made right. */
static size_t mutate(unsigned char *bytes, size_t length)
{
    for (unsigned times = 1 + any(3); times > 0; times--) {
        size_t at = any((unsigned)length);

        switch (any(5)) {
        case 0:
            bytes[at] = (unsigned char)any(256);
            break;
        case 1:
            bytes[at] ^= (unsigned char)(1U << any(8));
            break;
        case 2:
            bytes[at] = (unsigned char)" 0:.\r\n9fPT"[any(10)];
            break;
        case 3:
            memmove(bytes + at + 1, bytes + at, length++ - at);
            break;
        default:
            memmove(bytes + at, bytes + at + 1, --length - at);
        }
    }
    return length;
}

static void test_mutated(void)
{
    enum { COUNT = 10000 };
    int same = 0, taken = 0, refused = 0;

    group("mutated headers");
    for (int i = 0; i < COUNT; i++) {
        size_t which = any(sizeof good / sizeof good[0]);
        unsigned char bytes[600];
        char wanted[64] = "", got[64] = "-";
        struct proxy_header header = {0};
        size_t length = finished(good[which].bytes, good[which].length, bytes);

        memcpy(bytes + length, "0123456789", 10); /* what is echoed */
        length = mutate(bytes, length + 10);
        long decoded = proxy_decode(bytes, length, wanted);
        enum proxy_verdict verdict = judge(bytes, length, &header);
        if (verdict == PROXY_GOOD && header.source.length != 0) {
            const struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&header.source.storage;
            char text[NET_ADDRESS_TEXT];

            /* The same text: IPv4 may be written as IPv4 in IPv6. */
            if (strchr(wanted, '.') != NULL && strncmp(wanted, "::ffff:", 7) == 0) {
                memmove(wanted, wanted + 7, strlen(wanted + 7) + 1);
            }
            *strrchr(net_address_text(&header.source, text), ':') = '\0';
            text[strcspn(text, "]")] = '\0';
            snprintf(got, sizeof got, "%s %u", text + (*text == '['), ntohs(v6->sin6_port));
        }
        bool is_same = verdict == PROXY_GOOD
                           ? decoded == (long)header.length && strcmp(got, wanted) == 0
                           : decoded == (verdict == PROXY_WRONG ? -1 : 0);
        same += is_same;
        taken += verdict == PROXY_GOOD;
        refused += verdict == PROXY_WRONG;
        if (!is_same) {
            diag("number %d of %s: decoder %ld %s, judge %d %u %s", i, good[which].name,
                 decoded, wanted, (int)verdict, header.length, got);
        }
    }
    is_int(same, COUNT, "each is judged as the second decoder does");
    ok(taken > 1000 && refused > 3000, "they are of all kinds: %d taken, %d refused", taken,
       refused);
}

static void test_long(void)
{
    static unsigned char bytes[PROXY_HEADER_MAX];
    struct proxy_header header = {0};

    group("the longest header");
    memcpy(bytes, SIGNATURE "\x21\x11\x0f\xf0" V4_BLOCK, 28);
    for (size_t at = 28; at < sizeof bytes; at += 7) { /* 4,068 = 581 * 7 + 1 */
        memcpy(bytes + at, "\x04\0\x04zzzz", at + 7 <= sizeof bytes ? 7 : 1);
    }
    is_int(judge(bytes, sizeof bytes, &header), PROXY_WRONG, "half a TLV at its end");
    is_int(header.wrong_at, sizeof bytes - 1, "is wrong there");
    bytes[sizeof bytes - 8 + 2] = 5; /* the last one is longer by one */
    is_int(judge(bytes, sizeof bytes - 1, &header), PROXY_INCOMPLETE,
           "one byte is missing");
    is_int(judge(bytes, sizeof bytes, &header), PROXY_GOOD, "the whole is good");
    for (size_t at = 28; at + 7 < sizeof bytes; at += 7) {
        bytes[at] = 3;
    }
    is_int(judge(bytes, sizeof bytes, &header), PROXY_WRONG, "hundreds of checksums");
    is_int(header.wrong_at, 31, "end with the first wrong one");
}

static void test_printed(void)
{
    static const struct {
        const char *source, *destination, *line;
    } rows[] = {
        {"192.0.2.1:1", "192.0.2.2:65535", "PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n"},
        {"[2001:db8::1]:1", "[::1]:2", "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"},
        {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2",
         "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_address source, destination;
        struct proxy_header header;
        unsigned char out[PROXY_HEADER_PRINTED];
        char wanted[NET_ADDRESS_TEXT], got[NET_ADDRESS_TEXT];

        group("printed for %s", rows[i].source);
        net_numeric_port(rows[i].source, &source);
        net_numeric_port(rows[i].destination, &destination);
        size_t length = proxy_header_print(1, &source, &destination, out);
        is_int(length, strlen(rows[i].line), "version 1: its length");
        is_mem(out, rows[i].line, length, "its line");
        length = proxy_header_print(2, &source, &destination, out);
        is_int(proxy_header_judge(out, length, &header), PROXY_GOOD, "version 2 is good");
        is_int(header.length, length, "its length");
        is_str(net_address_text(&header.source, got), net_address_text(&source, wanted),
               "its source");
    }
}

int main(void)
{
    is_int(proxy_crc32c((const unsigned char *)"123456789", 9), 0xe3069283,
           "the decoder's CRC32C is the known one");
    test_good();
    test_bad();
    test_mutated();
    test_long();
    test_printed();
    return done();
}
