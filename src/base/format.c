#include "base/format.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PRECISION_IS_ARGUMENT (SIZE_MAX - 1)

struct output {
    char *text;
    size_t size;
    size_t length;     /* of the whole text, whether it fits or not */
    format_each *each; /* NULL: nobody looks */
    void *context;
    char conversion; /* its letter */
};

/* One conversion: all between % and its letter. */
struct spec {
    bool is_left, is_zeroed;
    size_t width;
    size_t precision; /* of %s; SIZE_MAX: none */
    int longs;        /* 0: int; 1: long, size_t, intmax_t and long long, all of 64 bits */
};

static void put(struct output *out, const char *bytes, size_t length)
{
    if (out->length < out->size) {
        size_t room = out->size - out->length;

        memcpy(out->text + out->length, bytes, length < room ? length : room);
    }
    out->length += length;
}

static void put_padding(struct output *out, char c, size_t count)
{
    while (count-- > 0) {
        put(out, &c, 1);
    }
}

static void put_field(struct output *out, const struct spec *spec, const char *bytes,
                      size_t length)
{
    size_t padding = spec->width > length ? spec->width - length : 0;

    if (out->each != NULL && !out->each(out->context, bytes, length, out->conversion)) {
        return;
    }
    if (!spec->is_left) {
        put_padding(out, spec->is_zeroed ? '0' : ' ', padding);
    }
    put(out, bytes, length);
    if (spec->is_left) {
        put_padding(out, ' ', padding);
    }
}

static void put_number(struct output *out, const struct spec *spec, uint64_t number,
                       bool is_negative, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;

    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    if (is_negative) {
        digits[--at] = '-';
    }
    put_field(out, spec, digits + at, sizeof digits - at);
}

static size_t take_number(const char **pattern)
{
    size_t number = 0;

    for (; **pattern >= '0' && **pattern <= '9'; (*pattern)++) {
        number = number * 10 + (size_t)(**pattern - '0');
    }
    return number;
}

static struct spec take_spec(const char **pattern)
{
    struct spec spec = {.precision = SIZE_MAX};

    for (;; (*pattern)++) {
        if (**pattern == '-') {
            spec.is_left = true;
        } else if (**pattern == '0') {
            spec.is_zeroed = true;
        } else {
            break;
        }
    }
    spec.width = take_number(pattern);
    if (**pattern == '.') {
        (*pattern)++;
        spec.precision = take_number(pattern);
        if (**pattern == '*') {
            (*pattern)++;
            spec.precision = PRECISION_IS_ARGUMENT;
        }
    }
    for (; **pattern == 'l' || **pattern == 'z' || **pattern == 'j'; (*pattern)++) {
        spec.longs = 1;
    }
    return spec;
}

size_t format_each_list(char *out, size_t size, format_each *each, void *context,
                        const char *pattern, va_list arguments)
{
    struct output output = {
        .text = out, .size = size - 1, .each = each, .context = context};

    uint64_t last = 0; /* number */

    while (*pattern != '\0') {
        size_t literal = strcspn(pattern, "%" FORMAT_S);

        put(&output, pattern, literal);
        pattern += literal;
        if (*pattern == '\0') {
            break;
        }
        if (*pattern++ == *FORMAT_S) {
            put(&output, "s", last != 1);
            continue;
        }
        struct spec spec = take_spec(&pattern);
        if (spec.precision == PRECISION_IS_ARGUMENT) {
            spec.precision = (size_t)va_arg(arguments, int);
        }
        output.conversion = *pattern;
        switch (*pattern++) {
        case 's': {
            const char *string = va_arg(arguments, const char *);
            put_field(&output, &spec, string, strnlen(string, spec.precision));
            break;
        }
        case 'c': {
            char c = (char)va_arg(arguments, int);
            put_field(&output, &spec, &c, 1);
            break;
        }
        case 'd': {
            int64_t n = spec.longs ? va_arg(arguments, long) : va_arg(arguments, int);
            put_number(&output, &spec, n < 0 ? -(uint64_t)n : (uint64_t)n, n < 0, 10);
            break;
        }
        case 'u':
        case 'x': {
            last =
                spec.longs ? va_arg(arguments, unsigned long) : va_arg(arguments, unsigned);
            put_number(&output, &spec, last, false, pattern[-1] == 'x' ? 16 : 10);
            break;
        }
        case '%':
            put(&output, "%", 1);
            break;
        default:
            abort();
        }
    }
    out[output.length < output.size ? output.length : output.size] = '\0';
    return output.length;
}

size_t format_list(char *out, size_t size, const char *pattern, va_list arguments)
{
    return format_each_list(out, size, NULL, NULL, pattern, arguments);
}

size_t format(char *out, size_t size, const char *pattern, ...)
{
    va_list arguments;

    va_start(arguments, pattern);
    size_t length = format_list(out, size, pattern, arguments);
    va_end(arguments);
    return length;
}
