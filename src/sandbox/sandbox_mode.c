#include "sandbox/sandbox_mode.h"

#include <stddef.h>

const char *const sandbox_mode_names[] = {"auto", "on", "off", NULL};
