/* Look-ups that need no name server, and one that must fail with or without any. */
#include "resolve.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "tap.h"

#define PATIENCE_MS 2000
#define ABANDONED   50

static int fds_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 512; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

/* The threads of abandoned look-ups still hold a descriptor each, until they end. */
static bool fds_become(int wanted)
{
    uint64_t end = clock_now_ns() + PATIENCE_MS * CLOCK_MS;

    while (fds_open() != wanted) {
        if (clock_now_ns() > end) {
            printf("# %d descriptors, expected %d\n", fds_open(), wanted);
            return false;
        }
        poll(NULL, 0, 1);
    }
    return true;
}

static bool is_answered(const struct resolve *resolve)
{
    struct pollfd pfd = {.fd = resolve_fd(resolve), .events = POLLIN};

    return poll(&pfd, 1, PATIENCE_MS) == 1 && (pfd.revents & (POLLIN | POLLHUP)) != 0 &&
           (pfd.revents & POLLNVAL) == 0;
}

static void test_numeric(const char *host, uint16_t port, const char *wanted)
{
    struct net_address addresses[RESOLVE_MAX];
    char text[NET_ADDRESS_TEXT];
    const char *error = "";
    struct resolve *resolve = resolve_start(host, port);

    if (!ok(resolve != NULL && is_answered(resolve), "%s: there is an answer", host)) {
        return;
    }
    is_int(fcntl(resolve_fd(resolve), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC,
           "... its descriptor is close-on-exec");
    ok(is_answered(resolve), "... poll() goes on reporting it");
    is_int(resolve_finish(resolve, addresses, &error), 1, "... one address");
    is_str(net_address_text(&addresses[0], text), wanted, "... the right one");
    ok(addresses[0].length == sizeof(struct sockaddr_in) ||
           addresses[0].length == sizeof(struct sockaddr_in6),
       "... of the right length");
}

static void test_localhost(void)
{
    struct net_address addresses[RESOLVE_MAX];
    const char *error = "";
    struct resolve *resolve = resolve_start("localhost", 12345);
    size_t right = 0;

    if (!ok(resolve != NULL && is_answered(resolve), "localhost: there is an answer")) {
        return;
    }
    size_t count = resolve_finish(resolve, addresses, &error);
    ok(count >= 1 && count <= RESOLVE_MAX, "... %zu addresses", count);
    for (size_t i = 0; i < count; i++) {
        char text[NET_ADDRESS_TEXT];

        net_address_text(&addresses[i], text);
        right += strncmp(text, "127.", 4) == 0 || strcmp(text, "[::1]:12345") == 0;
        ok(strstr(text, ":12345") != NULL, "... with the port: %s", text);
    }
    is_int(right, count, "... all of loopback");
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

    getsockname(listener, (struct sockaddr *)&local, &length);
    struct resolve *resolve = resolve_start("127.0.0.1", ntohs(local.sin_port));
    if (resolve == NULL || !is_answered(resolve) ||
        resolve_finish(resolve, addresses, &error) != 1) {
        abort();
    }
    int own = net_connect(&addresses[0], NULL);
    struct pollfd pfd = {.fd = listener, .events = POLLIN};
    is_int(poll(&pfd, 1, PATIENCE_MS), 1, "the address can be connected to");
    int accepted = net_accept(listener, &peer);
    ok(own != -1 && accepted != -1, "... and is the right one");
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

    if (!ok(resolve != NULL, "'%s': the look-up begins", name)) {
        return;
    }
    if (!is_answered(resolve)) {
        skip("the name server is silent");
        resolve_abandon(resolve);
        return;
    }
    is_int(resolve_finish(resolve, addresses, &error), 0, "... there is no address");
    ok(error != NULL && *error != '\0', "... and a text says why: %s",
       error ? error : "NULL");
}

static void test_abandon(const char *host)
{
    struct resolve *all[ABANDONED];
    int before = fds_open();
    uint64_t longest = 0;

    for (int i = 0; i < ABANDONED; i++) {
        all[i] = resolve_start(host, 7);
        uint64_t start = clock_now_ns();
        resolve_abandon(all[i]);
        uint64_t took = clock_now_ns() - start;
        longest = took > longest ? took : longest;
    }
    ok(longest < 500 * CLOCK_MS, "%s: %d look-ups abandoned, without a wait", host,
       ABANDONED);
    ok(fds_become(before), "... all end by themselves and close what they hold");

    /* All at once, and each at another moment of its life. */
    int started = 0;
    for (int i = 0; i < ABANDONED; i++) {
        all[i] = resolve_start(host, 7);
        started += all[i] != NULL;
    }
    is_int(started, ABANDONED, "%s: %d look-ups at the same time", host, ABANDONED);
    for (int i = 0; i < ABANDONED; i++) {
        resolve_abandon(all[i]);
    }
    ok(fds_become(before), "... abandoned, they end");
    struct resolve *answered = resolve_start(host, 7);
    ok(answered != NULL && is_answered(answered), "%s: an answer that nobody takes", host);
    resolve_abandon(answered);
    ok(fds_become(before), "... is released, too");
}

static void test_no_descriptors(void)
{
    struct rlimit before, none;

    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    errno = 0;
    struct resolve *resolve = resolve_start("127.0.0.1", 7);
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &before);
    ok(resolve == NULL, "no descriptors: no look-up");
    is_int(error, EMFILE, "... errno says why");
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
    is_int(fds_open(), before, "a look-up that is finished leaves no descriptor open");
    test_abandon("127.0.0.1");
    test_abandon("localhost");
    resolve_abandon(NULL);
    ok(true, "abandoning NULL is allowed");
    test_no_descriptors();
    ok(fds_become(before), "nothing is left");
    test_unknown("no-such-host.invalid");
    return done();
}
