#include "io/proxy_header.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/format.h"
#include "base/units.h"

/* The longest line of version 1, with its CRLF. */
#define LINE_LONGEST 107

/* Version 2: what stands before the addresses, and in which bytes. */
#define HEAD    16U
#define COMMAND 12
#define FAMILY  13
#define LENGTH  14

#define LOCAL 0x20 /* version 2 and the command */
#define PROXY 0x21

#define TLV_HEAD     3
#define TLV_CHECKSUM 3 /* PP2_TYPE_CRC32C */

#define V4_BYTES 4
#define V6_BYTES 16

static const unsigned char line_start[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const unsigned char signature[] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                          '\n', 'Q',  'U',  'I',  'T', '\n'};

static enum proxy_verdict wrong(struct proxy_header *header, ptrdiff_t at)
{
    header->wrong_at = (unsigned)at;
    return PROXY_WRONG;
}

static unsigned number_at(const unsigned char *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* ---- version 1 -------------------------------------------------------------------------
 */

/* Read field number `field` of a line: protocol, source, destination, and their ports. */
static bool read_field(const char *text, int field, int *family,
                       struct proxy_header *header)
{
    struct net_address address;
    uint64_t port;

    if (field == 0) {
        *family = strcmp(text, "TCP6") == 0 ? AF_INET6 : AF_INET;
        return *family == AF_INET6 || strcmp(text, "TCP4") == 0;
    }
    if (field < 3) {
        if (!net_numeric(text, 0, &address) || address.storage.ss_family != *family ||
            (*family == AF_INET6 && strchr(text, '.') != NULL)) {
            return false;
        }
        header->source = field == 1 ? address : header->source;
        return true;
    }
    if (!units_parse_whole(text, &port) || port > UINT16_MAX ||
        (*text == '0' && text[1] != '\0')) {
        return false;
    }
    if (field == 3) { /* it stands at the same offset in both kinds of address */
        ((struct sockaddr_in6 *)&header->source.storage)->sin6_port = htons((uint16_t)port);
    }
    return true;
}

/* Decode a line, which ends where its CR was; its first bytes are right. */
static enum proxy_verdict decode_line(char *line, const char *end,
                                      struct proxy_header *header)
{
    char *at = line + sizeof line_start;
    int family;

    for (int field = 0; field < 5; field++) {
        char *start = at;

        at += strcspn(at, " ");
        bool is_last = at == end;
        if (!is_last && *at != ' ') {
            return wrong(header, at - line);
        }
        *at = '\0';
        if (field == 0 && strcmp(start, "UNKNOWN") == 0) {
            return PROXY_GOOD;
        }
        if (!read_field(start, field, &family, header)) {
            return wrong(header, start - line);
        }
        if (is_last != (field == 4)) {
            return wrong(header, at - line);
        }
        at++;
    }
    return PROXY_GOOD;
}

static enum proxy_verdict judge_line(const unsigned char *bytes, size_t length,
                                     struct proxy_header *header)
{
    char line[LINE_LONGEST];
    unsigned used = sizeof line_start;

    while (used + 2 <= length && (bytes[used] != '\r' || bytes[used + 1] != '\n')) {
        line[used] = (char)bytes[used];
        if (++used + 2 > LINE_LONGEST) {
            return wrong(header, LINE_LONGEST);
        }
    }
    if (used + 2 > length) {
        return PROXY_INCOMPLETE;
    }
    line[used] = '\0';
    header->length = used + 2;
    return decode_line(line, line + used, header);
}

/* ---- version 2 -------------------------------------------------------------------------
 */

/* CRC32C (RFC 4960, appendix B) of a header whose four bytes at `hole` count as 0. */
static uint32_t checksum(const unsigned char *bytes, unsigned length, unsigned hole)
{
    uint32_t crc = UINT32_MAX;

    for (unsigned i = 0; i < length; i++) {
        crc ^= i - hole < 4 ? 0U : bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
        }
    }
    return ~crc;
}

/* The TLVs from `at` to the header's end. One checksum is computed at most: the time that a
 * header takes is limited. */
static enum proxy_verdict judge_tlvs(const unsigned char *bytes, unsigned at,
                                     struct proxy_header *header)
{
    bool has_checksum = false;

    while (at < header->length) {
        unsigned value = at + TLV_HEAD;
        unsigned next = value + (value > header->length ? 0 : number_at(bytes + at + 1));

        if (next > header->length) {
            return wrong(header, at);
        }
        if (bytes[at] == TLV_CHECKSUM) {
            if (has_checksum || next != value + 4 ||
                checksum(bytes, header->length, value) !=
                    (number_at(bytes + value) << 16 | number_at(bytes + value + 2))) {
                return wrong(header, value);
            }
            has_checksum = true;
        }
        at = next;
    }
    return PROXY_GOOD;
}

/* The source that a block of two addresses and two ports begins with. IPv4 becomes IPv4 in
 * IPv6, which is the same to whoever prints it. */
static void take_source(const unsigned char *bytes, size_t size, struct net_address *source)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};

    if (size == V4_BYTES) {
        memset(v6.sin6_addr.s6_addr + 10, 0xff, 2);
    }
    memcpy(v6.sin6_addr.s6_addr + V6_BYTES - size, bytes, size);
    memcpy(&v6.sin6_port, bytes + 2 * size, 2);
    memcpy(&source->storage, &v6, sizeof v6);
    source->length = sizeof v6;
}

static enum proxy_verdict judge_block(const unsigned char *bytes, size_t length,
                                      struct proxy_header *header)
{
    /* By family: unspecified, IPv4, IPv6, UNIX. */
    static const unsigned char sizes[] = {0, 2 * V4_BYTES + 4, 2 * V6_BYTES + 4, 216};
    unsigned family = 0;

    if (length > COMMAND && (bytes[COMMAND] & ~1U) != 0x20) {
        return wrong(header, COMMAND);
    }
    if (length > FAMILY && bytes[COMMAND] != LOCAL) {
        if (bytes[FAMILY] > 0x3f || (bytes[FAMILY] & 0xf) > 2) {
            return wrong(header, FAMILY);
        }
        family = (bytes[FAMILY] & 0xf) != 0 ? bytes[FAMILY] >> 4 : 0;
    }
    if (length < HEAD) {
        return PROXY_INCOMPLETE;
    }
    unsigned begin = HEAD + sizes[family];
    header->length = HEAD + number_at(bytes + LENGTH);
    if (header->length > PROXY_HEADER_MAX || header->length < begin) {
        return wrong(header, LENGTH);
    }
    if (length < header->length) {
        return PROXY_INCOMPLETE;
    }
    if (family == 1 || family == 2) {
        take_source(bytes + HEAD, family == 1 ? V4_BYTES : V6_BYTES, &header->source);
    }
    return family == 0 ? PROXY_GOOD : judge_tlvs(bytes, begin, header);
}

enum proxy_verdict proxy_header_judge(const unsigned char *bytes, size_t length,
                                      struct proxy_header *header)
{
    bool is_line = length > 0 && bytes[0] == line_start[0];
    const unsigned char *start = is_line ? line_start : signature;
    size_t size = is_line ? sizeof line_start : sizeof signature;

    header->source.length = 0;
    for (size_t i = 0; i < size; i++) {
        if (i == length) {
            return PROXY_INCOMPLETE;
        }
        if (bytes[i] != start[i]) {
            return wrong(header, (ptrdiff_t)i);
        }
    }
    return is_line ? judge_line(bytes, length, header) : judge_block(bytes, length, header);
}

/* ---- to be sent ------------------------------------------------------------------------
 */

/* An address without its port, as version 1 wants it. */
static const char *host_text(const struct net_address *address, char text[NET_ADDRESS_TEXT])
{
    bool is_v6 = *net_address_text(address, text) == '[';

    text[strcspn(text, is_v6 ? "%]" : ":")] = '\0'; /* no zone: it is this machine's */
    return text + is_v6;
}

static size_t print_block(const struct net_address *source,
                          const struct net_address *destination, unsigned char *out)
{
    const struct net_address *ends[] = {source, destination};
    bool is_v6 = source->storage.ss_family == AF_INET6;
    size_t size = is_v6 ? V6_BYTES : V4_BYTES;

    memcpy(out, signature, sizeof signature);
    out[COMMAND] = PROXY;
    out[FAMILY] = is_v6 ? 0x21 : 0x11;
    out[LENGTH] = 0;
    out[LENGTH + 1] = (unsigned char)(2 * size + 4);
    for (size_t i = 0; i < 2; i++) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&ends[i]->storage;
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&ends[i]->storage;
        const void *address = is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr;

        memcpy(out + HEAD + i * size, address, size);
        memcpy(out + HEAD + 2 * size + 2 * i, &v6->sin6_port, 2);
    }
    return HEAD + 2 * size + 4;
}

size_t proxy_header_print(int version, const struct net_address *source,
                          const struct net_address *destination,
                          unsigned char out[PROXY_HEADER_PRINTED])
{
    char from[NET_ADDRESS_TEXT], to[NET_ADDRESS_TEXT];

    if (version == 2) {
        return print_block(source, destination, out);
    }
    bool is_v6 = *net_address_text(source, from) == '[';
    return format((char *)out, PROXY_HEADER_PRINTED, "PROXY TCP%c %s %s %u %u\r\n",
                  is_v6 ? '6' : '4', host_text(source, from), host_text(destination, to),
                  net_port(source), net_port(destination));
}
