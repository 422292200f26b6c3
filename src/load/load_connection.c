#include "load/load_connection.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/events.h"
#include "base/format.h"
#include "base/log.h"
#include "client/server_identity.h"
#include "io/net.h"
#include "io/pollset.h"
#include "io/probe.h"

#define BACKOFF_MAX_NS (5 * CLOCK_S)

/* How long a peer has to end its direction after we ended ours. */
#define CLOSING_NS CLOCK_S

/* An echo that took so long may have been waiting here while its peer ended the connection
 * as idle. */
#define LONG_NS (50 * CLOCK_MS)

/* Resting connections that are looked at at once. */
#define LOOK_MAX 256

/* Faults that are logged one by one, for each thread. */
#define FAULTS_SHOWN 10

static uint64_t under_way(const struct load_connection *c)
{
    return load_stream_under_way(&c->stream);
}

static bool is_resting(const struct load_connection *c)
{
    return c->state == LOAD_OPEN && c->events == 0;
}

/* Nothing is under way: may it rest, or does it rest already? */
static bool may_rest(const struct load_share *share, const struct load_connection *c)
{
    const struct load_result *result = share->result;

    return share->config->rate != 0 &&
           (c->events == 0 ||
            result->sent - result->echoed - result->lost <= LOAD_REST_MAX);
}

/* Tell the poll set what a connection that was made waits for. */
static void follow(struct load_share *share, struct load_connection *c)
{
    bool rests = c->state == LOAD_OPEN && under_way(c) == 0 && may_rest(share, c);
    uint16_t events =
        (uint16_t)((rests ? 0 : POLLIN | POLLRDHUP) | (c->wants_out ? POLLOUT : 0));

    if (events != c->events) {
        c->events = events;
        pollset_want(share->set, c->fd, (short)events);
    }
}

/* ---- the end, and failures ----------------------------------------------------------- */

static void close_socket(struct load_share *share, struct load_connection *c)
{
    if (c->state == LOAD_CONNECTING) {
        share->connecting--;
    } else if (c->state == LOAD_OPEN) {
        share->open--;
    }
    pollset_remove(share->set, c->fd);
    close(c->fd);
    c->fd = -1;
    c->has_deadline = c->wants_out = false;
}

void load_connection_end(struct load_share *share, struct load_connection *c)
{
    if (c->fd != -1) {
        close_socket(share, c);
    }
    share->waiting -= c->state == LOAD_WAITING ? 1 : 0;
    c->state = LOAD_ENDED;
    share->ended++;
}

static void mark_tried(struct load_share *share, struct load_connection *c)
{
    share->tried += c->is_tried ? 0 : 1;
    c->is_tried = true;
}

/* Without a socket: open again at `retry_ns`, or end. */
static void wait_or_end(struct load_share *share, struct load_connection *c,
                        uint64_t retry_ns)
{
    c->state = LOAD_WAITING;
    share->waiting++;
    c->retry_ns = retry_ns;
    if (!load_share_has_more(share)) {
        load_connection_end(share, c);
    }
}

static void log_fault(struct load_share *share, const struct load_connection *c,
                      enum probe_outcome outcome, const char *detail)
{
    char address[NET_ADDRESS_TEXT];

    if (share->faults++ < FAULTS_SHOWN) {
        bool is_expected = (int)outcome == share->plan->config->expect;

        log_event(EVENT_LOAD_FAULT(is_expected ? LOG_DEBUG : LOG_WARN),
                  c->stream.connection,
                  net_address_text(&share->plan->addresses->list[c->address], address),
                  c->stream.receiving, probe_outcome_names[outcome],
                  *detail != '\0' ? ": " : "", detail);
    }
}

static uint64_t bit_of(const struct load_connection *c)
{
    return UINT64_C(1) << c->address;
}

static uint64_t current_addresses(const struct load_share *share)
{
    return atomic_load(&share->plan->addresses->current);
}

/* For a moment other addresses come first, and the name may have others now. */
static void avoid(struct load_share *share, const struct load_connection *c, uint64_t now)
{
    share->avoided = bit_of(c) | (share->avoided_until > now ? share->avoided : 0);
    share->avoided_until = now + share->config->retry_ns;
    load_addresses_want(share->plan->addresses);
}

/* It could not be connected: is there an address of the name that was not tried yet? */
static bool has_other_address(const struct load_share *share, struct load_connection *c)
{
    c->missed |= bit_of(c);
    return share->config->retry_ns != 0 && (current_addresses(share) & ~c->missed) != 0;
}

/* All were tried: those that were passed by are errors after all. */
static void end_round(struct load_share *share, struct load_connection *c, uint64_t now)
{
    for (uint32_t i = 0; c->passed != 0; i++, c->passed >>= 1) {
        if ((c->passed & 1) != 0) {
            load_result_failed(share->result, i, PROBE_REFUSED, 0, now);
        }
    }
    c->missed = 0;
}

/* After a failure: the pause before the next connect, each twice as long as the last. */
static void pause_or_end(struct load_share *share, struct load_connection *c, uint64_t now)
{
    c->backoff_ns = c->backoff_ns == 0 ? share->config->retry_ns : 2 * c->backoff_ns;
    c->backoff_ns = c->backoff_ns > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : c->backoff_ns;
    wait_or_end(share, c, now + c->backoff_ns);
}

/* The connection failed, or could not be made. A server that was there and refuses is none
 * of the errors while another one takes the connection: it is being replaced. */
static void fail(struct load_share *share, struct load_connection *c,
                 enum probe_outcome outcome, const char *detail)
{
    uint64_t now = clock_now_ns();
    bool has_other = c->state == LOAD_CONNECTING && has_other_address(share, c);

    if (under_way(c) == 0 && outcome != PROBE_DIFFERS && load_share_has_more(share)) {
        c->trouble = outcome;
    }
    if (has_other && outcome == PROBE_REFUSED &&
        share->result->addresses[c->address].connects > 0) {
        c->passed |= bit_of(c);
    } else {
        log_fault(share, c, outcome, detail);
        load_result_failed(share->result, c->address, outcome, under_way(c), now);
    }
    avoid(share, c, now);
    load_stream_give_up(&c->stream);
    if (c->fd != -1) {
        close_socket(share, c);
    }
    if (has_other) {
        wait_or_end(share, c, 0);
        return;
    }
    end_round(share, c, now);
    mark_tried(share, c);
    if (share->config->retry_ns == 0) {
        load_connection_end(share, c);
        return;
    }
    pause_or_end(share, c, now);
}

static void fail_errno(struct load_share *share, struct load_connection *c, int error)
{
    share->result->wants += probe_is_own_want(error) ? 1 : 0;
    fail(share, c, probe_outcome_of(error), net_error_text(error));
}

void load_connection_finish(struct load_share *share, struct load_connection *c)
{
    if (c->state == LOAD_OPEN && shutdown(c->fd, SHUT_WR) == 0) {
        share->open--;
        c->state = LOAD_CLOSING;
        follow(share, c);
        pollset_deadline(share->set, c->fd, pollset_now(share->set) + CLOSING_NS);
    } else {
        load_connection_end(share, c);
    }
}

/* ---- connecting ---------------------------------------------------------------------- */

/* The next source of the address's family; NULL: the kernel's choice. */
static const struct net_address *next_source(struct load_share *share,
                                             const struct net_address *address)
{
    for (size_t i = 0; i < share->plan->source_count; i++) {
        size_t next = share->next_source++ % share->plan->source_count;
        const struct net_address *source = &share->plan->sources[next];

        if (source->storage.ss_family == address->storage.ss_family) {
            return source;
        }
    }
    return NULL;
}

/* The next address in turn, of those that are worth it. `current` is read once and before
 * `count`, which only grows: so each of its bits is below that. */
static uint32_t next_address(struct load_share *share, const struct load_connection *c,
                             uint64_t now)
{
    uint64_t current = current_addresses(share);
    uint32_t count = atomic_load(&share->plan->addresses->count);
    uint64_t left = current & ~c->missed;
    uint64_t good = share->avoided_until > now ? left & ~share->avoided : left;
    uint64_t from = good != 0 ? good : left != 0 ? left : current;
    uint32_t next = share->next_address % count;

    while ((from >> next & 1) == 0) {
        next = (next + 1) % count;
    }
    share->next_address = next + 1;
    return next;
}

/* No connect was begun. */
static void fail_connect(struct load_share *share, struct load_connection *c, int error,
                         const struct net_address *source)
{
    if (error == EADDRNOTAVAIL && source != NULL && !net_is_own(source)) {
        share->result->wants++;
        fail(share, c, PROBE_UNREACHABLE,
             "its source is no address of this machine any more");
    } else {
        fail_errno(share, c, error);
    }
}

void load_connection_open(struct load_share *share, struct load_connection *c)
{
    const struct load_plan *plan = share->plan;

    share->waiting--;
    c->state = LOAD_CONNECTING;
    c->since_ns = clock_now_ns();
    c->address = next_address(share, c, c->since_ns);
    const struct net_address *address = &plan->addresses->list[c->address];
    const struct net_address *source = next_source(share, address);
    c->fd = net_connect(address, source);
    if (c->fd == -1) {
        fail_connect(share, c, errno, source);
        return;
    }
    if (!load_share_enter(share, c) || !pollset_add(share->set, c->fd, POLLOUT)) {
        close(c->fd);
        c->fd = -1;
        fail_errno(share, c, ENOMEM);
        return;
    }
    c->events = POLLOUT;
    share->connecting++;
    pollset_deadline(share->set, c->fd, c->since_ns + plan->config->timeout_ns);
}

/* Where the answer to this connection's question is gathered. */
static struct opening_answer *answer_of(const struct load_share *share,
                                        const struct load_connection *c)
{
    return &share->answers[c - share->connections];
}

/* What comes before the first message. Returns false when the connection failed. */
static bool open_talk(struct load_share *share, struct load_connection *c)
{
    const struct client_config *config = share->plan->config;
    int error = opening_send(c->fd, config->proxy_protocol, config->identity != 0);

    c->is_asking = config->identity != 0;
    if (c->is_asking) {
        *answer_of(share, c) = (struct opening_answer){0};
    }
    if (error != 0) {
        fail_errno(share, c, error);
    }
    return error == 0;
}

/* How the connect ended. Returns whether it is open. */
static bool connected(struct load_share *share, struct load_connection *c, uint64_t *now_ns)
{
    int error = net_connect_result(c->fd);

    *now_ns = clock_now_ns();
    if (error != 0) {
        fail_errno(share, c, error);
        return false;
    }
    share->connecting--;
    share->open++;
    share->result->addresses[c->address].connects++;
    histogram_record(&share->result->connect, *now_ns - c->since_ns);
    mark_tried(share, c);
    c->state = LOAD_OPEN;
    c->trouble = PROBE_ECHOED;
    c->has_echoed = false;
    share->result->moved += c->passed != 0 ? 1 : 0;
    c->missed = c->passed = 0;
    pollset_no_deadline(share->set, c->fd);
    follow(share, c);
    return open_talk(share, c);
}

/* ---- sending ------------------------------------------------------------------------- */

bool load_connection_has_room(const struct load_share *share,
                              const struct load_connection *c)
{
    return c->state == LOAD_OPEN && under_way(c) < share->config->pipeline;
}

void load_connection_begin(struct load_share *share, struct load_connection *c,
                           uint64_t due_ns, uint64_t now_ns)
{
    load_stream_begin(&share->shape, &c->stream, due_ns, now_ns);
    share->budget--;
    share->result->sent++;
    if (!c->has_deadline) {
        c->has_deadline = true;
        pollset_deadline(share->set, c->fd, now_ns + share->plan->config->timeout_ns);
    }
}

bool load_connection_send(struct load_share *share, struct load_connection *c)
{
    size_t length =
        load_stream_fill(&share->shape, &c->stream, share->out, sizeof share->out);

    if (length == 0) {
        return true;
    }
    ssize_t n = send(c->fd, share->out, length, MSG_NOSIGNAL);
    if (n == -1 && errno != EAGAIN && errno != EINTR && errno != EPIPE) {
        fail_errno(share, c, errno);
        return false;
    }
    /* After EPIPE, what the peer said before it closed explains more. */
    bool is_broken = n == -1 && errno == EPIPE;
    load_stream_sent(&share->shape, &c->stream, n > 0 ? (size_t)n : 0);
    bool wants_out = !is_broken && !load_stream_is_sent(&c->stream);
    if (wants_out != c->wants_out || c->events == 0) {
        c->wants_out = wants_out;
        follow(share, c);
    }
    return true;
}

/* ---- receiving ----------------------------------------------------------------------- */

/* The whole echo of a message is there. */
static void complete(struct load_share *share, struct load_connection *c, uint64_t now)
{
    const struct load_flight *flight = load_stream_completed(&share->shape, &c->stream);

    c->backoff_ns = 0;
    c->has_echoed = true;
    if (share->interval != NULL) {
        histogram_record(share->interval, now - flight->due_ns);
    }
    if (load_result_echoed(share->result, c->address, flight, now) &&
        share->config->rate != 0) {
        histogram_record(&share->result->raw, now - flight->sent_ns);
    }
}

/* Judge what came. Returns false when the connection failed. */
static bool judge(struct load_share *share, struct load_connection *c,
                  const unsigned char *bytes, size_t length, uint64_t now)
{
    char detail[LOAD_STREAM_TEXT];

    while (length > 0) {
        size_t judged = length;

        switch (load_stream_receive(&share->shape, &c->stream, bytes, &judged, now)) {
        case LOAD_PART:
            break;
        case LOAD_COMPLETE:
            complete(share, c, now);
            break;
        case LOAD_WRONG:
            load_stream_describe(&share->shape, &c->stream, bytes, length, judged,
                                 share->result->sent, detail);
            fail(share, c, PROBE_DIFFERS, detail);
            return false;
        case LOAD_SURPLUS:
            format(detail, sizeof detail, "%zu byte" FORMAT_S " more than were sent",
                   length);
            fail(share, c, PROBE_DIFFERS, detail);
            return false;
        }
        bytes += judged;
        length -= judged;
    }
    return true;
}

/* It failed, perhaps with a part of an echo. */
static void fail_incomplete(struct load_share *share, struct load_connection *c,
                            enum probe_outcome outcome)
{
    char detail[96] = "";

    if (under_way(c) > 0) {
        format(detail, sizeof detail, "%zu of %zu byte" FORMAT_S " came back",
               c->stream.received_bytes, share->shape.size);
    }
    fail(share, c, outcome, detail);
}

/* Open it again at once. */
static void reconnect(struct load_share *share, struct load_connection *c)
{
    close_socket(share, c);
    wait_or_end(share, c, 0);
    if (c->state == LOAD_WAITING && share->connecting < LOAD_CONNECTING_MAX) {
        load_connection_open(share, c);
    }
}

/* The peer ended it between two messages. One that did not echo anything pauses before it
 * is opened again, for its peer may do so each time. */
static void move(struct load_share *share, struct load_connection *c)
{
    uint64_t now = clock_now_ns();

    share->result->moved++;
    c->trouble = PROBE_CLOSED_EARLY;
    avoid(share, c, now);
    if (c->has_echoed) {
        reconnect(share, c);
    } else {
        close_socket(share, c);
        pause_or_end(share, c, now);
    }
}

/* Nothing was received: the end of the stream, or an errno. */
static void receive_nothing(struct load_share *share, struct load_connection *c, ssize_t n)
{
    bool is_idle = under_way(c) == 0;

    if (n == 0 && (c->state == LOAD_CLOSING || (is_idle && !load_share_has_more(share)))) {
        load_connection_end(share, c);
    } else if (n == 0 && is_idle && share->config->retry_ns != 0) {
        move(share, c);
    } else if (n == 0) {
        fail_incomplete(share, c, PROBE_CLOSED_EARLY);
    } else if (errno != EAGAIN && errno != EINTR) {
        fail_errno(share, c, errno);
    }
}

/* The answer to the question comes before all echoes. Takes its bytes from those received.
 * Returns false when the connection failed. */
static bool take_answer(struct load_share *share, struct load_connection *c, size_t *length)
{
    enum opening_verdict verdict = opening_take(answer_of(share, c), share->in, length);

    if (verdict == OPENING_WRONG) {
        fail(share, c, PROBE_DIFFERS, SERVER_IDENTITY_WRONG);
    } else if (verdict == OPENING_TOLD) {
        c->is_asking = false;
        server_identity_log(true, &share->plan->addresses->list[c->address],
                            answer_of(share, c));
    }
    return verdict != OPENING_WRONG;
}

/* Returns whether something came and the connection is open still. */
static bool receive(struct load_share *share, struct load_connection *c, uint64_t *now_ns)
{
    ssize_t n = recv(c->fd, share->in, sizeof share->in, 0);

    if (n <= 0) {
        receive_nothing(share, c, n);
        return false;
    }
    *now_ns = clock_now_ns();
    size_t taken = c->is_asking ? (size_t)n : 0;
    if ((c->is_asking && !take_answer(share, c, &taken)) ||
        !judge(share, c, share->in + taken, (size_t)n - taken, *now_ns)) {
        return false;
    }
    if (taken == (size_t)n) {
        return c->state == LOAD_OPEN; /* nothing was echoed yet */
    }
    if (share->config->reconnect && c->stream.begun > 0 && under_way(c) == 0) {
        reconnect(share, c);
        return false;
    }
    if (share->config->rate != 0) {
        follow(share, c);
    }
    return c->state == LOAD_OPEN;
}

/* ---- connections that rest ----------------------------------------------------------- */

bool load_connection_look(struct load_share *share, struct load_connection *c)
{
    uint64_t now_ns;

    if (is_resting(c)) {
        receive(share, c, &now_ns);
    }
    return c->state == LOAD_OPEN;
}

void load_connection_look_around(struct load_share *share)
{
    struct pollfd resting[LOOK_MAX];
    uint32_t most = share->config->rate != 0 ? share->count : 0;
    nfds_t count = 0;

    for (uint32_t i = 0; i < most && count < LOOK_MAX; i++) {
        const struct load_connection *c = &share->connections[share->look_next];

        share->look_next = share->look_next + 1 < share->count ? share->look_next + 1 : 0;
        if (is_resting(c)) {
            resting[count++] = (struct pollfd){.fd = c->fd, .events = POLLIN};
        }
    }
    if (count == 0 || poll(resting, count, 0) <= 0) {
        return;
    }
    for (nfds_t i = 0; i < count; i++) {
        if (resting[i].revents != 0) {
            load_connection_look(share, load_share_find(share, resting[i].fd));
        }
    }
}

/* ---- events and deadlines ------------------------------------------------------------ */

/* Did the last echo take long? */
static bool was_long(const struct load_share *share, const struct load_connection *c,
                     uint64_t now)
{
    return now - load_stream_completed(&share->shape, &c->stream)->sent_ns > LONG_NS;
}

bool load_connection_ready(struct load_share *share, struct load_connection *c,
                           short revents, uint64_t *now_ns)
{
    if (c->state == LOAD_CONNECTING) {
        return connected(share, c, now_ns);
    }
    if ((revents & POLLOUT) != 0 && !load_connection_send(share, c)) {
        return false;
    }
    bool has_ended = (revents & POLLRDHUP) != 0;
    bool may_have_ended = has_ended || c->stream.received_bytes > 0;
    if ((revents & (POLLIN | POLLERR | POLLHUP)) == 0 || !receive(share, c, now_ns)) {
        return false;
    }
    if (under_way(c) == 0 && (may_have_ended || was_long(share, c, *now_ns))) {
        uint64_t later;

        receive(share, c, &later);
    }
    return c->state == LOAD_OPEN && !has_ended;
}

/* Its deadline has passed while messages went and came: the oldest under way may have
 * begun after that was set. */
static void check_reply(struct load_share *share, struct load_connection *c)
{
    c->has_deadline = under_way(c) > 0;
    if (!c->has_deadline) {
        return;
    }
    uint64_t until = load_stream_receiving(&share->shape, &c->stream)->sent_ns +
                     share->plan->config->timeout_ns;
    if (until > pollset_now(share->set)) {
        pollset_deadline(share->set, c->fd, until);
    } else {
        fail_incomplete(share, c, PROBE_TIMED_OUT);
    }
}

void load_connection_expired(struct load_share *share, struct load_connection *c)
{
    if (c->state == LOAD_CLOSING) {
        load_connection_end(share, c);
    } else if (c->state == LOAD_CONNECTING) {
        fail(share, c, PROBE_TIMED_OUT, "no connection");
    } else {
        check_reply(share, c);
    }
}
