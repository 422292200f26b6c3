#include "base/ensure.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void ensure_failed(const char *text)
{
    static const char head[] = "bug: ";

    if (write(STDERR_FILENO, head, sizeof head - 1) != -1 &&
        write(STDERR_FILENO, text, strlen(text)) != -1) {
        abort();
    }
    abort();
}
