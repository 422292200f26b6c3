#include "io/http.h"

#include <string.h>

#include "base/format.h"

/* What take_line() says beside a line's length. */
enum {
    LINE_INCOMPLETE = -1,
    LINE_BAD = -2, /* a byte that no line may have */
};

/* A control character other than the tab, or DEL: bytes of 0x80 on are allowed in the
 * values of fields (RFC 9110, 5.5), and the request line is checked once more. */
static bool is_control(unsigned char c)
{
    return (c < ' ' && c != '\t') || c == 0x7f;
}

/* Take the line at *at from the bytes up to `end`. Returns its length without its end, or
 * one of the above. A CR must stand before a LF (RFC 9112, 2.2). */
static int take_line(const char **at, const char *end)
{
    const char *start = *at;

    for (const char *p = start; p < end; p++) {
        bool is_cr = *p == '\r';

        if (is_cr && p + 1 == end) {
            return LINE_INCOMPLETE;
        }
        if (p[is_cr] == '\n') {
            *at = p + is_cr + 1;
            return (int)(p - start);
        }
        if (is_control((unsigned char)*p)) {
            return LINE_BAD;
        }
    }
    return LINE_INCOMPLETE;
}

/* The length of the word at `text`: up to a space or a byte that is not ASCII. */
static size_t word_length(const char *text, const char *end)
{
    const char *p = text;

    while (p < end && (signed char)*p > ' ') {
        p++;
    }
    return (size_t)(p - text);
}

/* Does the text begin with the word, which is in lower case? Bit 0x20 makes an upper letter
 * a lower one, and no other printable character one of the word. */
static bool begins_with(const char *text, const char *end, const char *word)
{
    while (*word != '\0' && text < end && (*text | 0x20) == *word) {
        text++;
        word++;
    }
    return *word == '\0';
}

/* A target in the form of a proxy's becomes its path (RFC 9112, 3.2). */
static const char *path_of(const char *target, const char *end)
{
    if (begins_with(target, end, "http://")) {
        target += 7;
        while (target < end && *target != '/') {
            target++;
        }
    }
    return target;
}

/* METHOD target HTTP/1.1 */
static enum http_status take_request_line(const char *line, const char *end,
                                          struct http_request *request)
{
    const char *space = line + word_length(line, end), *target = space + 1;
    const char *target_end = target < end ? target + word_length(target, end) : target;

    if (space == line || target_end == target || end - target_end != 9 || *space != ' ' ||
        memcmp(target_end, " HTTP/1.", 8) != 0 || (unsigned char)(end[-1] - '0') > 1) {
        return HTTP_BAD_REQUEST;
    }
    request->hosts_needed = (unsigned)end[-1] - '0';
    request->is_head = memcmp(line, "HEAD ", 5) == 0;
    if (!request->is_head && memcmp(line, "GET ", 4) != 0) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    const char *path = path_of(target, target_end);
    const char *query = memchr(path, '?', (size_t)(target_end - path));
    request->path = path;
    request->path_length = (size_t)((query != NULL ? query : target_end) - path);
    return path == target && *path != '/' ? HTTP_BAD_REQUEST : HTTP_OK;
}

/* Name: value. The name ends at its colon and has no space in it, which also forbids the
 * old way to fold lines (RFC 9112, 5). */
static enum http_status take_field(const char *line, const char *end,
                                   struct http_request *request)
{
    const char *colon = memchr(line, ':', word_length(line, end));

    if (colon == NULL || colon == line) {
        return HTTP_BAD_REQUEST;
    }
    request->hosts += colon - line == 4 && begins_with(line, colon, "host");
    return HTTP_OK;
}

enum http_status http_parse(const char *bytes, size_t length, struct http_request *request)
{
    const char *line = bytes, *end = bytes + length;
    enum http_status status =
        HTTP_INCOMPLETE; /* of the lines so far; OK: of one at least */

    *request = (struct http_request){.path = ""};
    for (;;) {
        const char *next = line;
        int line_length = take_line(&next, end);

        if (line_length == LINE_INCOMPLETE) {
            return length < HTTP_REQUEST_MAX ? HTTP_INCOMPLETE
                   : status == HTTP_OK       ? HTTP_FIELDS_TOO_LARGE
                                             : HTTP_TARGET_TOO_LONG;
        }
        if (line_length == 0 && status == HTTP_OK) {
            /* HTTP/1.1 needs one Host, and nothing allows two (RFC 9112, 3.2). */
            return request->hosts <= 1 && request->hosts >= request->hosts_needed
                       ? HTTP_OK
                       : HTTP_BAD_REQUEST;
        }
        if (line_length > 0) { /* an empty one before the request is ignored (2.2) */
            status = (status == HTTP_OK ? take_field : take_request_line)(
                line, line + line_length, request);
        }
        if (line_length == LINE_BAD || (status != HTTP_OK && status != HTTP_INCOMPLETE)) {
            return line_length == LINE_BAD ? HTTP_BAD_REQUEST : status;
        }
        line = next;
    }
}

bool http_path_is(const struct http_request *request, const char *path)
{
    return strlen(path) == request->path_length &&
           memcmp(path, request->path, request->path_length) == 0;
}

size_t http_head(char out[HTTP_HEAD_TEXT], enum http_status status, size_t length)
{
    return format(out, HTTP_HEAD_TEXT,
                  "HTTP/1.1 %d %s\r\n"
                  "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                  "Content-Length: %zu\r\n%s"
                  "Connection: close\r\n\r\n",
                  (int)status, status == HTTP_OK ? "OK" : "Not OK", length,
                  status == HTTP_METHOD_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "");
}
