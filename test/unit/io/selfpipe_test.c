/* Real signals, raised here and sent by a child. */
#include "io/selfpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "fds.h"
#include "tap.h"

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
#define SIGNALS (sizeof signals / sizeof *signals)

static bool has_action(int number, void (*handler)(int))
{
    struct sigaction action;

    return sigaction(number, NULL, &action) == 0 && action.sa_handler == handler;
}

static int poll_now(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    int n = poll(&pfd, 1, 0);

    return n == 1 && pfd.revents == POLLIN ? 1 : n == 0 ? 0 : -1;
}

static void test_order(int fd)
{
    group("order");
    is_int(poll_now(fd), 0, "no signal: poll() sees nothing");
    is_int(selfpipe_take(), 0, "no signal: nothing is there to take");
    raise(SIGTERM);
    is_int(poll_now(fd), 1, "a signal: poll() sees it");
    raise(SIGUSR1);
    raise(SIGUSR1);
    raise(SIGINT);
    raise(SIGTERM);
    raise(SIGHUP);
    is_int(selfpipe_take(), SIGTERM, "the first is SIGTERM");
    is_int(selfpipe_take(), SIGUSR1, "the second is SIGUSR1");
    is_int(selfpipe_take(), SIGUSR1, "the third is SIGUSR1 again");
    is_int(poll_now(fd), 1, "poll() sees that more wait");
    is_int(selfpipe_take(), SIGINT, "the fourth is SIGINT");
    is_int(selfpipe_take(), SIGTERM, "the fifth is SIGTERM again");
    is_int(selfpipe_take(), SIGHUP, "the last is SIGHUP");
    is_int(selfpipe_take(), 0, "all taken: nothing is there to take");
    is_int(poll_now(fd), 0, "all taken: poll() sees nothing");
}

static void test_errno(void)
{
    group("the handler");
    errno = EDOM;
    raise(SIGUSR1);
    is_int(errno, EDOM, "it preserves errno");
    is_int(selfpipe_take(), SIGUSR1, "it was called");
}

/* Far more signals than a pipe holds: a handler that blocks would never return. */
static void test_full(void)
{
    long count = 0;

    group("a full pipe");
    errno = EDOM;
    for (int i = 0; i < 70000; i++) {
        raise(SIGUSR1);
    }
    is_int(errno, EDOM, "errno is preserved");
    while (selfpipe_take() == SIGUSR1) {
        count++;
    }
    ok(count >= 4096 && count <= 70000, "it does not block: %ld signals waited", count);
    raise(SIGINT);
    is_int(selfpipe_take(), SIGINT, "emptied, it takes signals again");
}

static void test_wakes_poll(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    pid_t child = fork();
    int n;

    group("a signal from another process");
    if (child == 0) {
        kill(getppid(), SIGTERM);
        _exit(0);
    }
    do {
        n = poll(&pfd, 1, 5000);
    } while (n == -1 && errno == EINTR);
    is_int(n, 1, "it ends the wait");
    is_int(selfpipe_take(), SIGTERM, "it is the right one");
    while (waitpid(child, NULL, 0) == -1 && errno == EINTR) {
    }
}

static void test_flags(const bool *was_open)
{
    int count = 0, cloexec = 0, nonblocking = 0;

    group("the pipe");
    is_int(SELFPIPE_FDS, 2, "SELFPIPE_FDS says what it takes");
    for (int fd = 0; fd < FDS_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (flags == -1 || was_open[fd]) {
            continue;
        }
        count++;
        cloexec += (flags & FD_CLOEXEC) != 0;
        nonblocking += (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
    }
    is_int(count, 2, "it has two ends");
    is_int(cloexec, 2, "both ends are close-on-exec");
    is_int(nonblocking, 2, "both ends are non-blocking");
}

static void test_sigpipe(void)
{
    int ends[2];

    group("SIGPIPE");
    ok(has_action(SIGPIPE, SIG_IGN), "it is ignored");
    if (pipe(ends) == -1) {
        abort();
    }
    close(ends[0]);
    errno = 0;
    ok(write(ends[1], "x", 1) == -1 && errno == EPIPE, "a reader that is gone is an errno");
    is_int(selfpipe_take(), 0, "a reader that is gone is no signal");
    close(ends[1]);
}

/* How a child ends that raises `number`. */
static int end_of_child(int number)
{
    pid_t child = fork();

    if (child == 0) {
        raise(number);
        _exit(0);
    }
    return child_status(child);
}

static void test_open(void)
{
    bool was_open[FDS_MAX];

    for (int fd = 0; fd < FDS_MAX; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) != -1;
    }
    int fd = selfpipe_open(signals, SIGNALS);
    group("selfpipe_open");
    if (!ok(fd >= 0, "it succeeds")) {
        return;
    }
    test_flags(was_open);
    test_order(fd);
    test_errno();
    test_full();
    test_wakes_poll(fd);
    test_sigpipe();
    group("selfpipe_open");
    ok(has_action(SIGUSR2, SIG_DFL), "a signal that was not given keeps its action");
}

static void test_close(int fds_before)
{
    group("closed");
    errno = EDOM;
    selfpipe_close();
    is_int(fds_open(), fds_before, "no descriptor is left open");
    for (size_t i = 0; i < SIGNALS; i++) {
        ok(has_action(signals[i], SIG_IGN), "signal %d is ignored", signals[i]);
        is_int(end_of_child(signals[i]), 0, "signal %d does not kill", signals[i]);
    }
}

static void test_again(int fds_before)
{
    const int other[] = {SIGUSR2};
    int fd = selfpipe_open(other, 1);

    group("opened again, for SIGUSR2");
    ok(fd >= 0, "it succeeds");
    is_int(selfpipe_take(), 0, "nothing is left from before");
    raise(SIGUSR2);
    is_int(poll_now(fd), 1, "poll() sees that signal");
    is_int(selfpipe_take(), SIGUSR2, "that signal can be taken");
    ok(has_action(SIGUSR1, SIG_IGN), "SIGUSR1 of before is not caught");
    selfpipe_close();
    ok(has_action(SIGUSR2, SIG_IGN), "closed again, SIGUSR2 is ignored");
    is_int(fds_open(), fds_before, "closed again, no descriptor is left open");
}

static void test_failures(int fds_before)
{
    const int bad[] = {SIGUSR1, SIGKILL};

    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    for (size_t i = 0; i < SIGNALS; i++) {
        signal(signals[i], SIG_DFL);
    }
    group("SIGKILL among the signals");
    errno = 0;
    is_int(selfpipe_open(bad, 2), -1, "it cannot be caught: selfpipe_open() fails");
    is_int(errno, EINVAL, "errno is sigaction's");
    ok(has_action(SIGUSR1, SIG_DFL), "the other signal is as before");
    ok(has_action(SIGPIPE, SIG_DFL), "SIGPIPE is as before");
    is_int(fds_open(), fds_before, "no descriptor is left open");

    group("no descriptors");
    fds_exhaust(true);
    errno = 0;
    int fd = selfpipe_open(signals, SIGNALS);
    int error = errno;
    fds_exhaust(false);
    is_int(fd, -1, "selfpipe_open() fails");
    is_int(error, EMFILE, "errno is pipe2's");
    ok(has_action(SIGTERM, SIG_DFL), "no signal is caught");
    ok(has_action(SIGPIPE, SIG_DFL), "SIGPIPE is as before");
}

/* What waited since before it was opened comes then. */
static void test_blocked(void)
{
    sigset_t all, before, after;

    group("all signals blocked before");
    for (size_t i = 0; i < SIGNALS; i++) {
        signal(signals[i], SIG_DFL);
    }
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    raise(SIGTERM);
    selfpipe_open(signals, SIGNALS);
    sigprocmask(SIG_SETMASK, NULL, &after);
    for (size_t i = 0; i < SIGNALS; i++) {
        ok(!sigismember(&after, signals[i]), "signal %d is unblocked", signals[i]);
    }
    ok(sigismember(&after, SIGUSR2), "one that was not given stays blocked");
    is_int(selfpipe_take(), SIGTERM, "one that waited can be taken");
    raise(SIGUSR1);
    is_int(selfpipe_take(), SIGUSR1, "a later one, too");
    selfpipe_close();
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void test_ignored(void)
{
    group("all signals ignored before");
    for (size_t i = 0; i < SIGNALS; i++) {
        signal(signals[i], SIG_IGN);
    }
    selfpipe_open(signals, SIGNALS);
    ok(has_action(SIGHUP, SIG_IGN), "SIGHUP stays so, for nohup");
    raise(SIGHUP);
    raise(SIGTERM);
    is_int(selfpipe_take(), SIGTERM, "the others are caught");
    is_int(selfpipe_take(), 0, "SIGHUP is not");
    selfpipe_close();
    ok(has_action(SIGHUP, SIG_IGN), "closed, SIGHUP is as before");
}

static void test_names(void)
{
    group("selfpipe_name");
    is_str(selfpipe_name(SIGTERM), "SIGTERM", "SIGTERM");
    is_str(selfpipe_name(SIGINT), "SIGINT", "SIGINT");
    is_str(selfpipe_name(SIGHUP), "SIGHUP", "SIGHUP");
    is_str(selfpipe_name(SIGUSR1), "signal", "one that ends nothing has no name");
}

int main(void)
{
    int before = fds_open();

    alarm(20); /* whatever blocks ends the test */
    test_open();
    test_close(before);
    test_again(before);
    test_failures(before);
    test_blocked();
    test_ignored();
    test_names();
    group("at the end");
    is_int(fds_open(), before, "no descriptor is left open");
    return done();
}
