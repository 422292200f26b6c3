/* format: the part of snprintf(3) that this project needs.
 *
 * musl's snprintf(), with floating point and wide characters, would be a fifth of a static
 * executable. The compiler checks the arguments as for printf(3).
 *
 * Conversions: %s %c %d %u %x %%, lengths l, ll, z, j; flags 0 (not for negative numbers)
 * and -, a width, and for %s a precision (a number or *). Any other conversion is a bug and
 * aborts.
 *
 * FORMAT_S in a pattern is the ending of a plural: "%u byte" FORMAT_S writes "1 byte" or
 * "2 bytes", by the last %u before it. */
#ifndef ECHOLAB_FORMAT_H
#define ECHOLAB_FORMAT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#define FORMAT_S "\1"

/* Write at most size - 1 characters and a NUL to `out` (size > 0). Returns the length of
 * the whole text; if that is >= size, the text was cut. */
size_t format(char *out, size_t size, const char *pattern, ...)
    __attribute__((format(printf, 3, 4)));
size_t format_list(char *out, size_t size, const char *pattern, va_list arguments)
    __attribute__((format(printf, 3, 0)));

/* The same, and what each conversion gives, without its padding, is shown to `each` before
 * it is written. `conversion` is its letter; if `each` returns false, it is left out. */
typedef bool format_each(void *context, const char *bytes, size_t length, char conversion);
size_t format_each_list(char *out, size_t size, format_each *each, void *context,
                        const char *pattern, va_list arguments);

#endif
