/* Tables that grow by many steps, and one for which there is no memory. */
#include "base/table.h"

#include <stdint.h>

#include "tap.h"

static void test_capacity(void)
{
    size_t too_small = 0, too_large = 0;

    group("table_capacity");
    for (size_t need = 0; need < 10000000; need = need * 9 / 8 + 1) {
        too_small += table_capacity(need) <= need;
        too_large += need > 100000 && table_capacity(need) > need / 4 * 5;
    }
    is_int(too_small, 0, "there is room for the index that is needed");
    is_int(too_large, 0, "a large table grows by less than a quarter");
    ok(table_capacity(0) >= 1024, "there is plenty at first: %zu", table_capacity(0));
}

/* Element i is 3 i + 1 once it was written. */
static void test_growing(void)
{
    static const size_t counts[] = {1, 2, 1000, 1001, 4096, 100000, 3000000};
    uint32_t *table = NULL;
    size_t count = 0, failed = 0, not_zero = 0, lost = 0;

    group("growing");
    for (size_t step = 0; step < sizeof counts / sizeof counts[0]; step++) {
        failed += !table_grow(&table, count, counts[step], sizeof *table);
        if (failed > 0) {
            break;
        }
        for (size_t i = 0; i < counts[step]; i++) {
            lost += i < count && table[i] != 3 * i + 1;
            not_zero += i >= count && table[i] != 0;
            table[i] = (uint32_t)(3 * i + 1);
        }
        count = counts[step];
    }
    is_int(failed, 0, "there is memory for each step");
    is_int(lost, 0, "elements are kept");
    is_int(not_zero, 0, "new elements are zero");

    group("no memory");
    uint32_t *before = table;
    ok(!table_grow(&table, count, SIZE_MAX / 2 / sizeof *table, sizeof *table),
       "growing fails");
    ok(table == before && table[count - 1] == 3 * count - 2, "the table is as it was");
    uint32_t *none = NULL;
    ok(!table_grow(&none, 0, SIZE_MAX / 2 / sizeof *none, sizeof *none),
       "the first step fails");
    ok(none == NULL, "there is no table");

    group("table_free");
    table_free(&table, count, sizeof *table);
    ok(table == NULL, "the table is NULL");
    table_free(&table, count, sizeof *table);
    ok(table == NULL, "freed twice it is NULL still");
    ok(table_grow(&table, 0, 10, sizeof *table) && table[9] == 0,
       "then a table can begin anew");
    table_free(&table, 10, sizeof *table);
}

/* An element so large that there is no memory for a table of them. */
#define HUGE_SIZE (SIZE_MAX / 4096)

static void test_together(void)
{
    uint32_t *first = NULL;
    uint16_t *second = NULL;
    const struct table_part fine[] = {{&first, sizeof *first}, {&second, sizeof *second}};
    const struct table_part failing[] = {{&first, sizeof *first}, {&second, HUGE_SIZE}};

    group("table_grow_all");
    ok(!table_grow_all(failing, 2, 0, 5000), "no memory for the second table at first: no");
    ok(first == NULL && second == NULL, "no memory at first: there is no table");
    ok(table_grow_all(fine, 2, 0, 5000), "a later call succeeds");
    first[4999] = 17;
    second[4999] = 18;
    ok(!table_grow_all(failing, 2, 5000, 50000), "no memory to grow the second table: no");
    ok(first[4999] == 17 && second[4999] == 18,
       "no memory to grow: the tables are as they were");
    ok(table_grow_all(fine, 2, 5000, 50000), "a later call grows both");
    ok(first[4999] == 17 && second[4999] == 18, "what they held is there still");
    ok(first[49999] == 0 && second[49999] == 0, "new elements are zero");
    table_free(&first, 50000, sizeof *first);
    table_free(&second, 50000, sizeof *second);
}

int main(void)
{
    test_capacity();
    test_growing();
    test_together();
    return done();
}
