#include "load/load_schedule.h"

#include "base/clock.h"
#include "tap.h"

static const struct load_schedule one = {.rate = 1000,
                                         .rate_ns = CLOCK_S,
                                         .threads = 1,
                                         .start_ns = 5 * CLOCK_S,
                                         .end_ns = UINT64_MAX};

static void test_one_thread(void)
{
    group("one thread");
    is_int(load_schedule_due(&one, 0), 5 * CLOCK_S, "the first is due at the start");
    is_int(load_schedule_due(&one, 1), 5 * CLOCK_S + CLOCK_MS,
           "the next is due 1/rate later");
    is_int(load_schedule_due(&one, 86400 * 1000), (5 + 86400) * CLOCK_S,
           "no error adds up in a day");
    is_int(load_schedule_count(&one, 0), 0, "none is due before the start");
    is_int(load_schedule_count(&one, 5 * CLOCK_S), 0, "none is due at that very moment");
    is_int(load_schedule_count(&one, 5 * CLOCK_S + 1), 1, "one is due right behind");
    is_int(load_schedule_count(&one, 6 * CLOCK_S), 1000, "1,000 are due after a second");
    is_int(load_schedule_interval(&one), CLOCK_MS, "the time between two is 1/rate");
}

/* What the sum of all threads must be in ten times rate_ns, for uneven numbers. */
static void test_threads(uint64_t rate, uint64_t rate_ns, uint64_t threads)
{
    uint64_t sum = 0, wrong = 0, end = 10 * rate_ns;
    struct load_schedule s = {
        .rate = rate, .rate_ns = rate_ns, .threads = threads, .end_ns = UINT64_MAX};

    group("%u threads, %u in %u ms", (unsigned)threads, (unsigned)rate,
          (unsigned)(rate_ns / CLOCK_MS));
    for (s.thread = 0; s.thread < threads; s.thread++) {
        uint64_t count = load_schedule_count(&s, end);

        sum += count;
        wrong += count > 0 && load_schedule_due(&s, count - 1) >= end ? 1 : 0;
        wrong += load_schedule_due(&s, count) < end ? 1 : 0;
    }
    is_int(sum, 10 * rate, "together they have all messages");
    is_int(wrong, 0, "how many are due and when agree");
}

static void test_slow(void)
{
    struct load_schedule s = one;

    group("one message in two minutes");
    s.rate = 1;
    s.rate_ns = 120 * CLOCK_S;
    is_int(load_schedule_due(&s, 0), 5 * CLOCK_S, "the first is due at the start");
    is_int(load_schedule_due(&s, 1), 125 * CLOCK_S, "the next is due two minutes later");
    is_int(load_schedule_count(&s, 125 * CLOCK_S), 1, "until then one was due");
    is_int(load_schedule_count(&s, 125 * CLOCK_S + 1), 2, "right behind two were due");
    is_int(load_schedule_interval(&s), 120 * CLOCK_S, "so long is the time between two");
    s.threads = 2;
    s.thread = 1;
    is_int(load_schedule_due(&s, 0), 125 * CLOCK_S,
           "of two threads the other has that one");
}

static void test_end(void)
{
    struct load_schedule s = one;

    group("the end");
    s.end_ns = s.start_ns + 2 * CLOCK_S;
    is_int(load_schedule_count(&s, UINT64_MAX), 2000, "nothing is due after the end");
    s.end_ns = s.start_ns;
    is_int(load_schedule_count(&s, UINT64_MAX), 0, "an end at the start: nothing is due");
}

int main(void)
{
    test_one_thread();
    test_threads(1, CLOCK_S, 1);
    test_threads(7, CLOCK_S, 3);
    test_threads(1, CLOCK_S, 64);
    test_threads(10000000, CLOCK_S, 7);
    test_threads(99991, 24 * 3600 * CLOCK_S, 3);
    test_threads(7, 3 * CLOCK_MS, 5);
    test_slow();
    test_end();
    return done();
}
