/* Deadlines against a naive array that looks at every descriptor each time. */
#include "io/deadlines.h"

#include "model.h"
#include "tap.h"

#define FDS   150
#define STEPS 400000

static struct {
    bool is_set;
    uint32_t due;
} model[FDS];

static struct deadlines set;
static uint32_t now;
static long taken, wraps;

/* How many ticks after `now` a deadline is; negative: before. */
static int64_t ahead(uint32_t tick)
{
    int64_t difference = (int64_t)tick - (int64_t)now;

    return difference > INT32_MAX   ? difference - INT64_C(0x100000000)
           : difference < INT32_MIN ? difference + INT64_C(0x100000000)
                                    : difference;
}

/* The earliest deadline as ticks from now. Returns false when there is none. */
static bool earliest(int64_t *ticks)
{
    bool is_found = false;

    for (int fd = 0; fd < FDS; fd++) {
        if (model[fd].is_set && (!is_found || ahead(model[fd].due) < *ticks)) {
            *ticks = ahead(model[fd].due);
            is_found = true;
        }
    }
    return is_found;
}

static void check_next(void)
{
    int64_t first = 0;
    uint32_t next = 0;
    bool has_any = earliest(&first);

    PROMISE(deadlines_next(&set, &next) == has_any);
    PROMISE(!has_any || ahead(next) <= first);
}

static void set_both(int fd, uint32_t tick)
{
    deadlines_set(&set, fd, tick);
    model[fd].is_set = true;
    model[fd].due = tick;
}

static bool take_one(void)
{
    int64_t first = 0;
    uint32_t next = 0;
    bool is_due = earliest(&first) && first <= 0;
    bool is_worth = deadlines_next(&set, &next) && ahead(next) <= 0;
    int fd = deadlines_take(&set, now);

    PROMISE(fd >= -1 && fd < FDS);
    PROMISE((fd != -1) == is_due);
    PROMISE(fd == -1 || is_worth);
    if (fd < 0 || fd >= FDS) {
        /* Nothing is due: asking at once again cannot be worth it. */
        PROMISE(!deadlines_next(&set, &next) || ahead(next) > 0);
        return false;
    }
    PROMISE(model[fd].is_set && ahead(model[fd].due) <= 0);
    model[fd].is_set = false;
    taken++;
    return true;
}

static void advance(uint32_t ticks)
{
    wraps += (uint32_t)(now + ticks) < now;
    now += ticks;
    for (int i = 0; i < 2 * FDS && take_one(); i++) {
    }
}

static void random_step(void)
{
    int fd = (int)below(FDS);

    switch (below(16)) {
    case 0: /* anywhere within the limits, also in the past */
        set_both(fd, now + below(1U << 30) - (1U << 29));
        break;
    case 1:
    case 2:
        set_both(fd, now + below(2000) - 100);
        break;
    case 3: /* many at the same time */
        set_both(fd, now + 64 - now % 64);
        break;
    case 4: /* as far as may be */
        set_both(fd, now + (1U << 30));
        break;
    case 5:
    case 6:
    case 7: /* a connection that talks: postponed again and again */
        set_both(fd, now + 500);
        break;
    case 8: /* sooner */
        if (model[fd].is_set) {
            set_both(fd, model[fd].due - below(400));
        }
        break;
    case 9:
    case 10:
    case 11:
        deadlines_clear(&set, fd);
        model[fd].is_set = false;
        break;
    case 12:
        take_one();
        break;
    case 13: { /* as a loop does: wait until the next one */
        uint32_t next;
        if (deadlines_next(&set, &next) && ahead(next) > 0) {
            advance((uint32_t)ahead(next));
        }
        break;
    }
    case 14:
        advance(below(200));
        break;
    default:
        advance(below(64) == 0 ? below(1U << 29) : 0);
    }
}

static void test_model(void)
{
    group("model");
    deadlines_reserve(&set, FDS);
    now = UINT32_MAX - 20000;
    for (long step = 0; step < STEPS; step++) {
        random_step();
        check_next();
        /* Now and then nearly empty: small heaps have their own mistakes. */
        for (int fd = 3; step % 5000 == 0 && fd < FDS; fd++) {
            deadlines_clear(&set, fd);
            model[fd].is_set = false;
        }
    }
    is_int(promises_broken(), 0, "%d random steps are as the naive array says", STEPS);
    ok(taken > STEPS / 20, "many deadlines came: %ld", taken);
    ok(wraps > 20, "the time wrapped around often: %ld", wraps);
    deadlines_free(&set);
}

static void test_empty(void)
{
    struct deadlines s = {0};
    uint32_t tick = 42;

    group("empty");
    ok(!deadlines_next(&s, &tick), "a zeroed struct has no next");
    is_int(deadlines_take(&s, 0), -1, "a zeroed struct has nothing to take");
    ok(deadlines_reserve(&s, 4), "there is memory for 4");
    ok(!deadlines_next(&s, &tick), "with room for 4 there is no next");
    is_int(deadlines_take(&s, UINT32_MAX), -1,
           "with room for 4 nothing is to take, whenever");
    deadlines_clear(&s, 3);
    ok(!deadlines_next(&s, &tick), "clearing what is not there changes nothing");
    deadlines_free(&s);
    deadlines_free(&s);
    ok(!deadlines_next(&s, &tick), "freed twice there is no next");
}

static void test_single(void)
{
    struct deadlines s = {0};
    uint32_t tick = 0;

    group("one deadline");
    deadlines_reserve(&s, 8);
    deadlines_set(&s, 5, 100);
    ok(deadlines_next(&s, &tick) && tick == 100, "it is the next");
    is_int(deadlines_take(&s, 99), -1, "it does not come before its time");
    is_int(deadlines_take(&s, 100), 5, "it comes at its time");
    is_int(deadlines_take(&s, 1000), -1, "it comes only once");
    ok(!deadlines_next(&s, &tick), "then the set is empty");

    group("a postponed deadline");
    deadlines_set(&s, 5, 100);
    deadlines_set(&s, 5, 200);
    ok(deadlines_next(&s, &tick) && tick <= 200, "the next is not too late");
    is_int(deadlines_take(&s, 150), -1, "it does not come at the old time");
    ok(deadlines_next(&s, &tick) && tick == 200, "after the old time the new one is known");
    is_int(deadlines_take(&s, 200), 5, "it comes at the new time");

    group("an advanced deadline");
    deadlines_set(&s, 5, 200);
    deadlines_set(&s, 5, 100);
    ok(deadlines_next(&s, &tick) && tick <= 100, "the next is not too late");
    is_int(deadlines_take(&s, 100), 5, "it comes at the new time");
    is_int(deadlines_take(&s, 300), -1, "it does not come again at the old time");

    group("a cleared deadline");
    deadlines_set(&s, 5, 100);
    deadlines_clear(&s, 5);
    ok(!deadlines_next(&s, &tick), "the set is empty");
    is_int(deadlines_take(&s, 100), -1, "nothing comes at its time");
    deadlines_set(&s, 5, 300);
    ok(deadlines_next(&s, &tick) && tick == 300, "set again, its new time is the next");
    deadlines_free(&s);
}

static void test_wrap(void)
{
    struct deadlines s = {0};
    uint32_t tick = 0;

    group("the wrap of time");
    deadlines_reserve(&s, 4);
    deadlines_set(&s, 0, 5);
    deadlines_set(&s, 1, UINT32_MAX - 5);
    deadlines_set(&s, 2, UINT32_MAX);
    deadlines_set(&s, 3, 0);
    ok(deadlines_next(&s, &tick) && tick == UINT32_MAX - 5,
       "a deadline before it is earlier");
    is_int(deadlines_take(&s, UINT32_MAX - 6), -1, "none comes before the first");
    is_int(deadlines_take(&s, UINT32_MAX - 5), 1, "the first comes at 2^32 - 6");
    is_int(deadlines_take(&s, UINT32_MAX - 1), -1,
           "none comes between the first and the second");
    is_int(deadlines_take(&s, UINT32_MAX), 2, "the second comes at 2^32 - 1");
    is_int(deadlines_take(&s, UINT32_MAX), -1, "the one at 0 does not come at 2^32 - 1");
    is_int(deadlines_take(&s, 0), 3, "the one at 0 comes at 0");
    is_int(deadlines_take(&s, 4), -1, "the one at 5 does not come at 4");
    is_int(deadlines_take(&s, 9), 0, "the one at 5 comes behind it");

    deadlines_set(&s, 0, UINT32_MAX);
    deadlines_set(&s, 0, 10);
    is_int(deadlines_take(&s, 9), -1, "one postponed across it is not due before its time");
    is_int(deadlines_take(&s, 10), 0, "one postponed across it is due behind it");
    deadlines_set(&s, 0, 0x80000000);
    is_int(deadlines_take(&s, 1), -1, "2^31 - 1 ticks ahead is the future");
    is_int(deadlines_take(&s, UINT32_MAX), 0, "2^31 - 1 ticks ago is the past");
    deadlines_free(&s);
}

static void test_reserve(void)
{
    struct deadlines s = {0};
    uint32_t tick = 0;
    long in_order = 0;

    group("room");
    deadlines_reserve(&s, 2);
    deadlines_set(&s, 1, 10);
    deadlines_set(&s, 0, 20);
    ok(deadlines_reserve(&s, 5000), "there is memory for more");
    ok(deadlines_next(&s, &tick) && tick == 10, "more keeps what was there");
    ok(deadlines_reserve(&s, 1), "less is no error");
    for (int fd = 2; fd < 5000; fd++) {
        deadlines_set(&s, fd, (uint32_t)(30 + (fd * 7919) % 5000));
    }
    is_int(deadlines_take(&s, 10), 1, "the first of before comes at its time");
    is_int(deadlines_take(&s, 20), 0, "the second of before comes at its time");
    for (uint32_t t = 30; t < 5030; t++) {
        for (int fd; (fd = deadlines_take(&s, t)) != -1;) {
            in_order += (uint32_t)(30 + (fd * 7919) % 5000) == t;
        }
    }
    is_int(in_order, 4998, "thousands come, each at its time");

    deadlines_set(&s, 4999, 77);
    ok(!deadlines_reserve(&s, SIZE_MAX >> 10), "no memory: it fails");
    ok(deadlines_next(&s, &tick) && tick == 77, "no memory: the next stays as it was");
    is_int(deadlines_take(&s, 77), 4999, "no memory: the set goes on");
    deadlines_free(&s);
    ok(deadlines_reserve(&s, 3), "after deadlines_free() there is memory again");
    ok(!deadlines_next(&s, &tick), "after deadlines_free() the set is empty");
    deadlines_set(&s, 2, 1);
    is_int(deadlines_take(&s, 1), 2, "after deadlines_free() a deadline comes at its time");
    deadlines_free(&s);
}

int main(void)
{
    test_empty();
    test_single();
    test_wrap();
    test_reserve();
    test_model();
    return done();
}
