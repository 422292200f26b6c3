/* Every system call there is, tried behind the filter in a process of its own: those of the
 * list below are allowed, all others end it. The list is written a second time here, since
 * what may be called is what matters. */
#include "sandbox/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/thread.h"
#include "child.h"
#include "lesser_kernel.h"
#include "sandbox/linux_abi.h"
#include "tap.h"

#if __has_include(<linux/filter.h>)
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#define HAS_KERNEL_HEADERS 1
#endif

#define SERVER  SECCOMP_SERVER
#define CLIENT  SECCOMP_CLIENT
#define LOAD    SECCOMP_LOAD
#define NAMES   (SECCOMP_CLIENT | SECCOMP_NAMES)
#define SOURCES (SECCOMP_LOAD | SECCOMP_SOURCES)
#define ADMIN   (SECCOMP_CLIENT | SECCOMP_ADMIN)

/* How a violation ends. AddressSanitizer makes a call of its own before any _exit(). */
#ifdef __SANITIZE_ADDRESS__
#define VIOLATION (128 + SIGSYS)
#else
#define VIOLATION SECCOMP_EXIT
#endif

/* More numbers than there are calls; and what x86-64 adds for its 32-bit pointers. */
#define NUMBERS 600
#define X32     0x40000000

static const unsigned everybody[] = {SERVER, CLIENT, LOAD, NAMES, SOURCES, ADMIN};
static const char *const names[] = {"server",
                                    "client",
                                    "load",
                                    "client with names",
                                    "load with sources",
                                    "client with admin address"};
#define USERS (sizeof everybody / sizeof everybody[0])

/* Silent, so that thousands of violations do not fill the test's output; and an end to what
 * an allowed call may do with arguments that make no sense. */
static void prepare(void)
{
    close(STDERR_FILENO);
    alarm(20);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Make the call behind the filter. Returns how the process ended. */
static int try(unsigned users, long number, const long arguments[4])
{
    pid_t pid = fork();

    if (pid == 0) {
        prepare();
        if (!seccomp_restrict(users)) {
            syscall(SYS_exit_group, 99);
        }
        long result = syscall(number, arguments[0], arguments[1], arguments[2],
                              arguments[3], -1L, -1L);
        /* An "allowed" clone() has come back as a thread without a stack of its own. */
        syscall(SYS_exit_group, result == 0 && number == SYS_clone ? 1 : 0);
    }
    return child_status(pid);
}

/* The same where the parent process had blocked SIGSYS: that would be death by signal. */
static void test_blocked(void)
{
    sigset_t ours, before;

    group("SIGSYS blocked before");
    sigemptyset(&ours);
    sigaddset(&ours, SIGSYS);
    sigprocmask(SIG_BLOCK, &ours, &before);
    is_int(try(SERVER, SYS_getppid, (const long[4]){0}), VIOLATION,
           "a violation ends as ever");
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Calls that are allowed whatever their arguments are, and to whom. */
static const struct {
    long number;
    unsigned users;
} allowed[] = {
    {SYS_read, ~0U},
    {SYS_write, ~0U},
    {SYS_close, ~0U},
    {SYS_ppoll, ~0U},
#ifdef SYS_poll
    {SYS_poll, ~0U},
#endif
    {SYS_recvfrom, ~0U},
    {SYS_shutdown, ~0U},
    {SYS_getsockopt, ~0U},
    {SYS_pipe2, ~0U},
    {SYS_munmap, ~0U},
    {SYS_mremap, ~0U},
    {SYS_futex, ~0U},
    {SYS_sched_yield, ~0U},
    {SYS_clock_gettime, ~0U},
    {SYS_rt_sigprocmask, ~0U},
    {SYS_rt_sigreturn, ~0U},
    {SYS_restart_syscall, ~0U},
    {SYS_exit, ~0U},
    {SYS_exit_group, ~0U},
    {SYS_accept4, SECCOMP_SERVER | SECCOMP_ADMIN},
    {SYS_pread64, SECCOMP_SERVER | SECCOMP_ADMIN},
    {SYS_lseek, SECCOMP_NAMES},
    {SYS_getsockname, ~0U},
    {SYS_getpeername, SECCOMP_CLIENT | SECCOMP_LOAD},
    {SYS_connect, SECCOMP_CLIENT | SECCOMP_LOAD},
    {SYS_setsockopt, SECCOMP_CLIENT | SECCOMP_LOAD},
    {SYS_signalfd4, SECCOMP_SERVER | SECCOMP_LOAD},
    {SYS_rt_sigtimedwait, SECCOMP_SERVER | SECCOMP_LOAD},
    {SYS_timerfd_create, SECCOMP_LOAD},
    {SYS_timerfd_settime, SECCOMP_LOAD},
    {SYS_getrusage, SECCOMP_LOAD},
    {SYS_getpid, SECCOMP_LOAD},
    {SYS_bind, SECCOMP_SOURCES | SECCOMP_NAMES},
    {SYS_readv, SECCOMP_NAMES},
    {SYS_recvmsg, SECCOMP_NAMES},
    {SYS_sendmsg, SECCOMP_NAMES},
};

/* The traps that the kernel itself puts into a probed program are never filtered:
 * uretprobe and uprobe. */
static bool is_expected(long number, unsigned users)
{
#ifdef __x86_64__
    if (number == 335 || number == 336) {
        return try(users, number, (const long[4]){0}) != VIOLATION;
    }
#endif
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        if (allowed[i].number == number && (allowed[i].users & users) != 0) {
            return true;
        }
    }
    return false;
}

static void test_every_number(size_t user)
{
    static const long nonsense[4] = {-1, -1, -1, -1};
    unsigned users = everybody[user];
    int wrong = 0, denied = 0;

    group("%s", names[user]);
    for (long number = 0; number < 2 * NUMBERS; number++) {
        long call = number < NUMBERS ? number : X32 + number - NUMBERS;

        /* It goes on with what the stack happens to hold. That it is allowed is seen in the
         * process tests: no handler could return otherwise. */
        if (call == SYS_rt_sigreturn) {
            continue;
        }
        bool is_denied = try(users, call, nonsense) == VIOLATION;

        denied += is_denied;
        if (is_denied == is_expected(call, users)) {
            diag("system call %ld is %s", call, is_denied ? "denied" : "allowed");
            wrong++;
        }
    }
    is_int(wrong, 0, "of all numbers those of the list are allowed, no other");
    ok(denied > 2 * NUMBERS - 50, "most numbers are denied: %d", denied);
}

/* Calls of which some arguments are allowed. */
static void test_arguments(void)
{
    const long thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    const long stream = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const struct {
        const char *what;
        unsigned allowed; /* enum seccomp_user */
        long number, arguments[4];
    } cases[] = {
        {"mmap readable, writable", ~0U, SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, 0x22}},
        {"mmap executable", 0, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, 0x22}},
        {"mprotect writable", LOAD | SECCOMP_NAMES, SYS_mprotect, {0, 0, PROT_WRITE, 0}},
        {"mprotect executable", 0, SYS_mprotect, {0, 0, PROT_EXEC, 0}},
        {"ioctl TIOCOUTQ", ~0U, SYS_ioctl, {-1, TIOCOUTQ, 0, 0}},
        {"ioctl TIOCSTI", 0, SYS_ioctl, {-1, TIOCSTI, 0, 0}},
        {"ioctl TIOCGWINSZ", LOAD, SYS_ioctl, {-1, TIOCGWINSZ, 0, 0}},
        {"ioctl SIOCGIFINDEX", SECCOMP_NAMES, SYS_ioctl, {-1, 0x8933, 0, 0}},
        {"sendto", ~0U, SYS_sendto, {-1, 0, 0, MSG_NOSIGNAL}},
        {"sendto that connects", 0, SYS_sendto, {-1, 0, 0, MSG_FASTOPEN}},
        {"fcntl F_SETFL", ~0U, SYS_fcntl, {-1, F_SETFL, O_NONBLOCK | O_ASYNC, 0}},
        {"fcntl F_SETFL O_APPEND", 0, SYS_fcntl, {-1, F_SETFL, O_APPEND, 0}},
        {"fcntl F_SETSIG", SERVER | LOAD, SYS_fcntl, {-1, F_SETSIG, 35, 0}},
        {"fcntl F_SETSIG SIGKILL", 0, SYS_fcntl, {-1, F_SETSIG, SIGKILL, 0}},
        {"fcntl F_SETOWN_EX", SERVER | LOAD, SYS_fcntl, {-1, F_SETOWN_EX, 0, 0}},
        {"fcntl F_SETFD", SECCOMP_NAMES, SYS_fcntl, {-1, F_SETFD, 0, 0}},
        {"sigaction SIGTERM", ~0U, SYS_rt_sigaction, {SIGTERM, -1, 0, 8}},
        {"sigaction SIGIO", 0, SYS_rt_sigaction, {SIGIO, -1, 0, 8}},
        {"sigaction SIGSYS", 0, SYS_rt_sigaction, {SIGSYS, -1, 0, 8}},
        {"fcntl F_DUPFD", 0, SYS_fcntl, {-1, F_DUPFD, 0, 0}},
        {"prlimit asks", SERVER | LOAD | SECCOMP_ADMIN, SYS_prlimit64, {0, 7, 0, 0}},
        {"prlimit asks of another", 0, SYS_prlimit64, {1, 7, 0, 0}},
        {"prlimit sets", 0, SYS_prlimit64, {0, 7, 4096, 0}},
        {"prlimit sets from high up", 0, SYS_prlimit64, {0, 7, 1L << 32, 0}},
        {"tkill SIGABRT to nobody", ~0U, SYS_tkill, {-1, SIGABRT, 0, 0}},
        {"tkill SIGKILL to nobody", 0, SYS_tkill, {-1, SIGKILL, 0, 0}},
        {"socket IPv4 TCP", CLIENT | LOAD, SYS_socket, {AF_INET, stream, 0, 0}},
        {"socket IPv6 TCP", CLIENT | LOAD, SYS_socket, {AF_INET6, stream, 0, 0}},
        {"socket IPv4 UDP", SECCOMP_NAMES, SYS_socket, {AF_INET, SOCK_DGRAM, 0, 0}},
        {"socket IPv6 UDP", SECCOMP_NAMES, SYS_socket, {AF_INET6, SOCK_DGRAM, 0, 0}},
        {"socket raw", 0, SYS_socket, {AF_INET, SOCK_RAW, 1, 0}},
        {"socket UDP by its number",
         SECCOMP_NAMES,
         SYS_socket,
         {AF_INET, SOCK_DGRAM, 17, 0}},
        {"socket MPTCP", 0, SYS_socket, {AF_INET, stream, 262, 0}},
        {"socket UDP-Lite", 0, SYS_socket, {AF_INET, SOCK_DGRAM, 136, 0}},
        {"socket ping", 0, SYS_socket, {AF_INET, SOCK_DGRAM, 1, 0}},
        {"socket UNIX datagram", 0, SYS_socket, {AF_UNIX, SOCK_DGRAM, 0, 0}},
        {"socket UNIX stream", 0, SYS_socket, {AF_UNIX, SOCK_STREAM, 0, 0}},
        {"socket netlink", 0, SYS_socket, {AF_NETLINK, SOCK_RAW, 0, 0}},
        {"clone a process", 0, SYS_clone, {SIGCHLD, 0, 0, 0}},
        {"clone a namespace", 0, SYS_clone, {thread | CLONE_NEWUSER, 0, 0, 0}},
        /* CLONE_PIDFD and CLONE_PARENT_SETTID with a thread: EINVAL, so none comes to be.
         */
        {"clone a thread",
         LOAD | SECCOMP_NAMES,
         SYS_clone,
         {thread | 0x1000 | 0x100000, 0, 0, 0}},
#ifdef SYS_open
        {"open to read", SECCOMP_NAMES, SYS_open, {0, O_RDONLY | O_CLOEXEC, 0, 0}},
        {"open to write", 0, SYS_open, {0, O_WRONLY, 0, 0}},
        {"open to create", 0, SYS_open, {0, O_RDONLY | O_CREAT, 0600, 0}},
        {"open to truncate", 0, SYS_open, {0, O_RDONLY | O_TRUNC, 0, 0}},
#endif
        {"openat to read", SECCOMP_NAMES, SYS_openat, {-1, 0, O_RDONLY | O_CLOEXEC, 0}},
        {"openat to write", 0, SYS_openat, {-1, 0, O_RDWR, 0}},
        {"a call that a tracer skips", ~0U, -1, {0, 0, 0, 0}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t user = 0; user < USERS; user++) {
            group("%s", names[user]);
            bool is_denied =
                try(everybody[user], cases[i].number, cases[i].arguments) == VIOLATION;
            bool is_allowed = (cases[i].allowed & everybody[user]) != 0;

            ok(is_denied != is_allowed, "%s is %s", cases[i].what,
               is_allowed ? "allowed" : "denied");
        }
    }
}

#ifdef __x86_64__
/* A child calls the kernel by the 32-bit entry of x86-64: number 20 is getpid() there and
 * writev() here. Returns the child's status. */
static int status_of_32_bit_call(bool is_restricted)
{
    pid_t pid = fork();

    if (pid == 0) {
        long number = 20;

        if (is_restricted) {
            prepare();
            seccomp_restrict(SECCOMP_LOAD);
        }
        __asm__ volatile("int $0x80" : "+a"(number) : : "memory");
        syscall(SYS_exit_group, 0);
    }
    return child_status(pid);
}
#endif

static void test_other_machine(void)
{
    group("another entry");
#ifdef __x86_64__
    if (status_of_32_bit_call(false) != 0) {
        skip("this kernel has no 32-bit entry"); /* it ends the process by SIGSEGV */
        return;
    }
    is_int(status_of_32_bit_call(true), VIOLATION, "a call by the 32-bit entry is denied");
#else
    skip("there is one way to call the kernel on this machine");
#endif
}

/* ---- the end of a violation ------------------------------------------------------------
 */

__attribute__((unused)) static void *violate(void *argument)
{
    (void)argument;
    syscall(SYS_getppid);
    return NULL;
}

__attribute__((unused)) static void test_threads(void)
{
    pid_t pid = fork();

    group("a violation");
    if (pid == 0) {
        pthread_t before;
        int hold[2];

        prepare();
        if (pipe2(hold, 0) == 0 && thread_start(&before, violate, NULL) == 0) {
            pthread_join(before, NULL); /* no filter yet */
        }
        seccomp_restrict(SECCOMP_LOAD);
        if (thread_start(NULL, violate, NULL) == 0) {
            poll(NULL, 0, 5000);
        }
        syscall(SYS_exit_group, 0);
    }
    is_int(child_status(pid), VIOLATION, "a thread's one ends the process");

    pid = fork();
    if (pid == 0) {
        sigset_t all;

        prepare();
        seccomp_restrict(SECCOMP_LOAD);
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
        syscall(SYS_getppid);
        syscall(SYS_exit_group, 0);
    }
    is_int(child_status(pid), 128 + SIGSYS,
           "with SIGSYS blocked, that signal ends the process");
}

__attribute__((unused)) static void *wait_for_end(void *argument)
{
    const int *hold = argument;
    char byte;

    (void)!read(*hold, &byte, 1);
    syscall(SYS_getppid);
    return NULL;
}

__attribute__((unused)) static void test_older_threads(void)
{
    pid_t pid = fork();

    group("a violation");
    if (pid == 0) {
        pthread_t thread;
        int hold[2];

        prepare();
        (void)!pipe2(hold, 0);
        thread_start(&thread, wait_for_end, &hold[0]);
        seccomp_restrict(SECCOMP_SERVER);
        (void)!write(hold[1], "", 1);
        poll(NULL, 0, 5000);
        syscall(SYS_exit_group, 0);
    }
    is_int(child_status(pid), VIOLATION,
           "that of a thread that was there before ends the process");
}

/* What is said on stderr, and that a full pipe there is not waited for. */
static void test_message(bool is_full)
{
    int ends[2];
    char said[128];

    group("a violation, %s", is_full ? "stderr is full" : "stderr is read");
    if (!ok(pipe2(ends, O_NONBLOCK) == 0, "there is a pipe as stderr")) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        prepare();
        dup2(ends[1], STDERR_FILENO);
        while (is_full && write(ends[1], said, 1) == 1) {
        }
        fcntl(ends[1], F_SETFL, 0);
        seccomp_restrict(SECCOMP_SERVER);
        syscall(SYS_getppid);
        syscall(SYS_exit_group, 0);
    }
    is_int(child_status(pid), VIOLATION, "the process ends");
    if (!is_full) {
        char wanted[128];
        ssize_t length = read(ends[0], said, sizeof said - 1);

        said[length > 0 ? length : 0] = '\0';
        snprintf(wanted, sizeof wanted,
                 "sandbox: system call %d is not allowed: exit code %d\n", SYS_getppid,
                 SECCOMP_EXIT);
        is_str(said, wanted, "it says which call, in one line");
    }
    close(ends[0]);
    close(ends[1]);
}

static void test_refused(void)
{
    pid_t pid = fork();

    group("seccomp_restrict");
    if (pid == 0) {
        prepare();
        seccomp_restrict(SECCOMP_LOAD);
        seccomp_restrict(SECCOMP_LOAD); /* the call itself is not in the list */
        syscall(SYS_exit_group, 0);
    }
    is_int(child_status(pid), VIOLATION, "once restricted, the filter cannot be changed");
    pid = fork();
    if (pid == 0) {
        /* Not root, and without no_new_privs. */
        bool is_good = geteuid() != 0 || setuid(65534) == 0;

        is_good = is_good && !seccomp_restrict(SECCOMP_LOAD) && errno == EACCES;
        syscall(SYS_exit_group, is_good ? 0 : 1);
    }
    is_int(child_status(pid), 0, "without no_new_privs the kernel refuses: EACCES");
    pid = fork();
    if (pid == 0) {
        forget_call(SYS_seccomp);
        exit(!seccomp_restrict(SECCOMP_SERVER | SECCOMP_NAMES) && errno == ENOSYS ? 0 : 1);
    }
    is_int(child_status(pid), 0, "a kernel without seccomp: ENOSYS");
}

/* The resolver goes on with connect() then, which Landlock sees. */
static void test_fast_open(void)
{
    pid_t pid = fork();

    group("a name's look-up");
    if (pid == 0) {
        prepare();
        seccomp_restrict(NAMES);
        long result = syscall(SYS_sendmsg, -1L, 0L, (long)MSG_FASTOPEN);
        syscall(SYS_exit_group, result == -1 && errno == EOPNOTSUPP ? 0 : 1);
    }
    is_int(child_status(pid), 0, "a message that connects is not supported");
}

static void test_abi(void)
{
    group("as in the kernel's headers");
#ifdef HAS_KERNEL_HEADERS
    is_int(BPF_LOAD_WORD, BPF_LD | BPF_W | BPF_ABS, "the instruction that loads a word");
    is_int(BPF_AND_CONSTANT, BPF_ALU | BPF_AND | BPF_K, "the instruction that masks");
    is_int(BPF_IF_EQUAL, BPF_JMP | BPF_JEQ | BPF_K, "the instruction that jumps if equal");
    is_int(BPF_RETURN, BPF_RET | BPF_K, "the instruction that returns");
    is_int(sizeof(struct bpf_instruction), sizeof(struct sock_filter),
           "an instruction's size");
    is_int(sizeof(struct bpf_program), sizeof(struct sock_fprog), "a program's size");
    is_int(SECCOMP_AT_NUMBER, offsetof(struct seccomp_data, nr), "the number's place");
    is_int(SECCOMP_AT_MACHINE, offsetof(struct seccomp_data, arch), "the machine's place");
    is_int(SECCOMP_AT_ARGUMENTS, offsetof(struct seccomp_data, args),
           "the arguments' place");
    is_int(SECCOMP_TRAP, SECCOMP_RET_TRAP, "the answer: trap");
    is_int(SECCOMP_ALLOW, SECCOMP_RET_ALLOW, "the answer: allow");
    is_int(SECCOMP_SET_FILTER, SECCOMP_SET_MODE_FILTER, "the operation that sets a filter");
    is_int(SECCOMP_ALL_THREADS, SECCOMP_FILTER_FLAG_TSYNC, "its flag for threads");
    is_int(SECCOMP_KEEP_SPEED, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "its flag for speed");
    is_int(SIOCGIFINDEX, 0x8933, "SIOCGIFINDEX");
#ifdef __x86_64__
    is_int(SECCOMP_MACHINE, AUDIT_ARCH_X86_64, "the machine's number");
#elif defined __aarch64__
    is_int(SECCOMP_MACHINE, AUDIT_ARCH_AARCH64, "the machine's number");
#endif
#else
    skip("the kernel's headers are not seen by this compiler");
#endif
}

int main(void)
{
    test_abi();
    for (size_t user = 0; user < USERS; user++) {
        test_every_number(user);
    }
    test_blocked();
    test_arguments();
    test_fast_open();
    test_other_machine();
#ifdef __GLIBC__
    group("a violation");
    skip("the list is for musl's threads: glibc's make other calls when they start");
#else
    test_threads();
    test_older_threads();
#endif
    test_message(false);
    test_message(true);
    test_refused();
    return done();
}
