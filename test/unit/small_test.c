/* qsort() and strstr() of the client, called as anybody calls them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

struct element {
    unsigned char key, order, filler[11];
};

static int by_key(const void *a, const void *b)
{
    return (int)((const struct element *)a)->key - (int)((const struct element *)b)->key;
}

/* Random ones: in order afterwards, equal ones as they were, none lost. */
static void test_sort(void)
{
    uint32_t random = 1;
    int wrong = 0;

    for (int round = 0; round < 2000; round++) {
        struct element elements[50];
        unsigned sum = 0, count = (unsigned)round % 50;

        for (unsigned i = 0; i < count; i++) {
            random = random * 1664525 + 1013904223;
            elements[i] = (struct element){.key = (unsigned char)(random >> 28),
                                           .order = (unsigned char)i};
            memset(elements[i].filler, elements[i].key, sizeof elements[i].filler);
            sum += elements[i].key;
        }
        qsort(elements, count, sizeof elements[0], by_key);
        for (unsigned i = 0; i < count; i++) {
            const struct element *e = &elements[i];

            wrong += i > 0 && (e[-1].key > e->key ||
                               (e[-1].key == e->key && e[-1].order > e->order));
            wrong += e->filler[0] != e->key || e->filler[10] != e->key;
            sum -= e->key;
        }
        wrong += sum != 0;
    }
    is_int(wrong, 0, "2,000 arrays of up to 49 elements are sorted, stably");
}

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

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        /* Read at run time, so that the compiler does not know the answer. */
        const char *volatile text = cases[i].text;
        const char *found = strstr(text, cases[i].wanted);

        is_int(found == NULL ? -1 : found - text, cases[i].at, "'%s' in '%s'",
               cases[i].wanted, cases[i].text);
    }
}

int main(void)
{
    test_sort();
    test_search();
    return done();
}
