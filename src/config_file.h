/* config_file: an INI file into a program's values, every mistake with its line's number.
 * For config only. */
#ifndef ECHOLAB_CONFIG_FILE_H
#define ECHOLAB_CONFIG_FILE_H

#include <stdbool.h>

#include "config.h"
#include "config_value.h"

/* Read the file at `path`; nothing happens if there is none and it need not exist. What
 * cannot seek (a pipe, a terminal) is refused: it may block. */
void config_file_read(const struct config_program *program, const char *path,
                      bool must_exist, void *values, struct config_mistakes *mistakes);

#endif
