/* The poll set in the made-up world of its unit test, steered by the fuzzer's bytes. */
#include "pollset.h"

#include "fuzz.h"

#define FDS 24

#include "../unit/pollset_world.h"

/* The control: a kernel that loses a signal and does not say so. */
static void lose_signal(void)
{
    if (FUZZ_CONTROL && told_count > 0 && below(2) == 1) {
        told_count--;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    fuzz_bytes = bytes;
    fuzz_left = length;
    now_ns = 1000 * CLOCK_S;
    begin();
    is_random = true;
    poll_errno = 0;
    while (fuzz_left > 0) {
        random_step();
        if (below(3) == 0) {
            if (below(64) == 1) {
                poll_errno = EINTR;
            }
            if (!fds[0].is_member) {
                add(0, POLLIN);
            } else if (fds[0].wanted == 0) {
                want(0, POLLIN);
            }
            lose_signal();
            round_of();
            PROMISE(pollset_is_sound(set));
        }
    }
    pollset_free(set);
    return 0;
}
