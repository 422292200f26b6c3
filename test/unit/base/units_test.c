#include "base/units.h"

#include "base/clock.h"
#include "tap.h"

static void parses(const char *text, uint64_t expected)
{
    uint64_t ns = 42;

    ok(units_parse_duration(text, &ns), "'%s' is a duration", text);
    is_int(ns, expected, "'%s' is %llu ns", text, (unsigned long long)expected);
}

static void refuses(const char *text)
{
    uint64_t ns = 42;

    ok(!units_parse_duration(text, &ns), "'%s' is no duration", text);
    is_int(ns, 42, "'%s' changes nothing", text);
}

static void formats(uint64_t ns, const char *expected)
{
    char out[UNITS_DURATION_TEXT];
    uint64_t back = 0;

    is_str(units_format_duration(out, ns), expected, "%llu ns is %s",
           (unsigned long long)ns, expected);
    ok(units_parse_duration(out, &back) && back == ns, "%s parses back", expected);
}

static void test_sizes(void)
{
    static const struct {
        const char *text, *printed;
        uint64_t bytes;
    } good[] = {
        {"0", "0", 0},
        {"1", "1", 1},
        {"1000", "1000", 1000},
        {"1kB", "1000", 1000},
        {"1KiB", "1KiB", 1024},
        {"1536", "1536", 1536},
        {"64KiB", "64KiB", 65536},
        {"1MB", "1000000", 1000000},
        {"1024KiB", "1MiB", 1048576},
        {"3GiB", "3GiB", UINT64_C(3) << 30},
        {"2GB", "1953125KiB", 2000000000},
        {"18446744073709551615", "18446744073709551615", UINT64_MAX},
        {"17179869183GiB", "17179869183GiB", UINT64_MAX - (1 << 30) + 1},
    };
    static const char *const bad[] = {"",
                                      "KiB",
                                      "-1",
                                      "1 KiB",
                                      " 1",
                                      "1K",
                                      "1kib",
                                      "1.5KiB",
                                      "1KiB ",
                                      "1B",
                                      "0x1",
                                      "1KB",
                                      "17179869184GiB",
                                      "18446744073709551616"};
    char text[UNITS_SIZE_TEXT];
    uint64_t bytes;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        bytes = 42;
        ok(units_parse_size(good[i].text, &bytes), "'%s' is a size", good[i].text);
        is_int(bytes, good[i].bytes, "'%s' is %s", good[i].text, good[i].printed);
        is_str(units_format_size(text, bytes), good[i].printed, "'%s' prints as %s",
               good[i].text, good[i].printed);
        ok(units_parse_size(text, &bytes) && bytes == good[i].bytes, "%s parses back",
           good[i].printed);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bytes = 42;
        ok(!units_parse_size(bad[i], &bytes), "'%s' is no size", bad[i]);
        is_int(bytes, 42, "'%s' changes nothing", bad[i]);
    }
}

int main(void)
{
    uint64_t number = 42;

    group("durations");
    parses("0", 0);
    parses("0s", 0);
    parses("1m2s", 62 * CLOCK_S);
    parses("500ms", 500 * CLOCK_MS);
    parses("1.5h", 5400 * CLOCK_S);
    parses("1.5s", 1500 * CLOCK_MS);
    parses(".5s", 500 * CLOCK_MS);
    parses("2.s", 2 * CLOCK_S);
    parses("1h1m1s1ms1us1ns", 3661001001001);
    parses("1\xc2\xb5s", CLOCK_US);
    parses("0.0000000001s", 0);
    parses("18446744073709551615ns", UINT64_MAX);

    refuses("");
    refuses("5");
    refuses("s");
    refuses(".s");
    refuses("-1s");
    refuses("+1s");
    refuses("1 s");
    refuses(" 1s");
    refuses("1s ");
    refuses("1S");
    refuses("1d");
    refuses("1s2");
    refuses("1..5s");
    refuses("1e3s");
    refuses("18446744073709551616ns");
    refuses("18446744074s");
    refuses("18446744073709551615ns1ns");
    refuses("99999999999999999999999s");

    formats(0, "0s");
    formats(62 * CLOCK_S, "1m2s");
    formats(300 * CLOCK_S, "5m");
    formats(1500 * CLOCK_MS, "1s500ms");
    formats(UINT64_MAX, "5124095h34m33s709ms551us615ns");

    group("whole numbers");
    ok(units_parse_whole("65535", &number) && number == 65535, "65535 is one");
    ok(units_parse_whole("007", &number) && number == 7, "leading zeros are decimal");
    ok(units_parse_whole("18446744073709551615", &number) && number == UINT64_MAX,
       "2^64 - 1 is the largest");
    ok(!units_parse_whole("18446744073709551616", &number), "2^64 overflows");
    ok(!units_parse_whole("", &number) && !units_parse_whole("-1", &number) &&
           !units_parse_whole("1x", &number) && !units_parse_whole(" 1", &number) &&
           !units_parse_whole("0x10", &number),
       "no number, a sign, a tail, a blank, another base are refused");
    group("sizes");
    test_sizes();
    return done();
}
