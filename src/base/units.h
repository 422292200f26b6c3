/* units: durations and sizes as people write them.
 *
 * Durations use Go's notation (time.ParseDuration): one or more decimal numbers, each with
 * its unit: 500ms, 1m2s, 1.5h. Units are ns, us (or µs), ms, s, m, h. A bare 0 needs no
 * unit. Signs are not allowed.
 *
 * A size is a whole number of bytes, or of one of the units KiB, MiB, GiB (IEC 80000-13:
 * powers of 1024) and kB, MB, GB (powers of 1000). */
#ifndef ECHOLAB_UNITS_H
#define ECHOLAB_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough for any duration that units_format_duration() prints. */
#define UNITS_DURATION_TEXT 48

/* Parse `text` into nanoseconds. Returns false when `text` is not a duration or is more
 * than 2^64 - 1 ns; *ns is then unchanged. Digits below a nanosecond are dropped. */
bool units_parse_duration(const char *text, uint64_t *ns);

/* Parse an unsigned decimal number without sign or blanks. Returns false when `text` is not
 * one or is more than 2^64 - 1; *number is then unchanged. */
bool units_parse_whole(const char *text, uint64_t *number);

/* Parse a size into bytes. Returns false when `text` is not a size or is more than 2^64 -
 * 1; *bytes is then unchanged. */
bool units_parse_size(const char *text, uint64_t *bytes);

/* Print a size so that it parses back to the same value: 65536 is "64KiB", 1000 is "1000".
 * Writes to `out`, which has UNITS_SIZE_TEXT bytes, and returns it. */
#define UNITS_SIZE_TEXT 24
char *units_format_size(char *out, uint64_t bytes);

/* Print a duration so that it parses back to the same value: 62 s is "1m2s", 0 is "0s".
 * Writes to `out`, which has UNITS_DURATION_TEXT bytes, and returns it. */
char *units_format_duration(char *out, uint64_t ns);

#endif
