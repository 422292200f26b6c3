#include "load_schedule.h"

#include "clock.h"
#include "tap.h"

static const struct load_schedule one = {
    .rate = 1000, .threads = 1, .start_ns = 5 * CLOCK_S, .end_ns = UINT64_MAX};

static void test_one_thread(void)
{
    is_int(load_schedule_due(&one, 0), 5 * CLOCK_S, "the first is due at the start");
    is_int(load_schedule_due(&one, 1), 5 * CLOCK_S + CLOCK_MS, "the next 1/rate later");
    is_int(load_schedule_due(&one, 86400 * 1000), (5 + 86400) * CLOCK_S,
           "no error adds up in a day");
    is_int(load_schedule_count(&one, 0), 0, "none is due before the start");
    is_int(load_schedule_count(&one, 5 * CLOCK_S), 0, "... nor before that very moment");
    is_int(load_schedule_count(&one, 5 * CLOCK_S + 1), 1, "one right behind");
    is_int(load_schedule_count(&one, 6 * CLOCK_S), 1000, "a second's");
    is_int(load_schedule_interval(&one), CLOCK_MS, "the time between two");
}

/* What the sum of all threads must be, for uneven numbers. */
static void test_threads(uint64_t rate, uint64_t threads)
{
    uint64_t sum = 0, wrong = 0;
    struct load_schedule s = {.rate = rate, .threads = threads, .end_ns = UINT64_MAX};

    for (s.thread = 0; s.thread < threads; s.thread++) {
        uint64_t count = load_schedule_count(&s, 10 * CLOCK_S);

        sum += count;
        wrong += count > 0 && load_schedule_due(&s, count - 1) >= 10 * CLOCK_S ? 1 : 0;
        wrong += load_schedule_due(&s, count) < 10 * CLOCK_S ? 1 : 0;
    }
    is_int(sum, 10 * rate, "%u threads have all of %u/s", (unsigned)threads,
           (unsigned)rate);
    is_int(wrong, 0, "... and agree when each is due");
}

static void test_end(void)
{
    struct load_schedule s = one;

    s.end_ns = s.start_ns + 2 * CLOCK_S;
    is_int(load_schedule_count(&s, UINT64_MAX), 2000, "nothing is due after the end");
    s.end_ns = s.start_ns;
    is_int(load_schedule_count(&s, UINT64_MAX), 0, "an end at the start");
}

int main(void)
{
    test_one_thread();
    test_threads(1, 1);
    test_threads(7, 3);
    test_threads(1, 64);
    test_threads(10000000, 7);
    test_end();
    return done();
}
