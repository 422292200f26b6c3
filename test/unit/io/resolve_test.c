/* Look-ups that need no name server, and one that must fail with or without any. */
#include "io/resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "fds.h"
#include "tap.h"

#define PATIENCE_MS 2000
#define ABANDONED   50

/* The threads of abandoned look-ups still hold a descriptor each, until they end. */
static bool fds_become(int wanted)
{
    uint64_t end = clock_now_ns() + PATIENCE_MS * CLOCK_MS;

    while (fds_open() != wanted) {
        if (clock_now_ns() > end) {
            diag("%d descriptors, expected %d", fds_open(), wanted);
            return false;
        }
        poll(NULL, 0, 1);
    }
    return true;
}

static bool is_answered(const struct resolve *resolve)
{
    short revents = fds_poll(resolve_fd(resolve), POLLIN, PATIENCE_MS);

    return (revents & (POLLIN | POLLHUP)) != 0 && (revents & POLLNVAL) == 0;
}

static void test_numeric(const char *host, uint16_t port, const char *wanted)
{
    struct net_address addresses[RESOLVE_MAX];
    char text[NET_ADDRESS_TEXT];
    const char *error = "";
    struct resolve *resolve = resolve_start(host, port);

    group("look-up of %s", host);
    if (!ok(resolve != NULL && is_answered(resolve), "there is an answer")) {
        return;
    }
    is_int(fcntl(resolve_fd(resolve), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC,
           "its descriptor is close-on-exec");
    ok(is_answered(resolve), "poll() goes on reporting it");
    is_int(resolve_finish(resolve, addresses, &error), 1, "it has one address");
    is_str(net_address_text(&addresses[0], text), wanted, "its address is %s", wanted);
    ok(addresses[0].length == sizeof(struct sockaddr_in) ||
           addresses[0].length == sizeof(struct sockaddr_in6),
       "its address has a family's length");
}

static void test_localhost(void)
{
    struct net_address addresses[RESOLVE_MAX];
    const char *error = "";
    struct resolve *resolve = resolve_start("localhost", 12345);
    size_t right = 0;

    group("look-up of localhost");
    if (!ok(resolve != NULL && is_answered(resolve), "there is an answer")) {
        return;
    }
    size_t count = resolve_finish(resolve, addresses, &error);
    ok(count >= 1 && count <= RESOLVE_MAX,
       "it has at least one address and not too many: %zu", count);
    for (size_t i = 0; i < count; i++) {
        char text[NET_ADDRESS_TEXT];

        net_address_text(&addresses[i], text);
        right += strncmp(text, "127.", 4) == 0 || strcmp(text, "[::1]:12345") == 0;
        ok(strstr(text, ":12345") != NULL, "an address has the port: %s", text);
    }
    is_int(right, count, "all addresses are of loopback");
}

/* An address from a look-up is one that can be connected to. */
static void test_connect(void)
{
    struct net_address addresses[RESOLVE_MAX], peer;
    struct sockaddr_in local = {0};
    socklen_t length = sizeof local;
    char error_text[NET_ERROR_TEXT];
    const char *error;
    int listener = net_listen("127.0.0.1", 0, 4, 0, error_text);

    group("an address that was looked up");
    getsockname(listener, (struct sockaddr *)&local, &length);
    struct resolve *resolve = resolve_start("127.0.0.1", ntohs(local.sin_port));
    if (resolve == NULL || !is_answered(resolve) ||
        resolve_finish(resolve, addresses, &error) != 1) {
        abort();
    }
    int own = net_connect(&addresses[0], NULL);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    is_int(poll(&pfd, 1, PATIENCE_MS), 1, "it can be connected to");
    int accepted = net_accept(listener, &peer);
    ok(own != -1 && accepted != -1, "it is the right one");
    close(own);
    close(accepted);
    close(listener);
}

/* RFC 6761: no name below .invalid ever exists. A name server that is silent is no failure
 * of ours, but then this cannot be seen here. */
static void test_unknown(const char *name)
{
    struct net_address addresses[RESOLVE_MAX];
    const char *error = NULL;
    struct resolve *resolve = resolve_start(name, 7);

    group("look-up of %s", name);
    if (!ok(resolve != NULL, "it begins")) {
        return;
    }
    if (!is_answered(resolve)) {
        skip("the name server is silent");
        resolve_abandon(resolve);
        return;
    }
    is_int(resolve_finish(resolve, addresses, &error), 0, "there is no address");
    ok(error != NULL && *error != '\0', "a text says why: %s", error ? error : "NULL");
}

static void test_abandon(const char *host)
{
    struct resolve *all[ABANDONED];
    int before = fds_open();
    uint64_t longest = 0;

    group("%d look-ups of %s, one after another", ABANDONED, host);
    for (int i = 0; i < ABANDONED; i++) {
        all[i] = resolve_start(host, 7);
        uint64_t start = clock_now_ns();
        resolve_abandon(all[i]);
        uint64_t took = clock_now_ns() - start;
        longest = took > longest ? took : longest;
    }
    ok(longest < 500 * CLOCK_MS, "they are abandoned without a wait");
    ok(fds_become(before), "abandoned, they end by themselves and close what they hold");

    /* All at once, and each at another moment of its life. */
    group("%d look-ups of %s at the same time", ABANDONED, host);
    int started = 0;
    for (int i = 0; i < ABANDONED; i++) {
        all[i] = resolve_start(host, 7);
        started += all[i] != NULL;
    }
    is_int(started, ABANDONED, "all of them begin");
    for (int i = 0; i < ABANDONED; i++) {
        resolve_abandon(all[i]);
    }
    ok(fds_become(before), "abandoned, they end and close what they hold");
    group("an answer for %s that nobody takes", host);
    struct resolve *answered = resolve_start(host, 7);
    ok(answered != NULL && is_answered(answered), "it is there");
    resolve_abandon(answered);
    ok(fds_become(before), "abandoned, it is released");
}

static void test_no_descriptors(void)
{
    group("no descriptors");
    fds_exhaust(true);
    errno = 0;
    struct resolve *resolve = resolve_start("127.0.0.1", 7);
    int error = errno;
    fds_exhaust(false);
    ok(resolve == NULL, "no look-up begins");
    is_int(error, EMFILE, "errno says why");
}

static void test_hint(void)
{
    static const char *const none[] = {"no-such-host.invalid", "localhost", "::1",
                                       "127.0.0.1"};
    struct net_address addresses[RESOLVE_MAX];
    const char *why;
    uint64_t took_ns;
    bool is_asking;

    group("hints");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        is_str(resolve_hint(none[i]), "", "none for %s", none[i]);
    }
    is_str(resolve_hint("server"),
           "; a container of this name may be stopped or disconnected",
           "a name without a dot");
    is_int(resolve_wait("no-such-host.invalid", 7, 5000000000, -1, addresses, &took_ns,
                        &is_asking, &why),
           0, "a name without an address");
    ok(took_ns > 0, "it was asked for");
    fds_exhaust(true);
    is_int(resolve_wait("server", 7, 5000000000, -1, addresses, &took_ns, &is_asking, &why),
           0, "no descriptors");
    int error = errno;
    fds_exhaust(false);
    is_int((int)took_ns, 0, "nobody was asked");
    is_int(error, EMFILE, "errno says why");
}

int main(void)
{
    int before = fds_open();

    alarm(20); /* whatever blocks ends the test */
    test_numeric("127.0.0.1", 7, "127.0.0.1:7");
    test_numeric("192.0.2.1", 65535, "192.0.2.1:65535");
    test_numeric("::1", 12345, "[::1]:12345");
    test_numeric("2001:db8::1", 1, "[2001:db8::1]:1");
    test_localhost();
    test_connect();
    group("the end");
    is_int(fds_open(), before, "a look-up that is finished leaves no descriptor open");
    test_abandon("127.0.0.1");
    test_abandon("localhost");
    group("the end");
    resolve_abandon(NULL);
    ok(true, "abandoning NULL is allowed");
    test_no_descriptors();
    test_hint();
    ok(fds_become(before), "no descriptor is left open");
    test_unknown("no-such-host.invalid");
    return done();
}
