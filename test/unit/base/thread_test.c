/* Threads that are joined and detached, and what signals they get: none, but SIGSYS. */
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "child.h"
#include "fds.h"
#include "tap.h"

static pthread_t handled_by;
static volatile sig_atomic_t handled;

static void on_signal(int number)
{
    (void)number;
    handled_by = pthread_self();
    handled++;
}

static sigset_t mask_now(void)
{
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    return mask;
}

static bool same_mask(const sigset_t *a, const sigset_t *b)
{
    for (int number = 1; number <= SIGRTMAX; number++) {
        if (sigismember(a, number) != sigismember(b, number)) {
            return false;
        }
    }
    return true;
}

/* In the thread: note its mask. */
static void *note_mask(void *mask)
{
    *(sigset_t *)mask = mask_now();
    return mask;
}

static void test_joined(void)
{
    sigset_t before = mask_now(), after, theirs;
    pthread_t thread;
    void *result = NULL;

    group("a thread that is joined");
    sigemptyset(&theirs);
    is_int(thread_start(&thread, note_mask, &theirs), 0, "it is started");
    is_int(pthread_join(thread, &result), 0, "it can be joined");
    ok(result == &theirs, "it ran with its argument, and its result is had");
    int open_to = 0;
    for (int number = 1; number <= SIGRTMAX; number++) {
        /* SIGKILL and SIGSTOP cannot be blocked; the C library keeps some for itself. */
        bool is_own = number == SIGKILL || number == SIGSTOP || number == SIGSYS ||
                      (number >= 32 && number < SIGRTMIN);

        open_to += !is_own && !sigismember(&theirs, number);
    }
    is_int(open_to, 0, "all signals are blocked there");
    ok(!sigismember(&theirs, SIGSYS), "SIGSYS is not blocked there");
    after = mask_now();
    ok(same_mask(&before, &after), "the caller's mask is as before");
}

static void *write_byte(void *fd)
{
    (void)!write(*(int *)fd, "x", 1);
    return NULL;
}

static void test_detached(void)
{
    int ends[2];

    group("a detached thread");
    if (pipe(ends) == -1) {
        abort();
    }
    is_int(thread_start(NULL, write_byte, &ends[1]), 0, "it is started");
    is_int(fds_poll(ends[0], POLLIN, 2000), POLLIN, "it runs with its argument");
    close(ends[0]);
    close(ends[1]);
}

static void *read_byte(void *fd)
{
    char byte;

    (void)!read(*(int *)fd, &byte, 1);
    return NULL;
}

/* While several threads wait, signals for the process come to this one. */
static void test_signals(void)
{
    const struct sigaction action = {.sa_handler = on_signal};
    pthread_t threads[4];
    int hold[2], elsewhere = 0;

    group("signals to a process with four threads");
    if (pipe(hold) == -1) {
        abort();
    }
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 4; i++) {
        if (thread_start(&threads[i], read_byte, &hold[0]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < 100; i++) {
        kill(getpid(), SIGUSR1);
        elsewhere += !pthread_equal(handled_by, pthread_self());
    }
    is_int(handled, 100, "each is handled at once");
    is_int(elsewhere, 0, "each is handled by the thread that started the others");
    close(hold[1]);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    close(hold[0]);
}

/* A user that may have no more threads. In a process of its own: the user stays. */
static void test_failure(void)
{
    pid_t pid = fork();

    group("no thread can be made");
    if (pid == 0) {
        const struct rlimit none = {0, 0}; /* not for root */
        bool is_bound = geteuid() != 0 || setuid(65534) == 0;
        sigset_t before = mask_now(), theirs;
        pthread_t thread;

        setrlimit(RLIMIT_NPROC, &none);
        int error = thread_start(&thread, note_mask, &theirs);
        sigset_t after = mask_now();
        _exit(!is_bound || error != EAGAIN ? 1 : same_mask(&before, &after) ? 0 : 2);
    }
    is_int(child_status(pid), 0, "EAGAIN is returned, and the caller's mask is as before");
}

static void test_error_text(void)
{
    group("thread_error_text");
    is_str(thread_error_text(ENOMEM), strerror(ENOMEM), "ENOMEM is told as ever");
    const char *text = thread_error_text(EAGAIN);
    ok(strstr(text, "thread") != NULL && strstr(text, "pids cgroup") != NULL &&
           strstr(text, "RLIMIT_NPROC") != NULL && strstr(text, "RLIMIT_AS") != NULL,
       "EAGAIN names the limits: %s", text);
}

int main(void)
{
    alarm(20); /* whatever blocks ends the test */
    test_joined();
    test_detached();
    test_signals();
    test_failure();
    test_error_text();
    return done();
}
