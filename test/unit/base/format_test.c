/* format() against snprintf(3), which it is a part of: the same text, the same length, and
 * the same cut in a buffer of every size. */
#include "base/format.h"

#include <inttypes.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#include "tap.h"

/* Behind the text in a test's buffer: nothing may touch it. */
#define CANARY 0x5a

/* Give both functions the same arguments, in every size up to one that is too large. */
#define SAME(...)                                                                          \
    do {                                                                                   \
        char same_wanted[128];                                                             \
        int whole = snprintf(same_wanted, sizeof same_wanted, __VA_ARGS__);                \
        bool is_same = whole >= 0 && (size_t)whole < sizeof same_wanted - 2;               \
        for (size_t size = 1; is_same && size <= (size_t)whole + 2; size++) {              \
            char same_got[130];                                                            \
            memset(same_got, CANARY, sizeof same_got);                                     \
            size_t length = format(same_got, size, __VA_ARGS__);                           \
            is_same = same_cut(same_got, size, length, same_wanted, (size_t)whole);        \
        }                                                                                  \
        ok(is_same, "as snprintf: %s", #__VA_ARGS__);                                      \
    } while (0)

static bool same_cut(const char *got, size_t size, size_t length, const char *wanted,
                     size_t whole)
{
    size_t kept = whole < size ? whole : size - 1;

    if (length == whole && memcmp(got, wanted, kept) == 0 && got[kept] == '\0' &&
        got[size] == CANARY) {
        return true;
    }
    diag("size %zu: got %zu '%.*s', expected %zu '%.*s'", size, length, (int)size, got,
         whole, (int)kept, wanted);
    return false;
}

static void test_literals(void)
{
    const char *empty = "";

    group("literals");
    SAME("%s", empty);
    SAME("plain");
    SAME("%%");
    SAME("100%%, %%s");
    SAME("%d%%", 7);
    SAME("a %s b %d c", "one", 2);
    SAME("%s%s%s", "a", "", "b");
    SAME("N\xc2\xb0 %d", 5);
}

static void test_strings(void)
{
    const char inner[3] = {'a', 'b', 'c'}; /* no NUL: a precision must be enough */

    group("%%s");
    SAME("%s", "text");
    SAME("[%6s]", "text");
    SAME("[%-6s]", "text");
    SAME("[%4s]", "text");
    SAME("[%2s]", "text");
    SAME("[%-2s]", "text");
    SAME("[%20s]", "");
    SAME("[%-20s]", "");
    SAME("[%.2s]", "text");
    SAME("[%.0s]", "text");
    SAME("[%.s]", "text");
    SAME("[%.4s]", "text");
    SAME("[%.9s]", "text");
    SAME("[%6.2s]", "text");
    SAME("[%-6.2s]", "text");
    SAME("[%12.10s]", "hello world");
    SAME("[%.*s]", 2, "text");
    SAME("[%.*s]", 0, "text");
    SAME("[%.*s]", 9, "text");
    SAME("[%.*s]", -1, "text");
    SAME("[%.*s]", INT_MIN, "text");
    SAME("[%.*s]", INT_MAX, "text");
    SAME("[%6.*s]", 3, "text");
    SAME("[%-6.*s]", 3, "text");
    SAME("[%.*s%.*s]", 1, "text", 2, "other");
    SAME("[%.*s]", 3, inner);
    SAME("[%.2s]", inner);
}

static void test_characters(void)
{
    char got[8];

    group("%%c");
    SAME("%c", 'x');
    SAME("[%c%c]", 'a', '%');
    SAME("[%3c]", 'x');
    SAME("[%-3c]", 'x');
    SAME("[%1c]", 'x');
    SAME("%c", 0xe9);
    SAME("%c", 256 + 'x');
    is_int(format(got, sizeof got, "a%cb", '\0'), 3, "a NUL is counted as a character");
    is_mem(got, "a\0b", 4, "a NUL stands in the text");
}

static void test_signed(void)
{
    static const int values[] = {0,   1,    -1,    7,       -7,         10,     -10,
                                 123, 9999, 10000, INT_MAX, -123456789, INT_MIN};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        int n = values[i];

        group("signed, n = %d", n);
        SAME("%d", n);
        SAME("[%5d]", n);
        SAME("[%-5d]", n);
        SAME("[%1d]", n);
        if (n >= 0) {
            SAME("[%05d]", n);
            SAME("[%020d]", n);
        }
    }
    group("signed");
    SAME("%ld %ld", LONG_MAX, LONG_MIN);
    SAME("%lld %lld", LLONG_MAX, LLONG_MIN);
    SAME("%jd %jd", INTMAX_MAX, INTMAX_MIN);
    SAME("%zd %zd", (ssize_t)SSIZE_MAX, (ssize_t)-1);
    SAME("[%22ld]", LONG_MIN);
    SAME("[%-22ld]", LONG_MIN);
    SAME("[%022jd]", INTMAX_MAX);
    SAME("%ld", 1L + INT_MAX);
    SAME("%ld", -2L + INT_MIN);
}

static void test_unsigned(void)
{
    static const unsigned values[] = {0,    1,       9,          10,         15,      16,
                                      0xab, 1234567, 0x7fffffff, 0x80000000, UINT_MAX};

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        unsigned n = values[i];

        group("unsigned, n = %u", n);
        SAME("%u %x", n, n);
        SAME("[%5u] [%5x]", n, n);
        SAME("[%-5u] [%-5x]", n, n);
        SAME("[%05u] [%02x]", n, n);
        SAME("[%012u] [%012x]", n, n);
    }
    group("unsigned");
    SAME("%lu %lx", ULONG_MAX, ULONG_MAX);
    SAME("%llu %llx", ULLONG_MAX, ULLONG_MAX);
    SAME("%zu %zx", SIZE_MAX, SIZE_MAX);
    SAME("%ju %jx", UINTMAX_MAX, UINTMAX_MAX);
    SAME("%lx", 0x123456789abcdefUL);
    SAME("[%018lx]", 0xfedcba9876543210UL);
    SAME("[%-18zx]", (size_t)0xdecaf);
    SAME("%lu", 1UL + UINT_MAX);
}

/* Arguments of different lengths must not be taken for one another. */
static void test_mixtures(void)
{
    group("mixtures");
    SAME("%d %ld %c %s %zu %x", -1, -1L, 'c', "s", (size_t)1, 0xfu);
    SAME("%s %jd %u %lld %d", "s", (intmax_t)-5, 5u, -5LL, 5);
    SAME("%04d-%02d-%02d%c%02d:%02d:%02d", 2026, 1, 2, 'T', 3, 4, 5);
    SAME("%.*s|%-4d|%4u|%s", 2, "abc", 12, 34u, "end");
    SAME("%d %d %d %d %d %d %d %d %d", 1, 2, 3, 4, 5, 6, 7, 8, 9);
    SAME("%s %s %s %s %s %s %s %s", "a", "b", "c", "d", "e", "f", "g", "h");
    SAME("%%%d%%%s%%", 1, "%d");
}

static void test_plural(void)
{
    static const char *const wanted[] = {"0 bytes, x 1 line", "1 byte, x 1 line",
                                         "2 bytes, x 1 line"};
    char got[64];

    group("FORMAT_S");
    for (unsigned n = 0; n < 3; n++) {
        size_t length = format(got, sizeof got, "%u byte" FORMAT_S ", %s 1 line", n, "x");

        is_str(got, wanted[n], "%u", n);
        is_int(length, strlen(wanted[n]), "%u: the length counts it", n);
    }
    format(got, sizeof got, "%" PRIu64 " of %zu byte" FORMAT_S, (uint64_t)1, (size_t)7);
    is_str(got, "1 of 7 bytes", "the last number counts");
    format(got, sizeof got, "%" PRIu64 " byte" FORMAT_S, (uint64_t)1 << 32);
    is_str(got, "4294967296 bytes", "all of its bits count");
    is_int(format(got, 4, "%u b" FORMAT_S, 2u), 4, "at the end of the room: the length");
    is_str(got, "2 b", "... it is cut");
    format(got, sizeof got, "%s", "1\1");
    is_str(got, "1\1", "in a string it is nothing special");
}

static void test_limits(void)
{
    char one[2] = {CANARY, CANARY}, small[8], *large = malloc(100001);

    group("a small buffer");
    is_int(format(one, 1, "%s", "text"), 4,
           "of size 1: the text's whole length is returned");
    ok(one[0] == '\0' && one[1] == CANARY, "of size 1: the text is empty");
    is_int(format(small, sizeof small, "%s", "1234567"), 7,
           "a text that just fits: its length is returned");
    is_str(small, "1234567", "a text that just fits is whole");
    is_int(format(small, sizeof small, "%s", "12345678"), 8,
           "a text of one byte more: a result == size is returned");
    is_str(small, "1234567", "a text of one byte more is cut");
    is_int(format(small, sizeof small, "%100d|", 1), 101,
           "a width beyond it, blanks first: the whole length is returned");
    is_str(small, "       ", "a width beyond it, blanks first: the text is cut");
    is_int(format(small, sizeof small, "%-100d|", 1), 101,
           "a width beyond it, blanks last: the whole length is returned");
    is_str(small, "1      ", "a width beyond it, blanks last: the text is cut");
    if (large == NULL) {
        abort();
    }
    memset(large, 'x', 100000);
    large[100000] = '\0';
    is_int(format(small, sizeof small, "%s%s", large, large), 200000,
           "a very long text: its whole length is returned");
    is_str(small, "xxxxxxx", "a very long text is cut");
    free(large);
}

static __attribute__((format(printf, 3, 4))) size_t pass_on(char *out, size_t size,
                                                            const char *pattern, ...)
{
    va_list arguments;

    va_start(arguments, pattern);
    size_t length = format_list(out, size, pattern, arguments);
    va_end(arguments);
    return length;
}

static void test_list(void)
{
    char got[16];

    group("format_list");
    is_int(pass_on(got, sizeof got, "%s=%d", "a", -3), 4, "the text's length is returned");
    is_str(got, "a=-3", "the text is whole");
    is_int(pass_on(got, 4, "%s=%lu", "abc", 12345UL), 9,
           "a text that is cut: its whole length is returned");
    is_str(got, "abc", "a text that is cut ends in a NUL");
}

/* ---- each conversion is shown ----------------------------------------------------------
 */

static char seen[256];

/* Notes what it is shown, and leaves strings out. */
static bool see(void *context, const char *bytes, size_t length, char conversion)
{
    size_t used = strlen(seen);

    ok(context == seen, "the context is passed on");
    snprintf(seen + used, sizeof seen - used, "%c=%.*s;", conversion, (int)length, bytes);
    return conversion != 's';
}

static __attribute__((format(printf, 3, 4))) size_t shown(char *out, size_t size,
                                                          const char *pattern, ...)
{
    va_list arguments;

    seen[0] = '\0';
    va_start(arguments, pattern);
    size_t length = format_each_list(out, size, see, seen, pattern, arguments);
    va_end(arguments);
    return length;
}

static void test_each(void)
{
    char got[64];

    group("format_each_list");
    is_int(shown(got, sizeof got, "a %05d, %-6s|%8.2s|%c%% %x", -7, "left", "right", 'x',
                 255u),
           16, "the length is that of the text");
    is_str(got, "a 000-7, ||x% ff", "what is not wanted is left out with its padding");
    is_str(seen, "d=-7;s=left;s=ri;c=x;x=ff;", "each is shown without padding");
    shown(got, 3, "%u%u%s", 123u, 456u, "text");
    is_str(got, "12", "a text that is cut");
    is_str(seen, "u=123;u=456;s=text;", "what is cut is shown whole");
}

int main(void)
{
    test_literals();
    test_strings();
    test_characters();
    test_signed();
    test_unsigned();
    test_mixtures();
    test_plural();
    test_limits();
    test_list();
    test_each();
    return done();
}
