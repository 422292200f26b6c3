#include "examine/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/format.h"
#include "io/fdwait.h"
#include "load/payload.h"

#define BLOCK ((size_t)16 * 1024)

/* ---- content ------------------------------------------------------------------------- */

/* Only their addresses matter, so they differ. */
const char talk_bytes[] = "bytes", talk_lines[] = "lines", talk_values[] = "values";

/* The byte at this position, where it was `byte`. */
static unsigned char shape(const char *text, uint64_t at, unsigned char byte)
{
    if (text == talk_lines) {
        return at % TALK_LINE == TALK_LINE - 1 ? '\n' : (unsigned char)('a' + byte % 26);
    }
    return text == talk_values ? (unsigned char)at : byte;
}

/* The bytes [offset, offset + length) of what is sent. */
static void fill(const struct talk_content *content, unsigned char *out, uint64_t offset,
                 size_t length)
{
    const char *text = content->text;

    if (text != talk_bytes && text != talk_lines && text != talk_values) {
        memcpy(out, text + offset, length);
        return;
    }
    payload_fill(out, content->key, offset, length);
    for (size_t i = 0; i < length; i++) {
        out[i] = shape(text, offset + i, out[i]);
    }
}

/* ---- steps --------------------------------------------------------------------------- */

static bool fail(struct talk *talk, enum probe_outcome outcome, int error)
{
    talk->outcome = outcome;
    talk->error = error;
    return false;
}

/* A failed call: again later, or the end. */
static bool fail_unless_later(struct talk *talk)
{
    return errno == EAGAIN || errno == EINTR || fail(talk, probe_outcome_of(errno), errno);
}

/* Wait for one of the events. Returns those that came; 0 after a failure. */
static short wait_for(struct talk *talk, short events)
{
    const struct talk_target *target = talk->target;
    uint64_t until = clock_now_ns() + target->timeout_ns;

    until = until < target->deadline_ns ? until : target->deadline_ns;
    int ready = fdwait(talk->fd, events, until, target->stop_fd);
    if (ready <= 0) {
        fail(talk, ready == 0 ? PROBE_TIMED_OUT : PROBE_INTERRUPTED, 0);
        return 0;
    }
    return (short)ready;
}

bool talk_begin(struct talk *talk, const struct talk_target *target,
                struct talk_content content)
{
    *talk = (struct talk){.target = target, .content = content};
    talk->fd = net_connect(&target->address, NULL);
    return talk->fd != -1 || fail(talk, probe_outcome_of(errno), errno);
}

bool talk_connected(struct talk *talk)
{
    int error = net_connect_result(talk->fd);

    talk->is_connected = error == 0;
    return error == 0 || fail(talk, probe_outcome_of(error), error);
}

bool talk_open(struct talk *talk, const struct talk_target *target,
               struct talk_content content)
{
    return talk_begin(talk, target, content) && wait_for(talk, POLLOUT) != 0 &&
           talk_connected(talk);
}

static bool send_piece(struct talk *talk, uint64_t to, size_t piece, int flags)
{
    unsigned char bytes[BLOCK];
    size_t length = piece < sizeof bytes ? piece : sizeof bytes;

    length = to - talk->sent < length ? (size_t)(to - talk->sent) : length;
    fill(&talk->content, bytes, talk->sent, length);
    ssize_t n = send(talk->fd, bytes, length, flags | MSG_NOSIGNAL);
    if (n == -1) {
        return fail_unless_later(talk);
    }
    talk->sent += (uint64_t)n;
    return true;
}

/* Compare bytes that came with those that were sent. */
static bool judge(struct talk *talk, const unsigned char *bytes, size_t length)
{
    unsigned char expected[BLOCK];
    uint64_t left = talk->sent - talk->received;
    size_t common = left < length ? (size_t)left : length;

    fill(&talk->content, expected, talk->received, common);
    for (size_t i = 0; i < length; i++, talk->received++) {
        if (i == common || bytes[i] != expected[i]) {
            talk->expected = i == common ? 0 : expected[i];
            talk->got = bytes[i];
            return fail(talk, PROBE_DIFFERS, 0);
        }
    }
    return true;
}

static bool receive(struct talk *talk, size_t most)
{
    unsigned char bytes[BLOCK];
    ssize_t n = recv(talk->fd, bytes, most < sizeof bytes ? most : sizeof bytes, 0);

    if (n == -1) {
        return fail_unless_later(talk);
    }
    talk->is_over = n == 0;
    return judge(talk, bytes, (size_t)n);
}

bool talk_ready(struct talk *talk, short events, uint64_t to, size_t piece, size_t most)
{
    if ((events & (POLLIN | POLLERR | POLLHUP)) != 0 && !receive(talk, most)) {
        return false;
    }
    return (events & POLLOUT) == 0 || talk->is_over || talk->sent >= to ||
           send_piece(talk, to, piece, 0);
}

bool talk_run(struct talk *talk, uint64_t to, uint64_t back, size_t piece)
{
    while (talk->outcome == PROBE_ECHOED && (talk->sent < to || talk->received < back)) {
        if (talk->is_over) {
            return fail(talk, PROBE_CLOSED_EARLY, 0);
        }
        short events = wait_for(talk, talk->sent < to ? POLLIN | POLLOUT : POLLIN);
        if (events != 0) {
            talk_ready(talk, events, to, piece, BLOCK);
        }
    }
    return talk->outcome == PROBE_ECHOED;
}

bool talk_push(struct talk *talk, uint64_t to, size_t piece, uint64_t patience_ns)
{
    const struct talk_target *target = talk->target;

    while (talk->outcome == PROBE_ECHOED && talk->sent < to) {
        uint64_t until = clock_now_ns() + patience_ns;
        int ready = fdwait(talk->fd, POLLOUT, until, target->stop_fd);

        if (ready == 0 || clock_now_ns() > target->deadline_ns) {
            break;
        }
        if (ready == -1) {
            fail(talk, PROBE_INTERRUPTED, 0);
        } else {
            send_piece(talk, to, piece, 0);
        }
    }
    return talk->outcome == PROBE_ECHOED;
}

bool talk_urgent(struct talk *talk)
{
    return talk->outcome == PROBE_ECHOED && send_piece(talk, talk->sent + 1, 1, MSG_OOB);
}

/* Read what comes until this time; `is_all`: or until all that was sent came back. */
static bool listen_until(struct talk *talk, uint64_t end_ns, bool is_all)
{
    while (talk->outcome == PROBE_ECHOED && !talk->is_over &&
           !(is_all && talk->received == talk->sent)) {
        int ready = fdwait(talk->fd, POLLIN, end_ns, talk->target->stop_fd);

        if (ready == 0) {
            break;
        }
        if (ready == -1) {
            fail(talk, PROBE_INTERRUPTED, 0);
        } else {
            receive(talk, BLOCK);
        }
    }
    return talk->outcome == PROBE_ECHOED;
}

bool talk_quiet(struct talk *talk, uint64_t ns)
{
    return listen_until(talk, clock_now_ns() + ns, false);
}

bool talk_pause(struct talk *talk, uint64_t ns)
{
    return listen_until(talk, clock_now_ns() + ns, true);
}

bool talk_end(struct talk *talk)
{
    if (talk->outcome != PROBE_ECHOED) {
        return false;
    }
    shutdown(talk->fd, SHUT_WR);
    while (!talk->is_over) {
        if (wait_for(talk, POLLIN) == 0 || !receive(talk, BLOCK)) {
            return false;
        }
    }
    return talk->received == talk->sent || fail(talk, PROBE_CLOSED_EARLY, 0);
}

void talk_close(struct talk *talk)
{
    if (talk->fd != -1) {
        close(talk->fd);
    }
    talk->fd = -1;
}

void talk_reset(struct talk *talk)
{
    const struct linger none = {.l_onoff = 1, .l_linger = 0};

    setsockopt(talk->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    talk_close(talk);
}

/* ---- words --------------------------------------------------------------------------- */

static void describe_byte(const struct talk *talk, char out[TALK_SEEN_TEXT])
{
    char text[16];

    escape_bytes(text, sizeof text, &talk->got, 1);
    if (talk->received == talk->sent) {
        format(out, TALK_SEEN_TEXT, "more than the %" PRIu64 " byte" FORMAT_S " sent: %s",
               talk->sent, text);
    } else {
        format(out, TALK_SEEN_TEXT, "byte %" PRIu64 " is 0x%02x (%s), expected 0x%02x",
               talk->received, talk->got, text, talk->expected);
    }
}

/* How a talk that was connected failed. */
static const char *ending(const struct talk *talk)
{
    switch (talk->outcome) {
    case PROBE_ECHOED:
        return "";
    case PROBE_TIMED_OUT:
        return talk->received < talk->sent ? ", then nothing more"
                                           : ", but no end of the stream";
    case PROBE_CLOSED_EARLY:
        return ", then the server closed";
    case PROBE_RESET:
        return ", then the server reset the connection";
    default:
        return ", then it was stopped";
    }
}

char *talk_seen(const struct talk *talk, char out[TALK_SEEN_TEXT])
{
    if (talk->outcome == PROBE_DIFFERS) {
        describe_byte(talk, out);
    } else if (talk->is_connected) {
        format(out, TALK_SEEN_TEXT,
               "%" PRIu64 " of %" PRIu64 " byte" FORMAT_S " came back%s", talk->received,
               talk->sent, ending(talk));
    } else {
        format(out, TALK_SEEN_TEXT, "no connection: %s",
               talk->error != 0 ? net_error_text(talk->error)
                                : probe_outcome_names[talk->outcome]);
    }
    return out;
}
