/* escape: bytes of unknown origin made fit for one line of a log or a message.
 *
 * Printable characters of valid UTF-8 (RFC 3629) stay as they are; newline, return and tab
 * become \n, \r and \t, a backslash doubles, every other byte becomes \xNN: controls (a
 * terminal would obey them), marks that turn the direction of writing, invalid UTF-8. */
#ifndef ECHOLAB_ESCAPE_H
#define ECHOLAB_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* Write the escaped bytes as a string of less than `size` bytes to `out` (size >= 8); what
 * does not fit is cut at a whole character and ends in "...". Returns out. */
char *escape_bytes(char *out, size_t size, const void *data, size_t length);

/* Do all bytes print? A backslash does. */
bool escape_is_printable(const void *data, size_t length);

#endif
