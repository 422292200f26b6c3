#include "io/proxy_header.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/format.h"
#include "base/units.h"

/* The longest line of version 1, with its CRLF. */
#define LINE_MAX_1 107

/* Version 2: what stands before the addresses, and in which bytes. */
#define HEAD_2  16U
#define COMMAND 12
#define FAMILY  13
#define LENGTH  14

#define TLV_HEAD     3
#define TLV_CHECKSUM 3 /* PP2_TYPE_CRC32C */

static const unsigned char line_start[] = {'P', 'R', 'O', 'X', 'Y', ' '};
static const unsigned char signature[] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                          '\n', 'Q',  'U',  'I',  'T', '\n'};

static enum proxy_verdict wrong(struct proxy_header *header, size_t at, const char *what)
{
    header->wrong_at = at;
    header->wrong = what;
    return PROXY_WRONG;
}

/* How many bytes two texts have in common. */
static size_t common(const unsigned char *a, const unsigned char *b, size_t length)
{
    size_t i = 0;

    while (i < length && a[i] == b[i]) {
        i++;
    }
    return i;
}

static struct sockaddr_in6 *any_kind(struct net_address *address)
{
    return (struct sockaddr_in6 *)&address->storage;
}

static unsigned number_at(const unsigned char *bytes)
{
    return (unsigned)bytes[0] << 8 | bytes[1];
}

/* ---- version 1 -------------------------------------------------------------------------
 */

/* Read one of the four fields: source, destination, and their ports. */
static bool read_field(const char *text, int field, sa_family_t family,
                       struct proxy_header *header)
{
    struct net_address address;
    uint64_t port;

    if (field < 2) {
        if (!net_numeric(text, 0, &address) || address.storage.ss_family != family ||
            (family == AF_INET6 && strchr(text, '.') != NULL)) {
            return false;
        }
        header->source = field == 0 ? address : header->source;
        return true;
    }
    if (!units_parse_whole(text, &port) || port > UINT16_MAX ||
        (*text == '0' && text[1] != '\0')) {
        return false;
    }
    if (field == 2) {
        any_kind(&header->source)->sin6_port = htons((uint16_t)port);
    }
    return true;
}

/* Decode a line, which ends where its CR was; its first bytes are right. */
static enum proxy_verdict decode_line(char *line, const char *end,
                                      struct proxy_header *header)
{
    char *at = line + sizeof line_start;

    if (strncmp(at, "UNKNOWN", 7) == 0 && (at[7] == ' ' || at + 7 == end)) {
        header->no_source = "UNKNOWN";
        return PROXY_GOOD;
    }
    if (strncmp(at, "TCP", 3) != 0 || (at[3] != '4' && at[3] != '6') || at[4] != ' ') {
        return wrong(header, sizeof line_start, "protocol");
    }
    sa_family_t family = at[3] == '4' ? AF_INET : AF_INET6;
    at += 5;
    for (int field = 0; field < 4; field++) {
        char *start = at;

        at += strcspn(at, " ");
        if (field < 3 ? *at != ' ' : at != end) {
            return wrong(header, (size_t)(at - line), "fields");
        }
        *at++ = '\0';
        if (!read_field(start, field, family, header)) {
            return wrong(header, (size_t)(start - line), field < 2 ? "address" : "port");
        }
    }
    return PROXY_GOOD;
}

static enum proxy_verdict judge_line(const unsigned char *bytes, size_t length,
                                     struct proxy_header *header)
{
    char line[LINE_MAX_1 + 1];
    size_t most = length < LINE_MAX_1 ? length : LINE_MAX_1;
    size_t used = sizeof line_start;

    while (used + 2 <= most && (bytes[used] != '\r' || bytes[used + 1] != '\n')) {
        used++;
    }
    if (used + 2 > most) {
        return most < LINE_MAX_1 ? PROXY_INCOMPLETE : wrong(header, LINE_MAX_1, "no CRLF");
    }
    memcpy(line, bytes, used);
    line[used] = '\0';
    header->length = used + 2;
    return decode_line(line, line + used, header);
}

/* ---- version 2 -------------------------------------------------------------------------
 */

/* CRC32C (RFC 4960, appendix B) of a header whose four bytes at `hole` count as 0. */
static uint32_t checksum(const unsigned char *bytes, size_t length, size_t hole)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= i - hole < 4 ? 0U : bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78U : 0);
        }
    }
    return ~crc;
}

/* The TLVs from `at` to the header's end. One checksum is computed at most: the time that a
 * header takes is limited. */
static enum proxy_verdict judge_tlvs(const unsigned char *bytes, size_t at,
                                     struct proxy_header *header)
{
    bool has_checksum = false;

    while (at < header->length) {
        size_t left = header->length - at, value = at + TLV_HEAD;
        size_t size = left < TLV_HEAD ? left : TLV_HEAD + number_at(bytes + at + 1);

        if (left < TLV_HEAD || size > left) {
            return wrong(header, at, "TLV");
        }
        if (bytes[at] == TLV_CHECKSUM) {
            if (has_checksum || size != TLV_HEAD + 4 ||
                checksum(bytes, header->length, value) !=
                    (number_at(bytes + value) << 16 | number_at(bytes + value + 2))) {
                return wrong(header, value, "checksum");
            }
            has_checksum = true;
        }
        at += size;
    }
    return PROXY_GOOD;
}

static void take_source(const unsigned char *bytes, bool is_v6, struct net_address *source)
{
    struct sockaddr_in6 *v6 = any_kind(source);
    size_t size = is_v6 ? 16 : 4;

    memset(source, 0, sizeof *source);
    v6->sin6_family = is_v6 ? AF_INET6 : AF_INET;
    memcpy(is_v6 ? (void *)&v6->sin6_addr : (void *)&v6->sin6_flowinfo, bytes, size);
    memcpy(&v6->sin6_port, bytes + 2 * size, 2);
    source->length = is_v6 ? sizeof *v6 : sizeof(struct sockaddr_in);
}
_Static_assert(offsetof(struct sockaddr_in6, sin6_flowinfo) ==
                   offsetof(struct sockaddr_in, sin_addr),
               "an IPv4 address stands there");

static enum proxy_verdict judge_block(const unsigned char *bytes, size_t length,
                                      struct proxy_header *header)
{
    /* By family: unspecified, IPv4, IPv6, UNIX. */
    static const unsigned char sizes[] = {0, 12, 36, 216};

    if (length > COMMAND && (bytes[COMMAND] & ~1U) != 0x20) {
        return wrong(header, COMMAND, "version or command");
    }
    bool is_local = length > COMMAND && bytes[COMMAND] == 0x20;
    unsigned family = length > FAMILY ? bytes[FAMILY] >> 4 : 0;
    unsigned protocol = length > FAMILY ? bytes[FAMILY] & 0xf : 0;
    if (!is_local && (family > 3 || protocol > 2)) {
        return wrong(header, FAMILY, "family or protocol");
    }
    if (length < HEAD_2) {
        return PROXY_INCOMPLETE;
    }
    family = is_local || protocol == 0 ? 0 : family;
    header->length = HEAD_2 + number_at(bytes + LENGTH);
    if (header->length > PROXY_HEADER_MAX || header->length < HEAD_2 + sizes[family]) {
        return wrong(header, LENGTH, "length");
    }
    if (length < header->length) {
        return PROXY_INCOMPLETE;
    }
    header->no_source = is_local      ? "LOCAL"
                        : family == 0 ? "UNKNOWN"
                        : family == 3 ? "UNIX"
                                      : NULL;
    if (header->no_source == NULL) {
        take_source(bytes + HEAD_2, family == 2, &header->source);
    }
    return family == 0 ? PROXY_GOOD : judge_tlvs(bytes, HEAD_2 + sizes[family], header);
}

enum proxy_verdict proxy_header_judge(const unsigned char *bytes, size_t length,
                                      struct proxy_header *header)
{
    bool is_line = length > 0 && bytes[0] == line_start[0];
    size_t start = is_line ? sizeof line_start : sizeof signature;
    size_t most = length < start ? length : start;
    size_t right = common(bytes, is_line ? line_start : signature, most);

    header->no_source = NULL;
    header->version = is_line ? 1 : 2;
    if (right < most) {
        return wrong(header, right, "no PROXY header");
    }
    return most < start ? PROXY_INCOMPLETE
           : is_line    ? judge_line(bytes, length, header)
                        : judge_block(bytes, length, header);
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
    size_t size = is_v6 ? 16 : 4;

    memcpy(out, signature, sizeof signature);
    out[COMMAND] = 0x21;
    out[FAMILY] = is_v6 ? 0x21 : 0x11;
    out[LENGTH] = 0;
    out[LENGTH + 1] = (unsigned char)(2 * size + 4);
    for (int i = 0; i < 2; i++) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&ends[i]->storage;

        memcpy(out + HEAD_2 + (size_t)i * size,
               is_v6 ? (const void *)&v6->sin6_addr : (const void *)&v6->sin6_flowinfo,
               size);
        memcpy(out + HEAD_2 + 2 * size + 2 * (size_t)i, &v6->sin6_port, 2);
    }
    return HEAD_2 + 2 * size + 4;
}

size_t proxy_header_print(unsigned version, const struct net_address *source,
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
