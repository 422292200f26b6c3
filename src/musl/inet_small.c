/* inet_small: small versions of inet_ntop(3) and inet_pton(3). Their texts are those of RFC
 * 5952 and of RFC 4291, 2.2. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define V4_BYTES 4
#define V6_BYTES 16
#define GROUPS   8

/* The C library's headers use other names for the parameters. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

/* ---- to text ------------------------------------------------------------------------- */

/* A number of at most four digits. Returns their end. */
static char *put_number(char *out, unsigned number, unsigned base)
{
    for (unsigned place = base * base * base; place > 0; place /= base) {
        if (number >= place || place == 1) {
            *out++ = "0123456789abcdef"[number / place % base];
        }
    }
    return out;
}

static void put_v4(char *out, const unsigned char *bytes)
{
    for (int i = 0; i < V4_BYTES; i++) {
        out = put_number(out, bytes[i], 10);
        *out++ = i + 1 < V4_BYTES ? '.' : '\0';
    }
}

static unsigned group_at(const unsigned char *bytes, int group)
{
    return (unsigned)bytes[2 * group] << 8 | bytes[2 * group + 1];
}

/* How many groups of 0 there are from this one on. */
static int zeros_at(const unsigned char *bytes, int group)
{
    int count = 0;

    while (group + count < GROUPS && group_at(bytes, group + count) == 0) {
        count++;
    }
    return count;
}

/* The first of the longest runs of groups of 0 is "::", if it is longer than one. */
static void put_v6(char *out, const unsigned char *bytes)
{
    int gap = GROUPS, length = 1;
    bool is_mapped = zeros_at(bytes, 0) == 5 && group_at(bytes, 5) == 0xffff;

    for (int i = 0; i < GROUPS; i++) {
        if (zeros_at(bytes, i) > length) {
            gap = i;
            length = zeros_at(bytes, i);
        }
    }
    for (int i = 0; i < GROUPS; i++) {
        if (i == gap) { /* one ':' here, one before what follows, be it the end */
            *out++ = ':';
            i += length;
        }
        if (i > 0) {
            *out++ = ':';
        }
        if (i == GROUPS - 2 && is_mapped) {
            put_v4(out, bytes + V6_BYTES - V4_BYTES);
            return;
        }
        if (i < GROUPS) {
            out = put_number(out, group_at(bytes, i), 16);
        }
    }
    *out = '\0';
}

const char *inet_ntop(int family, const void *restrict bytes, char *restrict out,
                      socklen_t room)
{
    char text[INET6_ADDRSTRLEN];

    if (family == AF_INET) {
        put_v4(text, bytes);
    } else if (family == AF_INET6) {
        put_v6(text, bytes);
    } else {
        errno = EAFNOSUPPORT;
        return NULL;
    }
    size_t size = strlen(text) + 1;
    if (size > room) {
        errno = ENOSPC;
        return NULL;
    }
    return memcpy(out, text, size);
}

/* ---- from text ----------------------------------------------------------------------- */

/* The value of a digit; 16: it is none. */
static unsigned digit(char c)
{
    unsigned letter = ((unsigned char)c | 0x20U) - 'a';

    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : letter < 6 ? letter + 10 : 16;
}

/* Read at most `most` digits. Returns how many there are. */
static size_t take_number(const char *text, size_t most, unsigned base, unsigned *number)
{
    size_t length = 0;

    *number = 0;
    while (length < most && digit(text[length]) < base) {
        *number = *number * base + digit(text[length++]);
    }
    return length;
}

static bool read_v4(const char *text, unsigned char *bytes)
{
    for (int i = 0; i < V4_BYTES; i++) {
        unsigned number;
        size_t length = take_number(text, 3, 10, &number);

        if (length == 0 || (length > 1 && *text == '0') || number > 255 ||
            text[length] != (i + 1 < V4_BYTES ? '.' : '\0')) {
            return false;
        }
        bytes[i] = (unsigned char)number;
        text += length + 1;
    }
    return true;
}

/* Groups with ':' between them; the last two may be an IPv4 address. Sets how many bytes
 * they are, and where among them "::" stands (V6_BYTES: nowhere). */
static bool read_groups(const char *text, unsigned char *bytes, size_t *count, size_t *gap)
{
    for (;; text++) {
        unsigned number;

        if (*text == ':' && *gap == V6_BYTES && *count < V6_BYTES) {
            *gap = *count;
            if (*++text == '\0') {
                return true;
            }
        }
        size_t length = take_number(text, 4, 16, &number);
        if (text[length] == '.' && *count <= V6_BYTES - V4_BYTES) {
            *count += V4_BYTES;
            return read_v4(text, bytes + *count - V4_BYTES);
        }
        if (length == 0 || *count == V6_BYTES) {
            return false;
        }
        bytes[(*count)++] = (unsigned char)(number >> 8);
        bytes[(*count)++] = (unsigned char)number;
        text += length;
        if (*text != ':') {
            return *text == '\0';
        }
    }
}

/* "::" is as many groups of 0 as are missing, one at least. */
static bool read_v6(const char *text, unsigned char *bytes)
{
    size_t count = 0, gap = V6_BYTES;

    if (*text == ':' && *++text != ':') {
        return false;
    }
    if (!read_groups(text, bytes, &count, &gap)) {
        return false;
    }
    if (gap == V6_BYTES || count == V6_BYTES) {
        return gap == count;
    }
    memmove(bytes + V6_BYTES - (count - gap), bytes + gap, count - gap);
    memset(bytes + gap, 0, V6_BYTES - count);
    return true;
}

int inet_pton(int family, const char *restrict text, void *restrict bytes)
{
    switch (family) {
    case AF_INET:
        return read_v4(text, bytes);
    case AF_INET6:
        return read_v6(text, bytes);
    default:
        errno = EAFNOSUPPORT;
        return -1;
    }
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
