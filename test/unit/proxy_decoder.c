#include "proxy_decoder.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unsigned proxy_crc32c(const unsigned char *bytes, size_t length)
{
    static uint32_t table[256];
    uint32_t crc = 0xffffffff;

    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) {
            table[i] = (table[i] & 1) != 0 ? (table[i] >> 1) ^ 0x82f63b78 : table[i] >> 1;
        }
    }
    while (length-- > 0) {
        crc = table[(crc ^ *bytes++) & 0xff] ^ (crc >> 8);
    }
    return crc ^ 0xffffffff;
}

/* Decimal, without leading zeros, at most `most`. Returns -1 for other texts. */
static long decimal(const char *text, long most)
{
    size_t length = strlen(text);

    if (length == 0 || length > 5 || strspn(text, "0123456789") != length ||
        (length > 1 && *text == '0') || atol(text) > most) {
        return -1;
    }
    return atol(text);
}

static bool read_v4(const char *text, unsigned char *out)
{
    char part[4][16];
    char rest;

    if (strlen(text) > 15 || text[strlen(text) - 1] == ' ' ||
        sscanf(text, "%15[0-9].%15[0-9].%15[0-9].%15[0-9]%c", part[0], part[1], part[2],
               part[3], &rest) != 4) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        if (decimal(part[i], 255) < 0) {
            return false;
        }
        out[i] = (unsigned char)decimal(part[i], 255);
    }
    return true;
}

/* Groups of up to four digits with single colons between, at most 8. Returns how many; -1:
 * none of that form. An empty text is 0 groups. */
static int read_groups(const char *text, size_t length, unsigned char *out)
{
    int count = 0;

    for (size_t at = 0; at < length;) {
        size_t digits = 0;
        unsigned value = 0;

        while (at + digits < length && isxdigit((unsigned char)text[at + digits])) {
            char c[2] = {text[at + digits++], '\0'};

            value = value * 16 + (unsigned)strtoul(c, NULL, 16);
        }
        if (digits == 0 || digits > 4 || count == 8) {
            return -1;
        }
        out[2 * count] = (unsigned char)(value >> 8);
        out[2 * count++ + 1] = (unsigned char)value;
        at += digits;
        if (at < length && (text[at++] != ':' || at == length)) {
            return -1;
        }
    }
    return count;
}

static bool read_v6(const char *text, unsigned char *out)
{
    unsigned char tail[16];
    const char *gap = strstr(text, "::");

    memset(out, 0, 16);
    if (gap == NULL) {
        return read_groups(text, strlen(text), out) == 8;
    }
    int before = read_groups(text, (size_t)(gap - text), out);
    int after = read_groups(gap + 2, strlen(gap + 2), tail);
    if (before < 0 || after < 0 || before + after > 7) {
        return false;
    }
    memcpy(out + 16 - 2 * after, tail, 2 * (size_t)after);
    return true;
}

static void show(int family, const unsigned char *address, unsigned port, char *source)
{
    char host[INET6_ADDRSTRLEN];

    inet_ntop(family, address, host, sizeof host);
    snprintf(source, 64, "%s %u", host, port);
}

static long decode_line(const char *line, char *source)
{
    char copy[128], *word[8], *rest = copy;
    unsigned char from[16], to[16];
    int words = 0;

    if (strncmp(line, "PROXY UNKNOWN", 13) == 0 && (line[13] == '\0' || line[13] == ' ')) {
        strcpy(source, "-");
        return 1;
    }
    snprintf(copy, sizeof copy, "%s", line);
    while (words < 8 && (word[words] = strsep(&rest, " ")) != NULL) {
        words++;
    }
    if (words != 6) {
        return -1;
    }
    bool is_v6 = strcmp(word[1], "TCP6") == 0;
    if ((!is_v6 && strcmp(word[1], "TCP4") != 0) || *word[2] == '\0' || *word[3] == '\0' ||
        !(is_v6 ? read_v6 : read_v4)(word[2], from) ||
        !(is_v6 ? read_v6 : read_v4)(word[3], to) || decimal(word[4], 65535) < 0 ||
        decimal(word[5], 65535) < 0) {
        return -1;
    }
    show(is_v6 ? AF_INET6 : AF_INET, from, (unsigned)decimal(word[4], 65535), source);
    return 1;
}

static long decode_1(const unsigned char *bytes, size_t length, char *source)
{
    for (size_t i = 0; i + 1 < length && i + 2 <= 107; i++) {
        if (bytes[i] == '\r' && bytes[i + 1] == '\n') {
            char line[128];

            /* A NUL inside is ignored behind UNKNOWN, and wrong elsewhere. */
            memcpy(line, bytes, i);
            line[i] = '\0';
            if (strlen(line) < i && strncmp(line, "PROXY UNKNOWN ", 14) != 0) {
                return -1;
            }
            return decode_line(line, source) < 0 ? -1 : (long)i + 2;
        }
    }
    return length >= 107 ? -1 : 0;
}

/* Walk the TLVs and check the one checksum that there may be. */
static bool tlvs_are_good(const unsigned char *header, size_t at, size_t total)
{
    int sums = 0;

    while (at < total) {
        if (total - at < 3) {
            return false;
        }
        size_t size = header[at + 1] * 256U + header[at + 2];
        if (size > total - at - 3) {
            return false;
        }
        if (header[at] == 3) {
            unsigned char copy[16 + 65535];
            unsigned told = 0;

            if (++sums > 1 || size != 4) {
                return false;
            }
            for (int i = 0; i < 4; i++) {
                told = told << 8 | header[at + 3 + (size_t)i];
            }
            memcpy(copy, header, total);
            memset(copy + at + 3, 0, 4);
            if (proxy_crc32c(copy, total) != told) {
                return false;
            }
        }
        at += 3 + size;
    }
    return true;
}

static long decode_2(const unsigned char *b, size_t length, char *source)
{
    static const size_t sizes[] = {0, 12, 36, 216};

    strcpy(source, "-");
    if (length > 12 && b[12] != 0x20 && b[12] != 0x21) {
        return -1;
    }
    bool is_local = length > 12 && b[12] == 0x20;
    if (length > 13 && !is_local && (b[13] >= 0x40 || b[13] % 16 > 2)) {
        return -1;
    }
    if (length < 16) {
        return 0;
    }
    size_t total = 16 + b[14] * 256U + b[15];
    unsigned family = is_local || b[13] % 16 == 0 ? 0 : b[13] / 16;
    if (total > 4096 || total < 16 + sizes[family]) {
        return -1;
    }
    if (length < total) {
        return 0;
    }
    if (family != 0 && !tlvs_are_good(b, 16 + sizes[family], total)) {
        return -1;
    }
    if (family == 1) {
        show(AF_INET, b + 16, b[24] * 256U + b[25], source);
    } else if (family == 2) {
        show(AF_INET6, b + 16, b[48] * 256U + b[49], source);
    }
    return (long)total;
}

long proxy_decode(const unsigned char *bytes, size_t length, char *source)
{
    static const char starts[2][13] = {"PROXY ", "\r\n\r\n\0\r\nQUIT\n"};
    static const size_t sizes[2] = {6, 12};

    for (int version = 1; version <= 2; version++) {
        size_t size = sizes[version - 1];

        if (memcmp(bytes, starts[version - 1], length < size ? length : size) == 0) {
            return length < size  ? 0
                   : version == 1 ? decode_1(bytes, length, source)
                                  : decode_2(bytes, length, source);
        }
    }
    return -1;
}
