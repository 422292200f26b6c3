/* http: the head of an HTTP/1.1 request (RFC 9112), and that of its answer.
 *
 * Only what GET and HEAD of a few pages need. The bytes of a request may arrive in any
 * pieces: a judgement is made at the first byte that allows one, so it is the same however
 * the bytes were cut. Pure: nothing here knows a socket. */
#ifndef ECHOLAB_HTTP_H
#define ECHOLAB_HTTP_H

#include <stdbool.h>
#include <stddef.h>

/* The longest head of a request, in bytes. */
#define HTTP_REQUEST_MAX 1024

/* Enough for every head of an answer. */
#define HTTP_HEAD_TEXT 256

enum http_status {
    HTTP_INCOMPLETE = 0, /* no status: more bytes are needed */
    HTTP_OK = 200,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_TIMEOUT = 408,
    HTTP_TARGET_TOO_LONG = 414,
    HTTP_FIELDS_TOO_LARGE = 431,
    HTTP_UNAVAILABLE = 503,
};

struct http_request {
    bool is_head;     /* HEAD: the answer has no body */
    const char *path; /* without a query; points into the request's bytes */
    size_t path_length;
    unsigned hosts;        /* private: Host fields so far */
    unsigned hosts_needed; /* private: 1 in HTTP/1.1 */
};

/* Judge the first `length` bytes of a request, at most HTTP_REQUEST_MAX. Returns HTTP_OK:
 * the head is complete, and *request filled; HTTP_INCOMPLETE; or 400, 405, 414 or 431. In
 * these cases request->is_head is right as far as the method is known. A target may have
 * the form of a proxy's (http://host/path). A line may end without CR. */
enum http_status http_parse(const char *bytes, size_t length, struct http_request *request);

/* Has the request this path? */
bool http_path_is(const struct http_request *request, const char *path);

/* Print the head of an answer with a body of `length` bytes of text; the connection ends
 * behind it. The phrase behind the status says nothing more (RFC 9112, 4). Returns its
 * length. */
size_t http_head(char out[HTTP_HEAD_TEXT], enum http_status status, size_t length);

#endif
