/* escape: untrusted bytes as text that is safe in one line of a log or a message.
 *
 * Printable characters of valid UTF-8 (RFC 3629) stay as they are. Newline, carriage return
 * and tab become \n, \r and \t, and a backslash is doubled. Every other byte becomes \xNN:
 * control characters (a terminal would obey them), marks that change the direction of
 * writing, invalid UTF-8. */
#ifndef ECHOLAB_ESCAPE_H
#define ECHOLAB_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>

/* Write the escaped bytes to `out` as a string of at most `size` bytes with its NUL (size
 * >= 8). A longer text is cut after a whole character and ends in "...". Returns out. */
char *escape_bytes(char *out, size_t size, const void *data, size_t length);

/* Are all bytes printable? A backslash is. */
bool escape_is_printable(const void *data, size_t length);

#endif
