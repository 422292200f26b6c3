/* tap: the least that a unit test needs to speak TAP (testanything.org), in one header, so
 * that the same tests build with glibc and sanitizers and with static musl.
 *
 *     int main(void)
 *     {
 *         is_int(1 + 1, 2, "one and one are two");
 *         return done();
 *     }
 *
 * Every check prints one line, and on failure the place and both values. done() prints the
 * plan and returns main's exit code. */
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

/* The test is not run here; the text says why. */
#define skip(...) tap_skip(__VA_ARGS__)

#define TAP_FUNCTION __attribute__((unused)) static

TAP_FUNCTION __attribute__((format(printf, 3, 0))) void
tap_list(const char *verdict, const char *mark, const char *name, va_list arguments)
{
    printf("%s %d%s", verdict, ++tap_run, mark);
    vprintf(name, arguments);
    printf("\n");
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
        printf("# failed at %s:%d\n", file, line);
        fflush(stdout);
    }
    return condition;
}

TAP_FUNCTION bool tap_same_int(long long got, long long wanted)
{
    if (got != wanted) {
        printf("#      got: %lld\n# expected: %lld\n", got, wanted);
    }
    return got == wanted;
}

TAP_FUNCTION bool tap_same_str(const char *got, const char *wanted)
{
    bool is_same = strcmp(got, wanted) == 0;

    if (!is_same) {
        printf("#      got: %s\n# expected: %s\n", got, wanted);
    }
    return is_same;
}

TAP_FUNCTION bool tap_same_mem(const void *got, const void *wanted, size_t length)
{
    const unsigned char *g = got, *w = wanted;

    for (size_t i = 0; i < length; i++) {
        if (g[i] != w[i]) {
            printf("# byte %zu: got 0x%02x, expected 0x%02x\n", i, g[i], w[i]);
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
