/* Real signals, raised here and sent by a child. */
#include "selfpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

#define FDS 256

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGHUP};
#define SIGNALS (sizeof signals / sizeof *signals)

static int fds_open(void)
{
    int count = 0;

    for (int fd = 0; fd < FDS; fd++) {
        count += fcntl(fd, F_GETFD) != -1;
    }
    return count;
}

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
    is_int(poll_now(fd), 0, "no signal: poll() sees nothing");
    is_int(selfpipe_take(), 0, "... and nothing is there to take");
    raise(SIGTERM);
    is_int(poll_now(fd), 1, "a signal: poll() sees it");
    raise(SIGUSR1);
    raise(SIGUSR1);
    raise(SIGINT);
    raise(SIGTERM);
    raise(SIGHUP);
    is_int(selfpipe_take(), SIGTERM, "the first");
    is_int(selfpipe_take(), SIGUSR1, "the second");
    is_int(selfpipe_take(), SIGUSR1, "... twice");
    is_int(poll_now(fd), 1, "poll() sees that more wait");
    is_int(selfpipe_take(), SIGINT, "the fourth");
    is_int(selfpipe_take(), SIGTERM, "the first again");
    is_int(selfpipe_take(), SIGHUP, "the last");
    is_int(selfpipe_take(), 0, "no more");
    is_int(poll_now(fd), 0, "... poll() says so, too");
}

static void test_errno(void)
{
    errno = EDOM;
    raise(SIGUSR1);
    is_int(errno, EDOM, "the handler preserves errno");
    is_int(selfpipe_take(), SIGUSR1, "... and was called");
}

/* Far more signals than a pipe holds: a handler that blocks would never return. */
static void test_full(void)
{
    long count = 0;

    errno = EDOM;
    for (int i = 0; i < 70000; i++) {
        raise(SIGUSR1);
    }
    is_int(errno, EDOM, "errno is preserved when the pipe is full, too");
    while (selfpipe_take() == SIGUSR1) {
        count++;
    }
    ok(count >= 4096 && count <= 70000, "a full pipe does not block: %ld signals waited",
       count);
    raise(SIGINT);
    is_int(selfpipe_take(), SIGINT, "... and then it takes signals again");
}

static void test_wakes_poll(int fd)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    pid_t child = fork();
    int n;

    if (child == 0) {
        kill(getppid(), SIGTERM);
        _exit(0);
    }
    do {
        n = poll(&pfd, 1, 5000);
    } while (n == -1 && errno == EINTR);
    is_int(n, 1, "a signal from another process ends the wait");
    is_int(selfpipe_take(), SIGTERM, "... and is the right one");
    while (waitpid(child, NULL, 0) == -1 && errno == EINTR) {
    }
}

static void test_flags(const bool *was_open)
{
    int count = 0, cloexec = 0, nonblocking = 0;

    for (int fd = 0; fd < FDS; fd++) {
        int flags = fcntl(fd, F_GETFD);

        if (flags == -1 || was_open[fd]) {
            continue;
        }
        count++;
        cloexec += (flags & FD_CLOEXEC) != 0;
        nonblocking += (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
    }
    is_int(count, 2, "a pipe has two ends");
    is_int(cloexec, 2, "... both close-on-exec");
    is_int(nonblocking, 2, "... both non-blocking");
}

static void test_sigpipe(void)
{
    int ends[2];

    ok(has_action(SIGPIPE, SIG_IGN), "SIGPIPE is ignored");
    if (pipe(ends) == -1) {
        abort();
    }
    close(ends[0]);
    errno = 0;
    ok(write(ends[1], "x", 1) == -1 && errno == EPIPE,
       "... a reader that is gone is an errno");
    is_int(selfpipe_take(), 0, "... and no signal");
    close(ends[1]);
}

/* How a child ends that raises `number`: the signal that killed it, or 0. */
static int killed_by(int number)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        raise(number);
        _exit(0);
    }
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_open(void)
{
    bool was_open[FDS];

    for (int fd = 0; fd < FDS; fd++) {
        was_open[fd] = fcntl(fd, F_GETFD) != -1;
    }
    int fd = selfpipe_open(signals, SIGNALS);
    if (!ok(fd >= 0, "opened")) {
        return;
    }
    test_flags(was_open);
    test_order(fd);
    test_errno();
    test_full();
    test_wakes_poll(fd);
    test_sigpipe();
    ok(has_action(SIGUSR2, SIG_DFL), "a signal that was not given keeps its action");
}

static void test_close(int fds_before)
{
    errno = EDOM;
    selfpipe_close();
    is_int(fds_open(), fds_before, "closed: no descriptor is left");
    for (size_t i = 0; i < SIGNALS; i++) {
        ok(has_action(signals[i], SIG_IGN), "closed: signal %d is ignored", signals[i]);
        is_int(killed_by(signals[i]), 0, "... it does not kill");
    }
}

static void test_again(int fds_before)
{
    const int other[] = {SIGUSR2};
    int fd = selfpipe_open(other, 1);

    ok(fd >= 0, "opened again, for another signal");
    is_int(selfpipe_take(), 0, "... nothing is left from before");
    raise(SIGUSR2);
    is_int(poll_now(fd), 1, "... poll() sees the new one");
    is_int(selfpipe_take(), SIGUSR2, "... which can be taken");
    ok(has_action(SIGUSR1, SIG_IGN), "... the old one is not caught");
    selfpipe_close();
    ok(has_action(SIGUSR2, SIG_IGN), "... closed again");
    is_int(fds_open(), fds_before, "... no descriptor is left");
}

static void test_failures(int fds_before)
{
    const int bad[] = {SIGUSR1, SIGKILL};
    struct rlimit before, none;

    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    for (size_t i = 0; i < SIGNALS; i++) {
        signal(signals[i], SIG_DFL);
    }
    errno = 0;
    is_int(selfpipe_open(bad, 2), -1, "SIGKILL cannot be caught");
    is_int(errno, EINVAL, "... errno is sigaction's");
    ok(has_action(SIGUSR1, SIG_DFL), "... the other signal is as before");
    ok(has_action(SIGPIPE, SIG_DFL), "... SIGPIPE, too");
    is_int(fds_open(), fds_before, "... no descriptor is left");

    getrlimit(RLIMIT_NOFILE, &before);
    none = before;
    none.rlim_cur = 0;
    setrlimit(RLIMIT_NOFILE, &none);
    errno = 0;
    int fd = selfpipe_open(signals, SIGNALS);
    int error = errno;
    setrlimit(RLIMIT_NOFILE, &before);
    is_int(fd, -1, "no descriptors: no pipe");
    is_int(error, EMFILE, "... errno is pipe2's");
    ok(has_action(SIGTERM, SIG_DFL), "... no signal is caught");
    ok(has_action(SIGPIPE, SIG_DFL), "... SIGPIPE is as before");
}

int main(void)
{
    int before = fds_open();

    alarm(20); /* whatever blocks ends the test */
    test_open();
    test_close(before);
    test_again(before);
    test_failures(before);
    return done();
}
