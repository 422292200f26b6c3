#include "base/units.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/format.h"

/* Longest first, for printing. The parser takes the unit whose name is the whole text up to
 * the next digit or point. */
static const struct {
    const char *name;
    uint64_t ns;
} units[] = {
    {"h", 3600 * CLOCK_S}, {"m", 60 * CLOCK_S},     {"s", CLOCK_S}, {"ms", CLOCK_MS},
    {"us", CLOCK_US},      {"\xc2\xb5s", CLOCK_US}, {"ns", 1},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* *total = *total * factor + term. Returns false on overflow. */
static bool multiply_add(uint64_t *total, uint64_t factor, uint64_t term)
{
    uint64_t product;

    return !__builtin_mul_overflow(*total, factor, &product) &&
           !__builtin_add_overflow(product, term, total);
}

/* Parse the digits at *text and move *text past them. Returns false on overflow. */
static bool take_digits(const char **text, uint64_t *number)
{
    *number = 0;
    for (; is_digit(**text); (*text)++) {
        if (!multiply_add(number, 10, (uint64_t)(**text - '0'))) {
            return false;
        }
    }
    return true;
}

bool units_parse_whole(const char *text, uint64_t *number)
{
    uint64_t value;

    if (!is_digit(*text) || !take_digits(&text, &value) || *text != '\0') {
        return false;
    }
    *number = value;
    return true;
}

/* Parse the unit at *text and move *text past it. Returns the unit in ns; 0: there is
 * none. */
static uint64_t take_unit(const char **text)
{
    size_t length = strcspn(*text, "0123456789.");

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strlen(units[i].name) == length && memcmp(*text, units[i].name, length) == 0) {
            *text += length;
            return units[i].ns;
        }
    }
    return 0;
}

/* Parse one number with its unit and add it to *total. */
static bool take_component(const char **text, uint64_t *total)
{
    uint64_t whole, fraction_ns = 0;
    const char *start = *text;

    if (!take_digits(text, &whole)) {
        return false;
    }
    size_t digits = (size_t)(*text - start);
    const char *fraction = NULL;
    if (**text == '.') {
        fraction = ++*text;
        *text += strspn(*text, "0123456789");
        digits += (size_t)(*text - fraction);
    }
    uint64_t unit = take_unit(text);
    if (digits == 0 || unit == 0) {
        return false;
    }
    for (uint64_t place = unit; fraction != NULL && is_digit(*fraction); fraction++) {
        place /= 10; /* each digit is worth a tenth of the one before */
        fraction_ns += place * (uint64_t)(*fraction - '0');
    }
    return multiply_add(&whole, unit, fraction_ns) &&
           !__builtin_add_overflow(*total, whole, total);
}

bool units_parse_duration(const char *text, uint64_t *ns)
{
    uint64_t total = 0;

    if (strcmp(text, "0") == 0) {
        *ns = 0;
        return true;
    }
    do {
        if (!take_component(&text, &total)) {
            return false;
        }
    } while (*text != '\0');
    *ns = total;
    return true;
}

static const struct {
    const char *name;
    uint64_t bytes;
} size_units[] = {
    {"GiB", 1024 * 1024 * 1024},
    {"MiB", 1024 * 1024},
    {"KiB", 1024},
    {"GB", 1000000000},
    {"MB", 1000000},
    {"kB", 1000},
    {"", 1},
};

bool units_parse_size(const char *text, uint64_t *bytes)
{
    uint64_t value;

    if (!is_digit(*text) || !take_digits(&text, &value)) {
        return false;
    }
    for (size_t i = 0; i < sizeof size_units / sizeof size_units[0]; i++) {
        if (strcmp(text, size_units[i].name) == 0 &&
            multiply_add(&value, size_units[i].bytes, 0)) {
            *bytes = value;
            return true;
        }
    }
    return false;
}

char *units_format_size(char *out, uint64_t bytes)
{
    size_t i = 0;

    /* Powers of 1024 only: 1000 bytes are more often meant as 1000 than as 1kB. */
    while (i < 3 && (bytes == 0 || bytes % size_units[i].bytes != 0)) {
        i++;
    }
    if (i == 3) {
        format(out, UNITS_SIZE_TEXT, "%" PRIu64, bytes);
    } else {
        format(out, UNITS_SIZE_TEXT, "%" PRIu64 "%s", bytes / size_units[i].bytes,
               size_units[i].name);
    }
    return out;
}

char *units_format_duration(char *out, uint64_t ns)
{
    size_t used = 0;

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        uint64_t count = ns / units[i].ns;

        if (count > 0) {
            used += format(out + used, UNITS_DURATION_TEXT - used, "%" PRIu64 "%s", count,
                           units[i].name);
            ns %= units[i].ns;
        }
    }
    if (used == 0) {
        format(out, UNITS_DURATION_TEXT, "0s");
    }
    return out;
}
