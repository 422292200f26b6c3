/* The table of checks: complete, and found by names. */
#include "examine/checks.h"

#include <string.h>

#include "tap.h"

static void test_table(void)
{
    for (size_t i = 0; i < check_count; i++) {
        const struct check *check = &checks[i];

        group("%s", check->id);
        is_int(checks_find(check->id, strlen(check->id)), i, "is found by its name");
        ok(strspn(check->id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(check->id),
           "its name is one word");
        ok(check->title[0] != '\0' && check->sent[0] != '\0' &&
               check->expected[0] != '\0' && check->why[0] != '\0' && check->run != NULL,
           "all is said");
        ok(strpbrk(check->title, "#\\\n") == NULL, "its title is none that TAP reads");
        ok(check->limit > 0 && check->files > 0, "it has limits");
        ok(!(check->is_demanded && check->is_asked_only), "demanded or only asked for");
    }
}

static void test_find(void)
{
    group("finding");
    is_int(checks_find("one", 3), check_count, "a part of a name is none");
    is_int(checks_find("", 0), check_count, "no name is none");
    is_int(checks_find("one-byte,idle", 8), 0, "the length counts");
    is_int(checks_find("one-bytes", 9), check_count, "a longer name is none");
}

int main(void)
{
    test_table();
    test_find();
    return done();
}
