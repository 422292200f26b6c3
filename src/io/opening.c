#include "io/opening.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/format.h"
#include "io/net.h"
#include "io/proxy_header.h"

int opening_send(int fd, int proxy_version, bool asks)
{
    unsigned char bytes[PROXY_HEADER_PRINTED + IDENTITY_QUESTION_LENGTH];
    struct net_address own, peer;
    size_t length = 0;

    own.length = peer.length = sizeof own.storage;
    if (proxy_version != 0) {
        if (getsockname(fd, (struct sockaddr *)&own.storage, &own.length) == -1 ||
            getpeername(fd, (struct sockaddr *)&peer.storage, &peer.length) == -1) {
            return errno;
        }
        length = proxy_header_print(proxy_version, &own, &peer, bytes);
    }
    if (asks) {
        memcpy(bytes + length, IDENTITY_QUESTION, IDENTITY_QUESTION_LENGTH);
        length += IDENTITY_QUESTION_LENGTH;
    }
    errno = ENOBUFS; /* if it does not take all: nothing was sent before */
    return length == 0 || send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length ? 0
                                                                                   : errno;
}

enum opening_verdict opening_take(struct opening_answer *answer, const unsigned char *bytes,
                                  size_t *length)
{
    for (size_t i = 0; i < *length; i++) {
        if (answer->length == IDENTITY_ANSWER_TEXT - 1) {
            return OPENING_WRONG;
        }
        answer->text[answer->length++] = (char)bytes[i];
        if (bytes[i] == '\n') {
            *length = i + 1;
            if (strcmp(answer->text, IDENTITY_QUESTION) == 0) {
                format(answer->text, sizeof answer->text, OPENING_UNTOLD);
                return OPENING_TOLD;
            }
            answer->text[answer->length - 1] = '\0';
            return *answer->text > ' ' && strchr(answer->text, ' ') != NULL ? OPENING_TOLD
                                                                            : OPENING_WRONG;
        }
    }
    return OPENING_PART;
}
