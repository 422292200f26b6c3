/* format: the part of snprintf(3) that this project needs.
 *
 * musl's own, with floating point and wide characters, would be a fifth of a static
 * executable. The compiler checks the arguments as for printf.
 *
 * Conversions: %s %c %d %u %x %%, lengths l, ll, z, j; flags 0 (not for negative numbers)
 * and -, a width, and for %s a precision (a number or *). Anything else is a bug. */
#ifndef ECHOLAB_FORMAT_H
#define ECHOLAB_FORMAT_H

#include <stdarg.h>
#include <stddef.h>

/* Write at most size - 1 characters and a NUL to `out` (size > 0). Returns how long the
 * whole text is: a result >= size means that it was cut. */
size_t format(char *out, size_t size, const char *pattern, ...)
    __attribute__((format(printf, 3, 4)));
size_t format_list(char *out, size_t size, const char *pattern, va_list arguments)
    __attribute__((format(printf, 3, 0)));

#endif
