/* The string functions of the shipped programs, called as anybody calls them. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tap.h"

/* Read at run time, so that the compiler does not know the answers. */
static const char *volatile empty = "", *volatile abc = "abc", *volatile high = "\xff";

static void test_search(void)
{
    static const struct {
        const char *text, *wanted;
        int at; /* -1: not there */
    } cases[] = {
        {"", "", 0},
        {"abc", "", 0},
        {"", "a", -1},
        {"abc", "abc", 0},
        {"abc", "abcd", -1},
        {"aab", "ab", 1},
        {"abcabd", "abd", 3},
        {"abcab", "abd", -1},
        {"x;nameserver 1", ";nameserver", 1},
        {"aaaaaaab", "aab", 5},
        {"abc", "c", 2},
    };

    group("strstr");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* Read at run time, so that the compiler does not know the answer. */
        const char *volatile text = cases[i].text;
        const char *found = strstr(text, cases[i].wanted);

        is_int(found == NULL ? -1 : found - text, cases[i].at, "'%s' in '%s' is at %d",
               cases[i].wanted, cases[i].text, cases[i].at);
    }
}

static void test_lengths(void)
{
    group("lengths");
    is_int(strlen(empty), 0, "strlen of nothing");
    is_int(strlen(abc), 3, "strlen");
    is_int(strnlen(abc, 2), 2, "strnlen stops at its limit");
    is_int(strnlen(abc, 9), 3, "strnlen stops at the NUL");
    is_int(strspn(abc, "ba"), 2, "strspn counts what is in the set");
    is_int(strspn(abc, "abcd"), 3, "strspn stops at the NUL");
    is_int(strspn(abc, empty), 0, "strspn of an empty set");
    is_int(strcspn(abc, "xc"), 2, "strcspn counts what is not in the set");
    is_int(strcspn(abc, empty), 3, "strcspn stops at the NUL");
    is_int(strcspn(empty, "a"), 0, "strcspn of nothing");
}

static void test_comparison(void)
{
    group("strncmp");
    is_int(strncmp(abc, "abd", 2), 0, "stops at its limit");
    ok(strncmp(abc, "abd", 3) < 0, "less");
    ok(strncmp(abc, "ab", 3) > 0, "longer is more");
    ok(strncmp(empty, abc, 1) < 0, "nothing is less");
    is_int(strncmp(abc, "abc", 99), 0, "stops at the NUL");
    ok(strncmp(high, abc, 1) > 0, "bytes have no sign");
    is_int(strncmp(abc, "x", 0), 0, "no bytes are the same");
}

static void test_case(void)
{
    static const char *volatile mixed = "aBc";

    group("strcasecmp");
    is_int(strcasecmp(mixed, "AbC"), 0, "letters in any case are the same");
    ok(strcasecmp(mixed, "ABD") < 0, "less");
    ok(strcasecmp(mixed, "AB") > 0, "longer is more");
    ok(strcasecmp(empty, abc) < 0, "nothing is less");
    ok(strcasecmp("@[`{", "`{@[") < 0, "what is beside the letters has no case");
    ok(strcasecmp(high, abc) > 0, "bytes have no sign");
}

static void test_places(void)
{
    const char *text = abc;
    char out[5] = "xxxx";

    group("places");
    ok(strchr(text, 'b') == text + 1, "strchr finds");
    ok(strchr(text, 'x') == NULL, "strchr finds nothing");
    ok(strchr(text, '\0') == text + 3, "strchr finds the NUL");
    text = high;
    ok(strchr(text, 0xff) == text, "strchr: bytes have no sign");
    ok(strcpy(out, abc) == out && strcmp(out, "abc") == 0 && out[4] == '\0',
       "strcpy copies with the NUL");
}

static void test_environment(void)
{
    group("getenv");
    setenv("SMALL_TEST", "one=two", 1);
    setenv("SMALL_TEST_2", "", 1);
    is_str(getenv("SMALL_TEST"), "one=two", "the value is all behind the first =");
    is_str(getenv("SMALL_TEST_2"), "", "an empty value is one");
    ok(getenv("SMALL_TES") == NULL, "the beginning of a name is none");
}

int main(void)
{
    test_search();
    test_lengths();
    test_comparison();
    test_case();
    test_places();
    test_environment();
    return done();
}
