#include "server/preamble.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "io/identity.h"

static enum preamble_step take_header(struct preamble *preamble, int fd,
                                      unsigned char *bytes, size_t length,
                                      struct proxy_header *header)
{
    enum proxy_verdict verdict = proxy_header_judge(bytes, length, header);

    if (verdict != PROXY_GOOD) {
        return verdict == PROXY_WRONG ? PREAMBLE_WRONG : PREAMBLE_PART;
    }
    preamble->awaits_header = false;
    return net_drop(fd, bytes, header->length) ? PREAMBLE_HEADER : PREAMBLE_ENDED;
}

static enum preamble_step take_question(int fd, unsigned char *bytes, size_t length,
                                        const char *answer)
{
    bool is_part = length < IDENTITY_QUESTION_LENGTH;
    size_t most = is_part ? length : IDENTITY_QUESTION_LENGTH;

    if (memcmp(bytes, IDENTITY_QUESTION, most) != 0) {
        return PREAMBLE_OVER;
    }
    if (is_part) {
        return PREAMBLE_PART;
    }
    if (!net_drop(fd, bytes, most)) {
        return PREAMBLE_ENDED;
    }
    /* Nothing was sent before: the line goes as a whole, or memory is short. */
    most = strlen(answer);
    errno = ENOBUFS;
    return send(fd, answer, most, MSG_NOSIGNAL) == (ssize_t)most ? PREAMBLE_OVER
                                                                 : PREAMBLE_ENDED;
}

enum preamble_step preamble_look(struct preamble *preamble, int fd, unsigned char *bytes,
                                 size_t *length, const char *answer,
                                 struct proxy_header *header)
{
    if (!preamble->awaits_header && !preamble->awaits_question) {
        return PREAMBLE_OVER;
    }
    errno = 0;
    ssize_t n = recv(fd, bytes, PROXY_HEADER_MAX, MSG_PEEK);
    *length = n > 0 ? (size_t)n : 0;
    if (n == -1 && (errno == EAGAIN || errno == EINTR)) {
        return PREAMBLE_NOTHING;
    }
    if (!preamble->awaits_header) { /* the echo handles an end or an error */
        return n <= 0 ? PREAMBLE_OVER : take_question(fd, bytes, *length, answer);
    }
    return n <= 0 ? PREAMBLE_ENDED : take_header(preamble, fd, bytes, *length, header);
}
