/* output: text for a descriptor, gathered in a buffer and written when that is full.
 *
 * Reports are made with it. What cannot be written is remembered, so that a report need not
 * look after each piece. */
#ifndef ECHOLAB_OUTPUT_H
#define ECHOLAB_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* The longest text of one output_put(). */
#define OUTPUT_PIECE_MAX 512

/* At first all fields but `fd` are 0. */
struct output {
    int fd;
    int error; /* errno of the first write that failed, after which there are none; 0 */
    size_t used;
    char text[4096];
};

/* Add text, as format() makes it. */
void output_put(struct output *output, const char *pattern, ...)
    __attribute__((format(printf, 2, 3)));

/* Write what the buffer holds, however long that takes. Returns false with errno set when
 * this or an earlier write failed. */
bool output_flush(struct output *output);

#endif
