#include "model.h"

#include <stdio.h>

/* Of that many broken promises the place is told; all are counted. */
#define TOLD_MAX 10

static long broken;

void promise_broken(const char *file, int line, const char *condition)
{
    if (broken++ < TOLD_MAX) {
        fprintf(stderr, "# %s:%d: broken: %s\n", file, line, condition);
    }
}

long promises_broken(void)
{
    return broken;
}

uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252U; /* xorshift64 */

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

unsigned below(unsigned n)
{
    return (unsigned)(next_random() >> 33) % n;
}
