#include "base/escape.h"

#include <stdint.h>
#include <string.h>

#include "base/format.h"

/* The length of the printable UTF-8 character at `p`; 0: there is none (RFC 3629). C1
 * controls, zero-width characters, marks of direction and separators like U+2028 are not
 * printable. */
static size_t printable(const unsigned char *p, size_t left)
{
    if (p[0] >= 0x20 && p[0] < 0x7f) {
        return 1;
    }
    size_t length = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < length) {
        return 0;
    }
    uint32_t c = p[0] & (0xffU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3f);
    }
    bool overlong = (length == 3 && c < 0x800) || (length == 4 && c < 0x10000);
    bool surrogate = c >= 0xd800 && c <= 0xdfff;
    bool control = c < 0xa0 || (c >= 0x200b && c <= 0x200f) ||
                   (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
                   c == 0xfeff || c == 0x61c;
    return overlong || surrogate || control || c > 0x10ffff ? 0 : length;
}

bool escape_is_printable(const void *data, size_t length)
{
    const unsigned char *in = data;

    for (size_t i = 0, step; i < length; i += step) {
        step = printable(in + i, length - i);
        if (step == 0) {
            return false;
        }
    }
    return true;
}

char *escape_bytes(char *out, size_t size, const void *data, size_t length)
{
    const unsigned char *in = data;
    size_t used = 0, safe = 0; /* safe: the last place where "..." fits */

    for (size_t i = 0; i < length;) {
        char piece[5];
        size_t step = printable(in + i, length - i);
        size_t width;

        if (step > 0 && in[i] != '\\') {
            memcpy(piece, in + i, step);
            width = step;
        } else {
            const char *name = in[i] == '\n'   ? "\\n"
                               : in[i] == '\r' ? "\\r"
                               : in[i] == '\t' ? "\\t"
                               : in[i] == '\\' ? "\\\\"
                                               : NULL;
            width = name != NULL ? format(piece, sizeof piece, "%s", name)
                                 : format(piece, sizeof piece, "\\x%02x", in[i]);
            step = 1;
        }
        if (used + width >= size) {
            memcpy(out + safe, "...", 4);
            return out;
        }
        memcpy(out + used, piece, width);
        used += width;
        if (used + 4 <= size) {
            safe = used;
        }
        i += step;
    }
    out[used] = '\0';
    return out;
}
