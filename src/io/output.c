#include "io/output.h"

#include <errno.h>
#include <stdarg.h>

#include "base/format.h"
#include "io/fdwait.h"

bool output_flush(struct output *output)
{
    if (output->error == 0 && !fdwait_write_all(output->fd, output->text, output->used)) {
        output->error = errno;
    }
    output->used = 0;
    errno = output->error;
    return output->error == 0;
}

void output_put(struct output *output, const char *pattern, ...)
{
    va_list arguments;

    if (output->used > sizeof output->text - OUTPUT_PIECE_MAX) {
        output_flush(output);
    }
    va_start(arguments, pattern);
    size_t length = format_list(output->text + output->used,
                                sizeof output->text - output->used, pattern, arguments);
    va_end(arguments);
    size_t room = sizeof output->text - output->used - 1;
    output->used += length < room ? length : room;
}
