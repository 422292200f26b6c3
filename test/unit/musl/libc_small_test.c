/* qsort(), fgets(), getc(), strtoul(), mbstowcs() and __lookup_serv() of the client, called
 * as anybody calls them. */
#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <wchar.h>

#include "model.h"
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
    int wrong = 0;

    group("qsort");
    for (int round = 0; round < 2000; round++) {
        struct element elements[50];
        unsigned sum = 0, count = (unsigned)round % 50;

        for (unsigned i = 0; i < count; i++) {
            elements[i] = (struct element){.key = (unsigned char)below(16),
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

static void test_numbers(void)
{
    static const struct {
        const char *text;
        int base;
        unsigned long value;
        int length; /* of what is read */
    } cases[] = {
        {"0", 10, 0, 1},
        {"53", 10, 53, 2},
        {"65536", 10, 65536, 5},
        {" \t7x", 10, 7, 3},
        {"+7", 10, 7, 2},
        {"-1", 10, ULONG_MAX, 2},
        {"", 10, 0, 0},
        {"x", 10, 0, 0},
        {" x", 10, 0, 0},
        {"-", 10, 0, 0},
        {"1.2", 0, 1, 1},
        {"010", 0, 8, 3},
        {"010", 10, 10, 3},
        {"08", 0, 0, 1},
        {"0x1F.", 0, 31, 4},
        {"0xff", 16, 255, 4},
        {"ff", 16, 255, 2},
        {"0x", 0, 0, 1},
        {"0xg", 16, 0, 1},
        {"1z", 36, 71, 2},
        {"18446744073709551615", 10, ULONG_MAX, 20},
        {"18446744073709551616", 10, ULONG_MAX, 20},
        {"99999999999999999999999x", 10, ULONG_MAX, 23},
    };
    char *end;

    group("strtoul");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *volatile text = cases[i].text;
        const char *start = text;

        ok(strtoul(start, &end, cases[i].base) == cases[i].value, "'%s' to base %d is %lu",
           cases[i].text, cases[i].base, cases[i].value);
        is_int(end - start, cases[i].length, "'%s': %d characters are read", cases[i].text,
               cases[i].length);
        ok(strtoull(start, NULL, cases[i].base) == cases[i].value, "'%s': strtoull", text);
    }
    errno = 0;
    strtoul("18446744073709551616", NULL, 10);
    is_int(errno, ERANGE, "too large a number is ERANGE");
    errno = 0;
    strtoul("18446744073709551615", NULL, 10);
    is_int(errno, 0, "the largest one is none");
}

static void test_lines(void)
{
    char text[] = "one\nlonger\n\nlast", out[6];
    FILE *file = fmemopen(text, strlen(text), "r");

    group("fgets");
    ok(fgets(out, sizeof out, file) == out, "the buffer is returned");
    is_str(out, "one\n", "a line with its newline");
    fgets(out, sizeof out, file);
    is_str(out, "longe", "as much as there is room for");
    fgets(out, sizeof out, file);
    is_str(out, "r\n", "and the rest");
    fgets(out, sizeof out, file);
    is_str(out, "\n", "an empty line");
    fgets(out, sizeof out, file);
    is_str(out, "last", "a line without a newline");
    ok(fgets(out, sizeof out, file) == NULL, "nothing at the end");
    fclose(file);
}

static void test_wide(void)
{
    wchar_t out[4] = {9, 9, 9, 9};

    group("mbstowcs");
    is_int(mbstowcs(NULL, "abc", 0), 3, "counts characters");
    is_int(mbstowcs(out, "ab", 4), 2, "writes them");
    ok(out[0] == 'a' && out[1] == 'b' && out[2] == 0 && out[3] == 9, "and a NUL");
    is_int(mbstowcs(out, "xyz", 2), 2, "as many as there is room for");
    ok(out[0] == 'x' && out[1] == 'y' && out[2] == 0, "and no more");
}

/* As musl's lookup.h has them. */
struct service {
    uint16_t port;
    unsigned char protocol, type;
};
int __lookup_serv(struct service *found, const char *name, int protocol, int type,
                  int flags);

static void test_services(void)
{
    static const struct {
        const char *name;
        int port; /* -1: refused */
    } cases[] = {{"0", 0}, {"7", 7},     {"65535", 65535}, {"65536", -1},
                 {"", -1}, {"http", -1}, {"80x", -1},      {"4294967303", -1}};

    group("__lookup_serv");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct service found = {9, 9, 9};
        int count = __lookup_serv(&found, cases[i].name, 0, SOCK_STREAM, AI_NUMERICSERV);

        is_int(count, cases[i].port == -1 ? EAI_SERVICE : 1, "\"%s\"", cases[i].name);
        is_int(found.port, cases[i].port == -1 ? 9 : cases[i].port, "its port");
        is_int(found.protocol, cases[i].port == -1 ? 9 : IPPROTO_TCP, "its protocol");
        is_int(found.type, cases[i].port == -1 ? 9 : SOCK_STREAM, "its type");
    }
    is_int(__lookup_serv(NULL, "7", 0, SOCK_DGRAM, 0), EAI_SERVICE, "only for TCP");
}

int main(void)
{
    test_sort();
    test_numbers();
    test_lines();
    test_wide();
    test_services();
    return done();
}
