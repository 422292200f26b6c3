#include "base/calendar.h"

#include "base/format.h"

/* The date of a day since 1970-01-01, in the Gregorian calendar, for years after 1600: the
 * year begins in March here, so that the leap day is its last. (gmtime_r() would be a
 * hundredth of the executable.) */
static void set_date(unsigned day, unsigned *year, unsigned *month, unsigned *day_of_month)
{
    unsigned since_1600 = day + 135080; /* days since 1600-03-01 */
    unsigned era = since_1600 / 146097, of_era = since_1600 % 146097; /* 400 years */
    unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
    unsigned march_based = (5 * of_year + 2) / 153;

    *day_of_month = of_year - (153 * march_based + 2) / 5 + 1;
    *month = march_based < 10 ? march_based + 3 : march_based - 9;
    *year = 1600 + 400 * era + years + (*month <= 2);
}

const char *calendar_text(char out[CALENDAR_TEXT], time_t second, char between)
{
    unsigned year, month, day, of_day = (unsigned)(second % 86400);

    set_date((unsigned)(second / 86400), &year, &month, &day);
    format(out, CALENDAR_TEXT, "%04u-%02u-%02u%c%02u:%02u:%02u", year, month, day, between,
           of_day / 3600, of_day / 60 % 60, of_day % 60);
    return out;
}
