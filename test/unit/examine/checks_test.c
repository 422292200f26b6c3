/* The table of checks: complete, and found by names. */
#include "examine/checks.h"

#include <string.h>

#include "tap.h"

static void test_table(void)
{
    for (size_t i = 0; i < check_count; i++) {
        const struct check *check = &checks[i];
        const char *id = check_text(check, CHECK_ID);

        group("%s", id);
        is_int(checks_find(id, strlen(id)), i, "is found by its name");
        ok(strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(id),
           "its name is one word");
        for (int which = CHECK_ID; which <= CHECK_WHY; which++) {
            ok(*check_text(check, (enum check_text)which) != '\0', "text %d is there",
               which);
        }
        ok(check->run != NULL, "there is something to do");
        ok(strpbrk(check_text(check, CHECK_TITLE), "#\\\n") == NULL,
           "its title is none that TAP reads");
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
