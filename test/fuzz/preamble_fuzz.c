/* The first bytes of a connection out of the fuzzer's, which arrive in pieces: a header is
 * taken as a second decoder decides, the question is answered once, and all else stays for
 * the echo, exactly. */
#include "server/preamble.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "io/identity.h"
#include "proxy_decoder.h"

#define FD     7
#define ANSWER "web-1 0.1.0 1\n"

/* The connection: bytes[taken .. arrived) are in the kernel. */
static const uint8_t *bytes;
static size_t taken, arrived, length;
static unsigned answers;

ssize_t __wrap_recv(int fd, void *out, size_t room, int flags);
ssize_t __wrap_send(int fd, const void *out, size_t size, int flags);

ssize_t __wrap_recv(int fd, void *out, size_t room, int flags)
{
    size_t n = arrived - taken < room ? arrived - taken : room;

    PROMISE(fd == FD && (flags == MSG_PEEK || flags == MSG_TRUNC));
    if (n == 0 && arrived < length) {
        errno = EAGAIN;
        return -1;
    }
    if (flags == MSG_TRUNC) {
        taken += n + (FUZZ_CONTROL && n == IDENTITY_QUESTION_LENGTH && arrived > taken + n);
    } else if (n > 0) {
        memcpy(out, bytes + taken, n);
    }
    return (ssize_t)n;
}

ssize_t __wrap_send(int fd, const void *out, size_t size, int flags)
{
    PROMISE(fd == FD && flags == MSG_NOSIGNAL && size == strlen(ANSWER));
    PROMISE(memcmp(out, ANSWER, size) == 0);
    answers++;
    return (ssize_t)size;
}

/* What must be, from all that has arrived: where the echo begins, if it can; and whether
 * the question was there. */
struct model {
    enum preamble_step step;
    size_t begin;
    unsigned answers;
};

static struct model expect(bool awaits_header, bool awaits_question)
{
    struct model model = {.step = PREAMBLE_OVER};
    size_t most = arrived < PROXY_HEADER_MAX ? arrived : PROXY_HEADER_MAX;
    char source[64];

    if (awaits_header) {
        long header = proxy_decode(bytes, most, source);

        if (header <= 0) {
            model.step = header < 0          ? PREAMBLE_WRONG
                         : arrived > 0       ? PREAMBLE_PART
                         : arrived == length ? PREAMBLE_ENDED
                                             : PREAMBLE_NOTHING;
            return model;
        }
        model.begin = (size_t)header;
    }
    size_t left = arrived - model.begin;
    size_t size = left < IDENTITY_QUESTION_LENGTH ? left : IDENTITY_QUESTION_LENGTH;
    if (!awaits_question) {
        return model;
    }
    if (left == 0) {
        model.step = arrived == length ? PREAMBLE_OVER : PREAMBLE_NOTHING;
    } else if (memcmp(bytes + model.begin, IDENTITY_QUESTION, size) == 0) {
        model.step = size < IDENTITY_QUESTION_LENGTH ? PREAMBLE_PART : PREAMBLE_OVER;
        model.answers = size == IDENTITY_QUESTION_LENGTH;
        model.begin += model.answers * IDENTITY_QUESTION_LENGTH;
    }
    return model;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static unsigned char room[PROXY_HEADER_MAX];
    struct proxy_header header;
    enum preamble_step step = PREAMBLE_NOTHING;

    fuzz_bytes = input;
    fuzz_left = size;
    unsigned kinds = below(8), most = 1 + below(256);
    struct preamble preamble = {.awaits_header = kinds & 1, .awaits_question = kinds & 2};
    bool wants_header = kinds & 1, wants_question = kinds & 2;
    bytes = fuzz_bytes;
    length = fuzz_left;
    taken = arrived = 0;
    answers = 0;
    for (size_t piece = 0;; piece++) {
        size_t now = 1 + (kinds & 4 ? piece * 31 % most : most - 1), seen = 0;

        arrived += arrived + now < length ? now : length - arrived;
        do {
            step = preamble_look(&preamble, FD, room, &seen, ANSWER, &header);
            PROMISE(seen <= arrived && (step != PREAMBLE_WRONG || header.wrong_at <= seen));
        } while (step == PREAMBLE_HEADER);
        struct model model = expect(wants_header, wants_question);
        PROMISE(step == model.step);
        PROMISE(answers == model.answers);
        PROMISE(step == PREAMBLE_WRONG || taken == model.begin);
        if (step == PREAMBLE_OVER || step == PREAMBLE_WRONG || step == PREAMBLE_ENDED ||
            arrived == length) {
            return 0;
        }
    }
}
