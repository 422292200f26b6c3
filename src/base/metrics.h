/* metrics: a program's metrics as one table, for Prometheus (text exposition format 0.0.4)
 * and for the log, so that HELP, TYPE, values and documents cannot drift apart.
 *
 * A program has a table of rows and an array of numbers, which it fills for each report. A
 * row names the first of its numbers: one, one for each value of its label, or those of a
 * histogram. */
#ifndef ECHOLAB_METRICS_H
#define ECHOLAB_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* Enough for the text of every program's table, whatever its numbers are. */
#define METRICS_TEXT (16 * 1024)

enum metrics_type {
    METRICS_GAUGE,
    METRICS_COUNTER,
    METRICS_HISTOGRAM, /* metrics_histogram.h */
};

/* A series for each value of the label; or one series, whatever its labels. */
struct metrics_label {
    const char *name;          /* without values: name="value" for all labels */
    const char *const *values; /* NULL at the end */
};

struct metrics_row {
    const char *name; /* without the program's prefix; process_... has none */
    const char *help; /* a few words without a full stop, newline or backslash */
    const struct metrics_label *label; /* NULL: one series without labels */
    uint8_t type;                      /* enum metrics_type */
    uint8_t is_ns;  /* its numbers are nanoseconds, to be shown as seconds */
    uint16_t first; /* index of its first number */
};

struct metrics {
    const char *prefix; /* "echo_server_" */
    const struct metrics_row *rows;
    size_t count;
    /* metrics_histogram() if there is a histogram among the rows, else NULL: a program
     * without one does not contain it. Writes the series at `at` and returns their end. */
    char *(*histogram)(char *at, const char *prefix, const char *name,
                       const uint64_t *numbers);
};

/* The most characters of a line, with its newline and NUL. */
#define METRICS_LINE 256

/* Write the exposition into METRICS_TEXT bytes. Returns its length. */
size_t metrics_print(const struct metrics *metrics, const uint64_t *numbers, char *out);

/* Log the series of an exposition of `size` bytes, at every level, one a line: "counters:
 * NAME{LABELS} NUMBER". */
void metrics_log(const char *text, size_t size);

#endif
