#include "examine/character.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/format.h"
#include "io/fdwait.h"

/* Who has begun to speak pauses for less than that. */
#define QUIET_NS (100 * CLOCK_MS)

/* A server that has not answered by then says nothing, as far as this goes. */
#define PATIENCE_NS (3 * CLOCK_S)

static const char line[] = "echolab asks\n";
#define LINE_LENGTH (sizeof line - 1)

/* What a server said, until it was quiet. */
struct reply {
    bool is_over; /* it closed or reset the connection */
    size_t length;
    char bytes[1024];
};

void character_add(struct character *character, const char *before, const char *text)
{
    if (character->count < CHARACTER_TRAITS_MAX) {
        format(character->traits[character->count++], CHARACTER_TRAIT_TEXT, "%s%s", before,
               text);
    }
}

static void add(struct character *character, const char *text)
{
    character_add(character, "", text);
}

/* So many bytes stand before or behind the message. */
static void add_bytes(struct character *character, const char *what, size_t count)
{
    char text[32];

    if (count > 0) {
        format(text, sizeof text, "fix of %zu byte" FORMAT_S, count);
        character_add(character, what, text);
    }
}

static bool open_talk(struct talk *talk, const struct talk_target *target)
{
    return talk_open(talk, target, (struct talk_content){line, 0});
}

/* Listen until the server is quiet, closes, or has said all that `reply` holds. */
static void listen_to(const struct talk *talk, uint64_t patience_ns, struct reply *reply)
{
    *reply = (struct reply){0};
    while (!reply->is_over && reply->length < sizeof reply->bytes) {
        uint64_t wait_ns = reply->length == 0 ? patience_ns : QUIET_NS;

        if (fdwait(talk->fd, POLLIN, clock_now_ns() + wait_ns, talk->target->stop_fd) <=
            0) {
            return;
        }
        ssize_t n = recv(talk->fd, reply->bytes + reply->length,
                         sizeof reply->bytes - reply->length, 0);
        reply->is_over = n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR);
        reply->length += n > 0 ? (size_t)n : 0;
    }
}

static uint64_t patience_of(const struct talk *talk)
{
    uint64_t ns = talk->target->timeout_ns;

    return ns < PATIENCE_NS ? ns : PATIENCE_NS;
}

static void ask(const struct talk *talk, const char *text, struct reply *reply)
{
    (void)send(talk->fd, text, strlen(text), MSG_NOSIGNAL);
    listen_to(talk, patience_of(talk), reply);
}

/* Where `length` bytes of the line begin in the reply; NULL: nowhere. */
static const char *find_line(const struct reply *reply, size_t length)
{
    for (size_t i = 0; i + length <= reply->length; i++) {
        if (memcmp(reply->bytes + i, line, length) == 0) {
            return reply->bytes + i;
        }
    }
    return NULL;
}

/* What stands around the message in the reply. */
static void describe_reply(struct character *character, const struct reply *reply)
{
    size_t length = LINE_LENGTH;
    const char *found = find_line(reply, length);

    if (reply->length == sizeof reply->bytes) {
        add(character, "floods");
        return;
    }
    if (found == NULL) {
        length--; /* a server may take the newline away */
        found = find_line(reply, length);
        if (found == NULL) {
            add(character, "answers other bytes than were sent");
            return;
        }
        add(character, "drops the newline");
    }
    size_t before = (size_t)(found - reply->bytes);
    size_t behind = reply->length - before - length;
    add_bytes(character, "pre", before);
    add_bytes(character, "suf", behind);
    character->is_exact = reply->length == LINE_LENGTH && found == reply->bytes;
    if (!character->is_exact && reply->bytes[reply->length - 1] == '\n') {
        add(character, "echo-client needs --verify no");
    }
}

/* A second message on the same connection, without a newline. */
static void find_units(struct character *character, const struct talk *talk)
{
    struct reply reply;

    ask(talk, "again", &reply);
    if (reply.is_over) {
        add(character, "one message per connection");
    } else if (reply.length == 0) {
        ask(talk, "\n", &reply);
        add(character,
            reply.length > 0 ? "a line at a time" : "one message per connection");
    }
}

/* The first message. */
static void find_answer(struct character *character, const struct talk *talk)
{
    struct reply reply;

    listen_to(talk, QUIET_NS, &reply);
    if (reply.length > 0) {
        add(character, "speaks first");
    }
    ask(talk, line, &reply);
    if (reply.length > 0) {
        character->is_answering = true;
        describe_reply(character, &reply);
        if (reply.is_over) {
            add(character, "one message per connection");
        } else {
            find_units(character, talk);
        }
        return;
    }
    bool has_closed = reply.is_over;
    if (!has_closed) {
        shutdown(talk->fd, SHUT_WR);
        listen_to(talk, patience_of(talk), &reply);
    }
    character->is_answering = reply.length > 0;
    add(character, reply.length > 0 ? "answers only after the end of the stream"
                   : has_closed     ? "closes each connection without an answer"
                                    : "accepts, but never answers");
}

/* A message while another connection is open and silent. */
static void find_concurrency(struct character *character, const struct talk_target *target)
{
    struct talk silent, other = {.fd = -1};
    struct reply reply = {0};

    if (open_talk(&silent, target) && open_talk(&other, target)) {
        ask(&other, line, &reply);
        if (reply.length == 0 && !reply.is_over) {
            talk_close(&silent);
            listen_to(&other, patience_of(&other), &reply);
            if (reply.length > 0) {
                add(character, "serial");
            }
        }
    }
    talk_close(&other);
    talk_close(&silent);
}

void character_find(struct character *character, const struct talk_target *target)
{
    struct talk talk;

    *character = (struct character){.is_reachable = open_talk(&talk, target)};
    if (character->is_reachable) {
        find_answer(character, &talk);
    }
    talk_close(&talk);
    if (character->is_answering) {
        find_concurrency(character, target);
    }
}
