/* calendar: a time as date and time of day, in UTC. */
#ifndef ECHOLAB_CALENDAR_H
#define ECHOLAB_CALENDAR_H

#include <time.h>

/* A second since 1970 as "2026-11-23 15:10:54", with `between` between date and time: 'T'
 * is the form of RFC 3339, behind which a fraction and 'Z' may follow. Writes CALENDAR_TEXT
 * bytes to `out` and returns it. */
#define CALENDAR_TEXT 24
const char *calendar_text(char out[CALENDAR_TEXT], time_t second, char between);

#endif
