/* A request out of the fuzzer's bytes, in cuts that its first bytes choose: the judgement
 * is that of the bytes one by one, and what is judged good has the form of a request. */
#include "io/http.h"

#include <string.h>

#include "fuzz.h"

static bool is_good_status(enum http_status status, size_t length)
{
    switch (status) {
    case HTTP_INCOMPLETE:
        return length < HTTP_REQUEST_MAX;
    case HTTP_TARGET_TOO_LONG:
    case HTTP_FIELDS_TOO_LARGE:
        return length == HTTP_REQUEST_MAX;
    default:
        return status == HTTP_OK || status == HTTP_BAD_REQUEST ||
               status == HTTP_METHOD_NOT_ALLOWED;
    }
}

/* The form of a head that is judged good at its last byte. */
static void check_good(const char *bytes, size_t length, const struct http_request *request)
{
    const char *start = bytes, *end = bytes + length;
    unsigned lines = 0;

    for (const char *p = bytes; p < end; p++) {
        PROMISE((unsigned char)*p >= ' ' || *p == '\t' || *p == '\r' || *p == '\n');
        PROMISE(*p != '\r' || p[1] == '\n');
        lines += *p == '\n';
    }
    while (*start == '\r' || *start == '\n') {
        start++;
    }
    PROMISE(end[-1] == '\n' && (end[-2] == '\n' || (end[-2] == '\r' && end[-3] == '\n')));
    PROMISE(strncmp(start, request->is_head ? "HEAD " : "GET ", request->is_head ? 5 : 4) ==
            0);
    PROMISE(request->path_length == 0 || *request->path == '/');
    PROMISE(request->path_length == 0 ||
            (request->path > start && request->path + request->path_length < end));
    PROMISE(memchr(request->path, '?', request->path_length) == NULL);
    PROMISE(memchr(request->path, ' ', request->path_length) == NULL);
    PROMISE(lines >= 2);
}

/* Feed the bytes in pieces of at most `most`. Returns the judgement, and how many were
 * needed. The control loses the byte behind a cut after CR. */
static enum http_status feed(const uint8_t *bytes, size_t length, unsigned most,
                             uint32_t cuts, size_t *used, struct http_request *request)
{
    static char seen[HTTP_REQUEST_MAX];
    enum http_status status = HTTP_INCOMPLETE;
    size_t taken = 0;

    *used = 0;
    while (status == HTTP_INCOMPLETE && taken < length && *used < HTTP_REQUEST_MAX) {
        size_t n = 1 + (cuts >> 16) % most;

        cuts = cuts * 1103515245 + 12345;
        n = n < length - taken ? n : length - taken;
        n = n < HTTP_REQUEST_MAX - *used ? n : HTTP_REQUEST_MAX - *used;
        memcpy(seen + *used, bytes + taken, n);
        *used += n;
        taken += n;
        char *copy = malloc(*used); /* a read beyond its end is seen */
        memcpy(copy, seen, *used);
        status = http_parse(copy, *used, request);
        request->path = seen + (request->path_length > 0 ? request->path - copy : 0);
        free(copy);
        PROMISE(is_good_status(status, *used));
        taken += FUZZ_CONTROL && most > 1 && seen[*used - 1] == '\r';
    }
    if (status == HTTP_OK && most == 1) {
        check_good(seen, *used, request);
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct http_request one = {0}, other = {0};
    size_t used, more;

    fuzz_bytes = bytes;
    fuzz_left = length;
    unsigned most = 2 + below(64);
    uint32_t cuts = below(65536) << 16;
    enum http_status status = feed(fuzz_bytes, fuzz_left, 1, 0, &used, &one);
    PROMISE(feed(fuzz_bytes, fuzz_left, most, cuts, &more, &other) == status);
    PROMISE(more >= used && more < used + most);
    PROMISE(one.is_head == other.is_head && one.path_length == other.path_length);
    return 0;
}
