/* config_file: reads an INI file into a program's values and reports each mistake with its
 * line number. For config only. */
#ifndef ECHOLAB_CONFIG_FILE_H
#define ECHOLAB_CONFIG_FILE_H

#include <stdbool.h>

#include "config/config_value.h"

/* Read the file at `path`. A missing file is a mistake only if `must_exist`. A file that
 * cannot seek (a pipe, a terminal) is refused, since reading it may block. */
void config_file_read(const struct config_program *program, const char *path,
                      bool must_exist, void *values, struct config_mistakes *mistakes);

#endif
