/* Text for a descriptor: all of it, in its order, however it is cut; and what cannot be
 * written. */
#include "io/output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

static void test_order(void)
{
    static char wanted[100000], got[100000];
    char path[] = "/tmp/output_test.XXXXXX";
    int fd = mkstemp(path);
    struct output output = {.fd = fd};
    size_t length = 0;

    group("a long text");
    for (unsigned i = 0; length < sizeof wanted - 600; i++) {
        int width = (int)(i * 37 % OUTPUT_PIECE_MAX);
        char piece[OUTPUT_PIECE_MAX];

        memset(piece, 'a' + (char)(i % 26), sizeof piece);
        output_put(&output, "%.*s", width, piece);
        memcpy(wanted + length, piece, (size_t)width);
        length += (size_t)width;
    }
    ok(output_flush(&output), "is written");
    is_int(pread(fd, got, sizeof got, 0), length, "to its end");
    is_mem(got, wanted, length, "in its order");
    unlink(path);
    close(fd);
}

static void test_full(void)
{
    struct output output = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC)};

    group("a full device");
    output_put(&output, "text");
    ok(!output_flush(&output), "is a failure");
    close(output.fd);
    output.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    output_put(&output, "more");
    ok(!output_flush(&output), "which is remembered");
    close(output.fd);
}

int main(void)
{
    test_order();
    test_full();
    return done();
}
