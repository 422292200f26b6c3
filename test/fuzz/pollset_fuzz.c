/* The poll set in the made-up world of its unit test, steered by the fuzzer's bytes. */
#include "io/pollset.h"

#include <errno.h>

#include "fuzz.h"
#include "pollset_world.h"

#define FDS 24

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    fuzz_bytes = bytes;
    fuzz_left = length;
    world_begin(FDS);
    world.is_random = true;
    while (fuzz_left > 0) {
        world_random_step();
        if (below(3) == 0) {
            if (below(64) == 1) {
                world.poll_errno = EINTR;
            }
            world_keep_going();
            if (FUZZ_CONTROL) {
                world_lose_wakeup();
            }
            world_round();
            PROMISE(pollset_is_sound(world.set));
        }
    }
    world_end();
    return 0;
}
