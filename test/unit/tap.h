/* tap: minimal TAP (testanything.org) for unit tests, in one header, so that the same tests
 * build with glibc and sanitizers and with static musl.
 *
 *     int main(void)
 *     {
 *         group("sums");
 *         is_int(1 + 1, 2, "one and one are two");
 *         return done();
 *     }
 *
 * prints "ok 1 - sums: one and one are two" and the plan. Each check prints one line that
 * says what must hold; its name begins with the group. A failure's name, place and both
 * values go to stderr, where prove shows them without -v, too. done() prints the plan and
 * returns main's exit code. */
#ifndef ECHOLAB_TAP_H
#define ECHOLAB_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_run, tap_failed;

#define ok(condition, ...)       tap_ok((condition), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, wanted, ...) ok(tap_same_int((got), (wanted)), __VA_ARGS__)
#define is_str(got, wanted, ...) ok(tap_same_str((got), (wanted)), __VA_ARGS__)
#define is_mem(got, wanted, length, ...)                                                   \
    ok(tap_same_mem((got), (wanted), (length)), __VA_ARGS__)

/* Skip a test; the text is the reason. */
#define skip(...) tap_skip(__VA_ARGS__)

#define TAP_FUNCTION __attribute__((unused)) static

/* "group: " or nothing, and the last check's whole name. */
static char tap_group[128], tap_name[512];

/* The names of all checks from here on begin with this text and a colon. */
TAP_FUNCTION __attribute__((format(printf, 1, 2))) void group(const char *name, ...)
{
    va_list arguments;

    va_start(arguments, name);
    vsnprintf(tap_group, sizeof tap_group - 2, name, arguments);
    va_end(arguments);
    strcat(tap_group, ": ");
}

/* A line about a failure, on stderr. */
TAP_FUNCTION __attribute__((format(printf, 1, 2))) void diag(const char *text, ...)
{
    va_list arguments;

    va_start(arguments, text);
    fputs("# ", stderr);
    vfprintf(stderr, text, arguments);
    fputs("\n", stderr);
    va_end(arguments);
}

TAP_FUNCTION __attribute__((format(printf, 3, 0))) void
tap_list(const char *verdict, const char *mark, const char *name, va_list arguments)
{
    strcpy(tap_name, tap_group);
    vsnprintf(tap_name + strlen(tap_name), sizeof tap_name - strlen(tap_name), name,
              arguments);
    printf("%s %d%s%s\n", verdict, ++tap_run, mark, tap_name);
    fflush(stdout);
}

TAP_FUNCTION __attribute__((format(printf, 1, 2))) void tap_skip(const char *why, ...)
{
    va_list arguments;

    va_start(arguments, why);
    tap_list("ok", " # SKIP ", why, arguments);
    va_end(arguments);
}

/* Returns whether the check passed, so that a test can stop early. */
TAP_FUNCTION __attribute__((format(printf, 4, 5))) bool
tap_ok(bool condition, const char *file, int line, const char *name, ...)
{
    va_list arguments;

    va_start(arguments, name);
    tap_list(condition ? "ok" : "not ok", " - ", name, arguments);
    va_end(arguments);
    if (!condition) {
        tap_failed++;
        diag("failed: %s", tap_name);
        diag("at %s:%d", file, line);
    }
    return condition;
}

TAP_FUNCTION bool tap_same_int(long long got, long long wanted)
{
    if (got != wanted) {
        diag("     got: %lld", got);
        diag("expected: %lld", wanted);
    }
    return got == wanted;
}

TAP_FUNCTION bool tap_same_str(const char *got, const char *wanted)
{
    bool is_same = strcmp(got, wanted) == 0;

    if (!is_same) {
        diag("     got: %s", got);
        diag("expected: %s", wanted);
    }
    return is_same;
}

TAP_FUNCTION bool tap_same_mem(const void *got, const void *wanted, size_t length)
{
    const unsigned char *g = got, *w = wanted;

    for (size_t i = 0; i < length; i++) {
        if (g[i] != w[i]) {
            diag("byte %zu: got 0x%02x, expected 0x%02x", i, g[i], w[i]);
            return false;
        }
    }
    return true;
}

TAP_FUNCTION int done(void)
{
    printf("1..%d\n", tap_run);
    return tap_failed == 0 ? 0 : 1;
}

#endif
