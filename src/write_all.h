/* write_all: write(2) until nothing is left. */
#ifndef ECHOLAB_WRITE_ALL_H
#define ECHOLAB_WRITE_ALL_H

#include <stdbool.h>
#include <stddef.h>

/* Write all of `text`, however long that takes; a descriptor that another process made
 * non-blocking is waited for. Returns false with errno set when it fails: a full disk must
 * not look like success. */
bool write_all(int fd, const char *text, size_t length);

#endif
