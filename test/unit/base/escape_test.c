/* Escaping against a table of cases, and against a slow model that knows RFC 3629's grammar
 * by heart and the characters of this test only. */
#include "base/escape.h"

#include <stdint.h>
#include <stdlib.h>

#include "model.h"
#include "tap.h"

#define CANARY 0x5a

static void becomes(const void *data, size_t length, const char *wanted, const char *name)
{
    char out[512];
    bool is_same = strlen(wanted) == length && memcmp(data, wanted, length) == 0;
    bool is_backslash = memchr(data, '\\', length) != NULL;

    ok(escape_bytes(out, sizeof out, data, length) == out, "%s: returns out", name);
    is_str(out, wanted, "%s: the text", name);
    if (!is_backslash) {
        is_int(escape_is_printable(data, length), is_same, "%s: %s", name,
               is_same ? "prints" : "does not print");
    }
}

#define BECOMES(data, wanted, name) becomes((data), sizeof(data) - 1, (wanted), (name))
#define STAYS(data, name)           becomes((data), sizeof(data) - 1, (data), (name))

static void test_ascii(void)
{
    group("ASCII");
    for (int c = 0; c < 128; c++) {
        char byte = (char)c, wanted[5] = {byte}, name[16];

        snprintf(name, sizeof name, "byte 0x%02x", (unsigned)c);
        if (c == '\n' || c == '\r' || c == '\t' || c == '\\') {
            snprintf(wanted, sizeof wanted, "\\%c",
                     c == '\n'   ? 'n'
                     : c == '\r' ? 'r'
                     : c == '\t' ? 't'
                                 : '\\');
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(wanted, sizeof wanted, "\\x%02x", (unsigned)c);
        }
        becomes(&byte, 1, wanted, name);
    }
    BECOMES("", "", "nothing");
    STAYS("GET / HTTP/1.0 \"quoted\" 'too' ~", "plain text");
    BECOMES("a\nb\r\nc\td", "a\\nb\\r\\nc\\td", "lines");
    BECOMES("\0\0x", "\\x00\\x00x", "NULs are bytes like others");
    BECOMES("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m", "a terminal's colours");
    BECOMES("\\x41\\n", "\\\\x41\\\\n", "what looks escaped is escaped again");
    ok(escape_is_printable("\\", 1), "a backslash prints");
    ok(escape_is_printable("C:\\temp\\", 8), "several backslashes print");
    ok(!escape_is_printable("\\\n", 2), "a newline behind a backslash does not print");
    ok(escape_is_printable("abc\n", 3), "only `length` bytes are looked at");
}

static void test_valid(void)
{
    group("valid UTF-8");
    STAYS("N\xc2\xb0", "a degree sign");
    STAYS("a\xc3\xb1o", "n with tilde");
    STAYS("\xe2\x9c\x93", "a check mark");
    STAYS("\xf0\x9f\x98\x80", "an emoji");
    STAYS("\xc2\xa0", "U+00A0, the first after C1");
    STAYS("\xdf\xbf", "U+07FF, the last of two bytes");
    STAYS("\xe0\xa0\x80", "U+0800, the first of three bytes");
    STAYS("\xed\x9f\xbf", "U+D7FF, before the surrogates");
    STAYS("\xee\x80\x80", "U+E000, behind the surrogates");
    STAYS("\xf0\x90\x80\x80", "U+10000, the first of four bytes");
    STAYS("\xf3\xa0\x84\x80", "U+E0100");
    STAYS("\xd7\xa9\xd9\x84", "letters that are written from right to left");
    STAYS("\xe2\x80\x90\xe2\x80\xa7\xe2\x80\xaf", "neighbours of the marks of direction");
}

static void test_invalid(void)
{
    group("invalid UTF-8");
    BECOMES("\x80", "\\x80", "a lone continuation");
    BECOMES("\xbf\xbf", "\\xbf\\xbf", "two lone continuations");
    BECOMES("\xc0\x80", "\\xc0\\x80", "an overlong NUL");
    BECOMES("\xc0\xaf", "\\xc0\\xaf", "an overlong slash in two bytes");
    BECOMES("\xc1\xbf", "\\xc1\\xbf", "an overlong DEL");
    BECOMES("\xe0\x80\xaf", "\\xe0\\x80\\xaf", "an overlong slash in three bytes");
    BECOMES("\xe0\x9f\xbf", "\\xe0\\x9f\\xbf", "an overlong U+07FF");
    BECOMES("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf", "an overlong slash in four bytes");
    BECOMES("\xf0\x8f\xbf\xbd", "\\xf0\\x8f\\xbf\\xbd", "an overlong U+FFFD");
    BECOMES("\xed\xa0\x80", "\\xed\\xa0\\x80", "the first surrogate");
    BECOMES("\xed\xbf\xbf", "\\xed\\xbf\\xbf", "the last surrogate");
    BECOMES("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "beyond U+10FFFF");
    BECOMES("\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80", "0xf5 begins nothing");
    BECOMES("\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80", "five bytes");
    BECOMES("\xfe\xff", "\\xfe\\xff", "0xfe and 0xff");
    BECOMES("\xc3", "\\xc3", "one of two bytes");
    BECOMES("\xe2\x9c", "\\xe2\\x9c", "two of three bytes");
    BECOMES("\xf0\x9f\x98", "\\xf0\\x9f\\x98", "three of four bytes");
    BECOMES("\xf0\x9f\x98x", "\\xf0\\x9f\\x98x", "three of four, then a letter");
    BECOMES("\xc3\xc3\xb1", "\\xc3\xc3\xb1", "a truncated one before a whole one");
    BECOMES("\xc3\x28", "\\xc3(", "a letter in place of the only continuation");
    BECOMES("\xe2\x28\xa1", "\\xe2(\\xa1",
            "a letter in place of the first of two continuations");
    BECOMES("\xe2\x82\x28", "\\xe2\\x82(",
            "a letter in place of the second of two continuations");
    ok(!escape_is_printable("\xc3\xb1", 1),
       "nothing beyond `length` completes a character");
}

static void test_controls(void)
{
    static const char *const marks[] = {
        "\xe2\x80\x8e", "\xe2\x80\x8f", "\xe2\x80\xaa", "\xe2\x80\xab",
        "\xe2\x80\xac", "\xe2\x80\xad", "\xe2\x80\xae", "\xe2\x81\xa6",
        "\xe2\x81\xa7", "\xe2\x81\xa8", "\xe2\x81\xa9",
    };

    group("controls");
    BECOMES("\xc2\x80", "\\xc2\\x80", "U+0080, the first of C1");
    BECOMES("\xc2\x85", "\\xc2\\x85", "U+0085, a line end of C1");
    BECOMES("\xc2\x9b\x33mred", "\\xc2\\x9b3mred", "U+009B, a terminal's CSI");
    BECOMES("\xc2\x9f", "\\xc2\\x9f", "U+009F, the last of C1");
    BECOMES("\xd8\x9c", "\\xd8\\x9c", "mark of direction U+061C");
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        const unsigned char *m = (const unsigned char *)marks[i];
        char wanted[16], name[32];

        snprintf(name, sizeof name, "mark of direction U+%04X",
                 (m[0] & 0xfU) << 12 | (m[1] & 0x3fU) << 6 | (m[2] & 0x3fU));
        snprintf(wanted, sizeof wanted, "\\x%02x\\x%02x\\x%02x", m[0], m[1], m[2]);
        becomes(marks[i], 3, wanted, name);
    }
}

/* ---- the model -------------------------------------------------------------------------
 */

/* The length of the well-formed sequence at `p`, or 0: RFC 3629, section 4, line by line.
 */
static size_t well_formed(const unsigned char *p, size_t left)
{
    static const struct {
        unsigned char length, first, last, low, high; /* of the first and second byte */
    } grammar[] = {
        {1, 0x00, 0x7f, 0, 0},       {2, 0xc2, 0xdf, 0x80, 0xbf},
        {3, 0xe0, 0xe0, 0xa0, 0xbf}, {3, 0xe1, 0xec, 0x80, 0xbf},
        {3, 0xed, 0xed, 0x80, 0x9f}, {3, 0xee, 0xef, 0x80, 0xbf},
        {4, 0xf0, 0xf0, 0x90, 0xbf}, {4, 0xf1, 0xf3, 0x80, 0xbf},
        {4, 0xf4, 0xf4, 0x80, 0x8f},
    };

    for (size_t i = 0; i < sizeof grammar / sizeof *grammar; i++) {
        size_t length = grammar[i].length;

        if (p[0] < grammar[i].first || p[0] > grammar[i].last || left < length) {
            continue;
        }
        if (length > 1 && (p[1] < grammar[i].low || p[1] > grammar[i].high)) {
            continue;
        }
        if ((length > 2 && (p[2] & 0xc0) != 0x80) ||
            (length > 3 && (p[3] & 0xc0) != 0x80)) {
            continue;
        }
        return length;
    }
    return 0;
}

/* Random text is made of these pieces, whole or torn; so only their characters and what
 * their bytes can form need to be known. */
static const char *const pieces[] = {
    "a",
    "B",
    " ",
    "\\",
    "\n",
    "\r",
    "\t",
    "\x01",
    "\x7f",
    "\xc2\xb0",
    "\xc3\xb1",
    "\xe2\x9c\x93",
    "\xe2\x80\xae",
    "\xf0\x9f\x98\x80",
    "\x80",
    "\xff",
    "\xed\xa0",
    "\xc2\x85",
    "\xc0\xaf",
    "\xe0\x80\xaf",
    "\xf4\x90\x80\x80",
};

static bool prints(const unsigned char *p, size_t length)
{
    if (length < 2) {
        return length == 1 && p[0] >= 0x20 && p[0] != 0x7f;
    }
    bool is_c1 = p[0] == 0xc2 && p[1] < 0xa0;
    bool is_mark = p[0] == 0xe2 && p[1] == 0x80 && p[2] == 0xae;
    return !is_c1 && !is_mark;
}

struct model {
    char text[512];
    bool is_end[512]; /* does a character of the text end before this place? */
    size_t length;
    bool prints;
};

static void make_model(struct model *model, const unsigned char *in, size_t length)
{
    *model = (struct model){.prints = true, .is_end = {true}};
    for (size_t i = 0; i < length;) {
        size_t step = well_formed(in + i, length - i);
        char *out = model->text + model->length;

        if (in[i] == '\\') {
            strcpy(out, "\\\\");
        } else if (prints(in + i, step)) {
            memcpy(out, in + i, step);
        } else {
            step = 1;
            model->prints = false;
            if (in[i] == '\n' || in[i] == '\r' || in[i] == '\t') {
                strcpy(out, in[i] == '\n' ? "\\n" : in[i] == '\r' ? "\\r" : "\\t");
            } else {
                sprintf(out, "\\x%02x", in[i]);
            }
        }
        model->length += strlen(out);
        model->is_end[model->length] = true;
        i += step;
    }
}

static size_t random_text(unsigned char *in, size_t most)
{
    size_t length = 0, wanted = below((unsigned)most - 4);

    while (length < wanted) {
        const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
        size_t piece_length = strlen(piece);

        if (below(8) == 0) {
            piece_length = 1 + below((unsigned)piece_length);
        }
        memcpy(in + length, piece, piece_length);
        length += piece_length;
    }
    return length;
}

/* Is `out` the model's text, or its beginning up to a whole character and "..."? */
static bool right_in(const struct model *model, const char *out, size_t size)
{
    size_t length = strnlen(out, size);

    if (model->length < size) {
        return strcmp(out, model->text) == 0;
    }
    if (length >= size || length < 3 || strcmp(out + length - 3, "...") != 0) {
        return false;
    }
    length -= 3;
    /* The longest character is 4 bytes long: no more room than that may be wasted. */
    return memcmp(out, model->text, length) == 0 && model->is_end[length] &&
           length + 3 + 4 >= size - 1;
}

static bool right_in_all_sizes(const unsigned char *in, size_t length)
{
    struct model model;
    char out[600];

    make_model(&model, in, length);
    for (size_t size = 8; size < model.length + 6; size++) {
        memset(out, CANARY, sizeof out);
        if (escape_bytes(out, size, in, length) != out || !right_in(&model, out, size) ||
            out[size] != CANARY) {
            diag("size %zu: '%.*s' of '%s'", size, (int)size, out, model.text);
            return false;
        }
    }
    return escape_is_printable(in, length) == model.prints;
}

static void test_cut(void)
{
    static const struct {
        const char *text, *name;
    } cases[] = {
        {"", "nothing"},
        {"0123456789abcdef", "letters"},
        {"\xc3\xb1\xc3\xb1\xc3\xb1\xc3\xb1\xc3\xb1\xc3\xb1\xc3\xb1\xc3\xb1",
         "two bytes each"},
        {"\xe2\x9c\x93\xe2\x9c\x93\xe2\x9c\x93\xe2\x9c\x93\xe2\x9c\x93",
         "three bytes each"},
        {"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80", "four each"},
        {"\n\n\n\n\n\n\n\n\n\n\n\n\n", "newlines"},
        {"\\\\\\\\\\\\\\\\\\\\\\\\\\", "backslashes"},
        {"\x01\x02\x03\x04\x05\x06\x07\x08", "controls"},
        {"N\xc2\xb0 1\\\xe2\x9c\x93\n\x1b[m\xff\xf0\x9f\x98\x80.", "a mixture"},
        {"........................", "full stops"},
    };
    char out[9] = "";

    group("cut");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const unsigned char *text = (const unsigned char *)cases[i].text;

        ok(right_in_all_sizes(text, strlen(cases[i].text)), "at every size: %s",
           cases[i].name);
    }
    is_str(escape_bytes(out, 8, "1234567", 7), "1234567",
           "seven bytes fit into 8 with their NUL");
    is_str(escape_bytes(out, 8, "12345678", 8), "1234...", "eight bytes do not fit into 8");
    is_str(escape_bytes(out, 8, "1234\xf0\x9f\x98\x80", 8), "1234...",
           "four letters and an emoji do not fit into 8");
    is_str(escape_bytes(out, 8, "12\xf0\x9f\x98\x80\x39\x39", 8), "12...",
           "a character that the dots need room from goes as a whole");
    is_str(escape_bytes(out, 8, "123\xf0\x9f\x98\x80", 7), "123\xf0\x9f\x98\x80",
           "a character that just fits stays");
    is_str(escape_bytes(out, 8, "123\x01", 4), "123\\x01",
           "an escaped byte that just fits stays");
}

static void test_model(void)
{
    unsigned char in[64];
    long wrong = 0;

    group("model");
    for (int i = 0; i < 3000; i++) {
        size_t length = random_text(in, sizeof in);
        unsigned char *exact = malloc(length + 1); /* to be caught reading beyond */

        if (exact == NULL) {
            abort();
        }
        memcpy(exact + 1, in, length);
        wrong += !right_in_all_sizes(exact + 1, length);
        free(exact);
    }
    is_int(wrong, 0, "3,000 random texts, each in every size, are as the model says");
}

/* Every sequence of two bytes, and every one of three that begins at a limit. */
static void test_all_sequences(void)
{
    static const unsigned char firsts[] = {0xe0, 0xe1, 0xec, 0xed, 0xee, 0xf0, 0xf4, 0xf5};
    long wrong = 0;

    group("all sequences");
    for (unsigned first = 0x80; first <= 0xff; first++) {
        for (unsigned second = 0; second <= 0xff; second++) {
            unsigned char in[] = {(unsigned char)first, (unsigned char)second};
            bool is_c1 = first == 0xc2 && second < 0xa0;
            bool is_mark = first == 0xd8 && second == 0x9c; /* U+061C */

            wrong += escape_is_printable(in, 2) !=
                     (well_formed(in, 2) == 2 && !is_c1 && !is_mark);
        }
    }
    is_int(wrong, 0, "two bytes: exactly the well-formed ones print");

    wrong = 0;
    for (size_t i = 0; i < sizeof firsts; i++) {
        for (unsigned rest = 0; rest <= 0xffff; rest++) {
            unsigned char in[] = {firsts[i], (unsigned char)(rest >> 8),
                                  (unsigned char)rest, 0x80};
            size_t length = firsts[i] >= 0xf0 ? 4 : 3;

            wrong += escape_is_printable(in, length) != (well_formed(in, length) == length);
        }
    }
    is_int(wrong, 0, "three and four bytes at the limits: exactly the well-formed ones");
}

int main(void)
{
    test_ascii();
    test_valid();
    test_invalid();
    test_controls();
    test_cut();
    test_model();
    test_all_sequences();
    return done();
}
