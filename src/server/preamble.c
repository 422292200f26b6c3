#include "server/preamble.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "io/identity.h"

#define HEADER_MS   3000
#define QUESTION_MS 500

/* The first wait for the rest of a part; it doubles, and so often at most. */
#define LOOK_NS            (4 * CLOCK_MS)
#define PREAMBLE_LOOKS_MAX 4

static enum preamble_step ended(int error)
{
    errno = error;
    return PREAMBLE_ENDED;
}

static enum preamble_step take_header(struct preamble *preamble, int fd,
                                      unsigned char *bytes, size_t length,
                                      struct proxy_header *header)
{
    switch (proxy_header_judge(bytes, length, header)) {
    case PROXY_WRONG:
        return PREAMBLE_WRONG;
    case PROXY_INCOMPLETE:
        header->wrong_at = length;
        return PREAMBLE_PART;
    case PROXY_GOOD:
        break;
    }
    if (!net_drop(fd, bytes, header->length)) {
        return ended(errno);
    }
    preamble->awaits_header = false;
    preamble->looks = 0;
    return PREAMBLE_HEADER;
}

static enum preamble_step take_question(int fd, unsigned char *bytes, size_t length,
                                        const char *answer)
{
    size_t most = length < IDENTITY_QUESTION_LENGTH ? length : IDENTITY_QUESTION_LENGTH;
    size_t size = strlen(answer);

    if (memcmp(bytes, IDENTITY_QUESTION, most) != 0) {
        return PREAMBLE_OVER;
    }
    if (most < IDENTITY_QUESTION_LENGTH) {
        return PREAMBLE_PART;
    }
    /* Nothing was sent before: the line goes as a whole, or memory is short. */
    if (!net_drop(fd, bytes, most)) {
        return ended(errno);
    }
    ssize_t sent = send(fd, answer, size, MSG_NOSIGNAL);
    return sent == (ssize_t)size ? PREAMBLE_OVER : ended(sent == -1 ? errno : ENOBUFS);
}

enum preamble_step preamble_look(struct preamble *preamble, int fd, unsigned char *bytes,
                                 const char *answer, struct proxy_header *header)
{
    if (!preamble->awaits_header && !preamble->awaits_question) {
        return PREAMBLE_OVER;
    }
    ssize_t length = recv(fd, bytes, PROXY_HEADER_MAX, MSG_PEEK);
    if (length == -1) {
        return errno == EAGAIN || errno == EINTR ? PREAMBLE_NOTHING : PREAMBLE_ENDED;
    }
    if (length == 0) {
        return preamble->awaits_header ? ended(0) : PREAMBLE_OVER;
    }
    return preamble->awaits_header
               ? take_header(preamble, fd, bytes, (size_t)length, header)
               : take_question(fd, bytes, (size_t)length, answer);
}

uint64_t preamble_wait_ns(struct preamble *preamble, enum preamble_step step,
                          uint64_t now_ns)
{
    uint32_t now_ms = (uint32_t)(now_ns / CLOCK_MS);
    uint32_t limit_ms = preamble->awaits_header ? HEADER_MS : QUESTION_MS;

    if (!preamble->awaits_header && preamble->looks == 0) {
        preamble->since_ms = now_ms;
    }
    uint32_t passed_ms = now_ms - preamble->since_ms;
    if (passed_ms >= limit_ms) {
        return 0;
    }
    uint64_t left_ns = (limit_ms - passed_ms) * CLOCK_MS;
    if (step == PREAMBLE_NOTHING) {
        return left_ns;
    }
    uint64_t look_ns = LOOK_NS << preamble->looks;
    preamble->looks += preamble->looks < PREAMBLE_LOOKS_MAX ? 1 : 0;
    return look_ns < left_ns ? look_ns : left_ns;
}
