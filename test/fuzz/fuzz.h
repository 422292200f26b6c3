/* fuzz: what the fuzz targets share: model.h's choices, taken from the fuzzer's bytes, and
 * its promises, of which a broken one ends the process. One file of a target includes it.
 *
 * A target is a world that the bytes steer, a model that knows what must happen, and the
 * code of src/ between them. Built with FUZZ_CONTROL, the model or the world is wrong in
 * one place: the fuzzer has to find that, or the target could not find anything. */
#ifndef ECHOLAB_FUZZ_H
#define ECHOLAB_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "model.h"

#ifndef FUZZ_CONTROL
#define FUZZ_CONTROL 0
#endif

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* What is left of the input. */
static const uint8_t *fuzz_bytes;
static size_t fuzz_left;

void promise_broken(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: broken: %s\n", file, line, condition);
    abort();
}

/* 0 when the input is used up. n is 65536 at most. */
unsigned below(unsigned n)
{
    unsigned value = 0;

    for (unsigned most = n - 1; most > 0 && fuzz_left > 0; most >>= 8) {
        value = value << 8 | *fuzz_bytes++;
        fuzz_left--;
    }
    return n > 0 ? value % n : 0;
}

#endif
