/* string_small: small versions of getenv(3), strcasecmp(3), strchr(3), strcpy(3),
 * strcspn(3), strlen(3), strncmp(3), strnlen(3), strspn(3) and strstr(3). musl's read a
 * word at a time, which pays for long texts; the programs have short ones: keys, addresses,
 * lines. memchr(3), which looks through whole replies, stays musl's. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The C library's headers use other names for the parameters, and some functions drop a
 * const. */
/* NOLINTBEGIN(readability-*,performance-*) */

size_t strnlen(const char *text, size_t most)
{
    size_t length = 0;

    while (length < most && text[length] != '\0') {
        length++;
    }
    return length;
}

size_t strlen(const char *text)
{
    return strnlen(text, (size_t)-1);
}

int strncmp(const char *a, const char *b, size_t most)
{
    for (; most > 0; a++, b++, most--) {
        if (*a != *b || *a == '\0') {
            return (unsigned char)*a - (unsigned char)*b;
        }
    }
    return 0;
}

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : (unsigned char)c;
}

/* In the C locale, the only one here. */
int strcasecmp(const char *a, const char *b)
{
    for (; lower(*a) == lower(*b) && *a != '\0'; a++, b++) {
    }
    return lower(*a) - lower(*b);
}

char *strchr(const char *text, int wanted)
{
    for (; *text != (char)wanted; text++) {
        if (*text == '\0') {
            return NULL;
        }
    }
    return (char *)(size_t)text; /* as the standard says: without its const */
}

char *strstr(const char *text, const char *wanted)
{
    size_t length = strlen(wanted);

    for (; strncmp(text, wanted, length) != 0; text++) {
        if (*text == '\0') {
            return NULL;
        }
    }
    return (char *)(size_t)text;
}

size_t strspn(const char *text, const char *set)
{
    size_t length = 0;

    while (text[length] != '\0' && strchr(set, text[length]) != NULL) {
        length++;
    }
    return length;
}

/* The set's NUL ends it, too. */
size_t strcspn(const char *text, const char *set)
{
    size_t length = 0;

    while (strchr(set, text[length]) == NULL) {
        length++;
    }
    return length;
}

char *strcpy(char *restrict out, const char *restrict text)
{
    return memcpy(out, text, strlen(text) + 1);
}

char *getenv(const char *name)
{
    size_t length = strlen(name);

    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=') {
            return *entry + length + 1;
        }
    }
    return NULL;
}

/* NOLINTEND(readability-*,performance-*) */
