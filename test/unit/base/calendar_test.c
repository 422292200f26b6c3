#include "base/calendar.h"

#include <stdlib.h>

#include "tap.h"

static void test_known(void)
{
    char text[CALENDAR_TEXT];

    group("known seconds");
    is_str(calendar_text(text, 0, ' '), "1970-01-01 00:00:00", "the first one");
    is_str(calendar_text(text, 951782399, 'T'), "2000-02-28T23:59:59", "before a leap day");
    is_str(calendar_text(text, 951782400, 'T'), "2000-02-29T00:00:00", "a leap day");
    is_str(calendar_text(text, 4107542400, 'T'), "2100-03-01T00:00:00",
           "2100 has no leap day");
}

/* What the C library says. */
static void test_random(void)
{
    char text[CALENDAR_TEXT], expected[CALENDAR_TEXT];
    unsigned wrong = 0;

    group("random seconds until 2400");
    srandom(1);
    for (int i = 0; i < 100000; i++) {
        time_t second = (time_t)random() * 7 % 13569465600;
        struct tm tm;

        gmtime_r(&second, &tm);
        strftime(expected, sizeof expected, "%Y-%m-%d %H:%M:%S", &tm);
        wrong += strcmp(calendar_text(text, second, ' '), expected) != 0 ? 1 : 0;
    }
    is_int(wrong, 0, "gmtime(3) says the same");
}

int main(void)
{
    test_known();
    test_random();
    return done();
}
