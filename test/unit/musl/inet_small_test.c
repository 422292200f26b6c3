/* inet_ntop() and inet_pton() of the shipped programs, called as anybody calls them. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "model.h"
#include "tap.h"

#define LENGTH(table) (sizeof(table) / sizeof(table)[0])

/* Texts of IPv6, and what they become again. */
static void test_v6(void)
{
    static const struct {
        const char *text, *wanted;
    } cases[] = {
        {"::", "::"},
        {"::1", "::1"},
        {"1::", "1::"},
        {"0:0:0:0:0:0:0:0", "::"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"0001:0020:0300:4000:0005:0006:0007:0008", "1:20:300:4000:5:6:7:8"},
        {"1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"},
        {"1::3:4:5:6:7:8", "1:0:3:4:5:6:7:8"},
        {"0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"},
        {"1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"1:0:0:4:5:0:0:8", "1::4:5:0:0:8"},
        {"1:0:0:4:0:0:0:8", "1:0:0:4::8"},
        {"0:0:3:0:0:0:7:8", "0:0:3::7:8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"::ffff:c000:201", "::ffff:192.0.2.1"},
        {"::ffff:0.0.0.0", "::ffff:0.0.0.0"},
        {"::192.0.2.1", "::c000:201"},
        {"64:ff9b::255.255.255.255", "64:ff9b::ffff:ffff"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"fe80::1", "fe80::1"},
    };
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];

    group("IPv6");
    for (size_t i = 0; i < LENGTH(cases); i++) {
        memset(bytes, 0x5a, sizeof bytes);
        is_int(inet_pton(AF_INET6, cases[i].text, bytes), 1, "'%s' is read", cases[i].text);
        is_str(inet_ntop(AF_INET6, bytes, text, sizeof text), cases[i].wanted,
               "'%s' becomes '%s'", cases[i].text, cases[i].wanted);
    }
}

static void test_bad(void)
{
    static const char *const v6[] = {
        "",
        ":",
        ":::",
        "1",
        "1:",
        ":1",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8:",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        ":1:2:3:4:5:6:7:8",
        "1::2::3",
        "1:::2",
        "::1:",
        "12345::",
        "::g",
        "::1%lo",
        "::1 ",
        " ::1",
        "1.2.3.4",
        "::1.2.3",
        "::1.2.3.4.5",
        "::1.2.3.256",
        "::1.2.3.4:5",
        "::1.2.3.a",
        "1:2:3:4:5:6:7:1.2.3.4",
        "1:2:3::4:5:6:1.2.3.4",
        "1:2:3:4:5:1.2.3.4",
        "1:2:3:4:5:6:7:8.9",
    };
    static const char *const v4[] = {
        "",         "1",         "1.2.3",     "1.2.3.",     "1.2.3.4.",   "1.2.3.4.5",
        "1..3.4",   "256.1.1.1", "1.2.3.256", "1.2.3.1000", "01.2.3.4",   "1.2.3.00",
        "1.2.3.-4", "1.2.3.4 ",  " 1.2.3.4",  "1.2.3.a",    "0x7f.0.0.1", "::1",
    };
    unsigned char bytes[16];

    group("IPv6");
    for (size_t i = 0; i < LENGTH(v6); i++) {
        is_int(inet_pton(AF_INET6, v6[i], bytes), 0, "'%s' is none", v6[i]);
    }
    group("IPv4");
    for (size_t i = 0; i < LENGTH(v4); i++) {
        is_int(inet_pton(AF_INET, v4[i], bytes), 0, "'%s' is none", v4[i]);
    }
}

static void test_v4(void)
{
    static const char *const good[] = {"0.0.0.0", "255.255.255.255", "192.0.2.10",
                                       "9.99.100.200"};
    unsigned char bytes[4];
    char text[INET_ADDRSTRLEN];

    group("IPv4");
    for (size_t i = 0; i < LENGTH(good); i++) {
        is_int(inet_pton(AF_INET, good[i], bytes), 1, "'%s' is read", good[i]);
        is_str(inet_ntop(AF_INET, bytes, text, sizeof text), good[i], "and becomes itself");
    }
    ok(inet_pton(AF_INET, "1.2.3.4", bytes) == 1 && memcmp(bytes, "\1\2\3\4", 4) == 0,
       "its bytes are in their order");
}

/* Whatever an address is, its text is read as that address. */
static void test_random(void)
{
    int wrong = 0;

    group("random addresses");
    for (int round = 0; round < 20000; round++) {
        unsigned char bytes[16], again[16];
        char text[INET6_ADDRSTRLEN];

        for (int i = 0; i < 16; i++) {
            bytes[i] = below(3) == 0 ? (unsigned char)below(256) : 0;
        }
        wrong += inet_pton(AF_INET6, inet_ntop(AF_INET6, bytes, text, sizeof text),
                           again) != 1 ||
                 memcmp(bytes, again, sizeof bytes) != 0;
    }
    is_int(wrong, 0, "20,000 of IPv6 come back as they were");
}

static void test_limits(void)
{
    unsigned char bytes[16] = {0};
    char text[INET6_ADDRSTRLEN];

    group("limits");
    ok(inet_ntop(AF_INET, bytes, text, 7) == NULL && errno == ENOSPC,
       "no room for the NUL");
    ok(inet_ntop(AF_INET, bytes, text, 8) == text, "just enough room");
    ok(inet_ntop(AF_UNIX, bytes, text, sizeof text) == NULL && errno == EAFNOSUPPORT,
       "another family has no text");
    errno = 0;
    ok(inet_pton(AF_UNIX, "::1", bytes) == -1 && errno == EAFNOSUPPORT, "and is not read");
}

int main(void)
{
    test_v6();
    test_bad();
    test_v4();
    test_random();
    test_limits();
    return done();
}
