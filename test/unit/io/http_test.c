/* Requests as a whole and in every cut: the judgement is the same, and comes with the first
 * byte that allows it. */
#include "io/http.h"

#include <stdint.h>
#include <stdlib.h>

#include "tap.h"

/* The judgement of the bytes that arrive in pieces of `step`; *used: how many were needed.
 * The bytes stand alone in memory, so that a read beyond them is seen. */
static enum http_status judge(const char *bytes, size_t length, size_t step, size_t *used,
                              struct http_request *request)
{
    enum http_status status = HTTP_INCOMPLETE;

    *used = 0;
    while (status == HTTP_INCOMPLETE && *used < length) {
        *used = *used + step < length ? *used + step : length;
        char *copy = malloc(*used);

        memcpy(copy, bytes, *used);
        status = http_parse(copy, *used, request);
        request->path = bytes + (request->path_length > 0 ? request->path - copy : 0);
        free(copy);
    }
    return status;
}

/* The same in pieces of all sizes. Returns the judgement, or -1. */
static int in_every_cut(const char *bytes, size_t length, struct http_request *request)
{
    size_t used, first;
    enum http_status status = judge(bytes, length, 1, &first, request);

    for (size_t step = 2; step <= length; step++) {
        struct http_request other;

        if (judge(bytes, length, step, &used, &other) != status || used < first ||
            used >= first + step || other.is_head != request->is_head ||
            other.path_length != request->path_length) {
            diag("in pieces of %zu it is judged in another way", step);
            return -1;
        }
    }
    return (int)status;
}

static void test_good(void)
{
    static const struct {
        const char *text, *path;
        bool is_head;
    } cases[] = {
        {"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", "/metrics", false},
        {"HEAD /readyz HTTP/1.1\r\nHost: a\r\n\r\n", "/readyz", true},
        {"GET / HTTP/1.0\r\n\r\n", "/", false},
        {"GET / HTTP/1.0\r\nhost: a\r\n\r\n", "/", false},
        {"GET /livez HTTP/1.0\n\n", "/livez", false},
        {"\r\nGET /livez HTTP/1.0\r\n\r\n", "/livez", false},
        {"\n\r\n\nGET /livez HTTP/1.0\r\n\r\n", "/livez", false},
        {"GET /metrics?name=a HTTP/1.1\r\nhOsT:\r\n\r\n", "/metrics", false},
        {"GET /? HTTP/1.0\r\n\r\n", "/", false},
        {"GET http://a.example/metrics HTTP/1.1\r\nHost: a.example\r\n\r\n", "/metrics",
         false},
        {"GET HTTP://a:1/metrics?x HTTP/1.1\r\nHost: a\r\n\r\n", "/metrics", false},
        {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "", false},
        {"GET /a HTTP/1.1\r\nHostess: b\r\nHost: a\r\nX: \xc3\xa4\t:\r\nY:\r\n\r\n", "/a",
         false},
        {"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "/a", false},
        {"GET /a HTTP/1.1\r\nHost: a\r\n\r\n\x01 more", "/a", false},
    };
    struct http_request request;

    group("a good request");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *text = cases[i].text;

        is_int(in_every_cut(text, strlen(text), &request), HTTP_OK, "number %zu", i);
        ok(http_path_is(&request, cases[i].path), "number %zu: its path is %s", i,
           cases[i].path);
        ok(!http_path_is(&request, "/x"), "number %zu: it is no other", i);
        is_int(request.is_head, cases[i].is_head, "number %zu: HEAD or not", i);
    }
}

static void test_bad(void)
{
    static const struct {
        const char *text;
        enum http_status status;
        const char *what;
    } cases[] = {
        {"GET /metrics\r\n", HTTP_BAD_REQUEST, "HTTP/0.9"},
        {"GET /metrics \r\n", HTTP_BAD_REQUEST, "a space instead of the version"},
        {"GET  /metrics HTTP/1.1\r\n", HTTP_BAD_REQUEST, "two spaces"},
        {"GET /metrics  HTTP/1.1\r\n", HTTP_BAD_REQUEST, "two spaces behind the target"},
        {"GET /metrics HTTP/1.1 \r\n", HTTP_BAD_REQUEST, "a space at the end"},
        {"GET /a b HTTP/1.1\r\n", HTTP_BAD_REQUEST, "a space in the target"},
        {"GET /metrics HTTP/2.0\r\n", HTTP_BAD_REQUEST, "HTTP/2"},
        {"GET /metrics HTTP/1.2\r\n", HTTP_BAD_REQUEST, "HTTP/1.2"},
        {"GET /metrics HTTP/1.10\r\n", HTTP_BAD_REQUEST, "HTTP/1.10"},
        {"GET /metrics http/1.1\r\n", HTTP_BAD_REQUEST, "http in lower case"},
        {"PRI * HTTP/2.0\r\n", HTTP_BAD_REQUEST, "the preface of HTTP/2"},
        {"GET * HTTP/1.1\r\n", HTTP_BAD_REQUEST, "a target without a slash"},
        {"GET metrics HTTP/1.1\r\n", HTTP_BAD_REQUEST, "a relative target"},
        {"GET https://a/metrics HTTP/1.1\r\n", HTTP_BAD_REQUEST, "another scheme"},
        {"GET\t/metrics\tHTTP/1.1\r\n", HTTP_BAD_REQUEST, "tabs"},
        {" GET /metrics HTTP/1.1\r\n", HTTP_BAD_REQUEST, "a space at the start"},
        {"GET\r\n", HTTP_BAD_REQUEST, "a method alone"},
        {" \r\n", HTTP_BAD_REQUEST, "a space alone"},
        {"hello\n", HTTP_BAD_REQUEST, "a word"},
        {"GET /\xc3\xa4 HTTP/1.1\r\n", HTTP_BAD_REQUEST, "no ASCII in the target"},
        {"\x16", HTTP_BAD_REQUEST, "TLS"},
        {"GET /\x7f", HTTP_BAD_REQUEST, "DEL in the target"},
        {"GET /a\rb", HTTP_BAD_REQUEST, "CR in the target"},
        {"\r\r", HTTP_BAD_REQUEST, "CR CR"},
        {"GET / HTTP/1.1\r\n\r\n", HTTP_BAD_REQUEST, "HTTP/1.1 without Host"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n", HTTP_BAD_REQUEST, "two of Host"},
        {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", HTTP_BAD_REQUEST,
         "two of Host in HTTP/1.0"},
        {"GET / HTTP/1.1\r\nHost : a\r\n", HTTP_BAD_REQUEST, "a space before the colon"},
        {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n", HTTP_BAD_REQUEST, "a folded field"},
        {"GET / HTTP/1.1\r\n:a\r\n", HTTP_BAD_REQUEST, "a field without a name"},
        {"GET / HTTP/1.1\r\nHost\r\n", HTTP_BAD_REQUEST, "a field without a colon"},
        {"GET / HTTP/1.1\r\nHost: a\x1b", HTTP_BAD_REQUEST, "ESC in a field"},
        {"GET / HTTP/1.1\r\nHost: a\rb", HTTP_BAD_REQUEST, "CR in a field"},
        {"POST /metrics HTTP/1.1\r\n", HTTP_METHOD_NOT_ALLOWED, "POST"},
        {"get /metrics HTTP/1.1\r\n", HTTP_METHOD_NOT_ALLOWED, "get in lower case"},
        {"GETS / HTTP/1.1\r\n", HTTP_METHOD_NOT_ALLOWED, "GETS"},
        {"HEADS / HTTP/1.1\r\n", HTTP_METHOD_NOT_ALLOWED, "HEADS"},
        {"OPTIONS * HTTP/1.1\r\n", HTTP_METHOD_NOT_ALLOWED, "OPTIONS"},
        {"X y HTTP/1.0\n", HTTP_METHOD_NOT_ALLOWED, "an unknown method"},
    };
    struct http_request request;
    char text[64];

    group("a bad request");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t length = strlen(cases[i].text), used;

        is_int(in_every_cut(cases[i].text, length, &request), cases[i].status, "%s",
               cases[i].what);
        judge(cases[i].text, length, 1, &used, &request);
        is_int(used, length, "%s: judged at its last byte", cases[i].what);
    }
    memcpy(text, "GET /\0", 6);
    is_int(in_every_cut(text, 6, &request), HTTP_BAD_REQUEST, "NUL in the target");
}

/* Every beginning of a good request is incomplete. */
static void test_incomplete(void)
{
    static const char text[] = "HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n";
    struct http_request request;

    group("incomplete");
    for (size_t length = 0; length < sizeof text - 1; length++) {
        is_int(http_parse(text, length, &request), HTTP_INCOMPLETE, "%zu bytes", length);
    }
    http_parse(text, 20, &request);
    ok(request.is_head, "the method is known before the end");
}

static void test_too_long(void)
{
    static const char start[] = "HEAD /a HTTP/1.1\r\nHost: a\r\nX: ";
    char text[HTTP_REQUEST_MAX];
    struct http_request request;

    group("too long");
    memset(text, 'x', sizeof text);
    is_int(in_every_cut(text, sizeof text, &request), HTTP_TARGET_TOO_LONG,
           "no end of the first line: 414");
    is_int(http_parse(text, sizeof text - 1, &request), HTTP_INCOMPLETE,
           "one byte less: incomplete");
    memset(text, '\n', sizeof text);
    is_int(in_every_cut(text, sizeof text, &request), HTTP_TARGET_TOO_LONG,
           "empty lines only: 414");
    memset(text, 'x', sizeof text);
    memcpy(text, start, sizeof start - 1);
    is_int(in_every_cut(text, sizeof text, &request), HTTP_FIELDS_TOO_LARGE,
           "no end of the fields: 431");
    ok(request.is_head, "no end of the fields: the method is known");
    memcpy(text + sizeof text - 4, "\r\n\r\n", 4);
    is_int(in_every_cut(text, sizeof text, &request), HTTP_OK, "the longest: 200");
}

static void test_head(void)
{
    char out[HTTP_HEAD_TEXT];
    size_t length = http_head(out, HTTP_OK, 1234);

    group("the head of an answer");
    is_str(out,
           "HTTP/1.1 200 OK\r\n"
           "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
           "Content-Length: 1234\r\nConnection: close\r\n\r\n",
           "200");
    is_int(length, strlen(out), "its length");
    length = http_head(out, HTTP_METHOD_NOT_ALLOWED, SIZE_MAX);
    ok(strstr(out, "HTTP/1.1 405 ") == out &&
           strstr(out, "\r\nAllow: GET, HEAD\r\n") != NULL,
       "405: with Allow");
    is_int(length, strlen(out), "the longest fits");
}

int main(void)
{
    test_good();
    test_bad();
    test_incomplete();
    test_too_long();
    test_head();
    return done();
}
