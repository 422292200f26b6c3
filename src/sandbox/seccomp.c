#include "sandbox/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/ensure.h"
#include "base/format.h"
#include "sandbox/linux_abi.h"

/* The lower half of an argument, counted from 0 (these machines are little-endian), and the
 * upper half, for arguments of which the kernel reads all 64 bits. */
#define LOW(argument)  (2 * (argument))
#define HIGH(argument) (2 * (argument) + 1)

/* A call that these users may make with any arguments. */
struct rule {
    uint16_t number;
    uint8_t users;
};

/* A call that these users may make if a check holds: the bits in `mask` of half an argument
 * are `value`. A row that begins with AND has a further check for the call above. A call
 * may have several rows. */
struct checked_rule {
    uint16_t number;
    uint8_t users; /* 0: as above */
    uint8_t word;
    uint32_t mask, value;
};

#define AND 0, 0

#define CLIENTS   (SECCOMP_CLIENT | SECCOMP_LOAD)
#define ALL       (SECCOMP_SERVER | CLIENTS)
#define ARMING    (SECCOMP_SERVER | SECCOMP_LOAD) /* users of sigio */
#define THREADED  (SECCOMP_LOAD | SECCOMP_NAMES)
#define LISTENERS (SECCOMP_SERVER | SECCOMP_ADMIN)

#define EXACTLY     UINT32_MAX
#define SOCKET_KIND 0xf /* the rest of socket()'s type is flags */
#define NOT_RW      (~(uint32_t)(PROT_READ | PROT_WRITE))
#define FOR_WRITING ((uint32_t)(O_ACCMODE | O_CREAT | O_TRUNC))
#define A_THREAD    ((uint32_t)(CLONE_VM | CLONE_SIGHAND | CLONE_THREAD))
#define NEW_WORLDS                                                                         \
    ((uint32_t)(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |              \
                CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_PTRACE))

/* A tracer (strace's injection) skips a call by putting this number in its place: it does
 * nothing. */
#define SKIPPED UINT32_MAX

/* Flags that F_SETFL of fcntl() may set: non-blocking, armed. */
#define NO_OTHER_FLAG (~(uint32_t)(O_NONBLOCK | O_ASYNC))

/* musl's SIGRTMIN, which sigio uses. */
#define READY_SIGNAL 35

/* A bit of SIGSYS (31). A process that could catch SIGSYS could go on after a refused
 * call. */
#define SIGSYS_BIT 0x10

/* SIOCGIFINDEX of linux/sockios.h: the index of an interface by its name. */
#define INTERFACE_INDEX 0x8933

static const struct rule rules[] = {
    {SYS_recvfrom, ALL},
#ifdef SYS_poll
    {SYS_poll, ALL},
#endif
    {SYS_ppoll, ALL},
    {SYS_read, ALL},
    {SYS_rt_sigtimedwait, ARMING},
    {SYS_write, ALL},
    {SYS_close, ALL},
    {SYS_accept4, LISTENERS},
    {SYS_shutdown, ALL},
    {SYS_connect, CLIENTS},
    {SYS_setsockopt, CLIENTS},
    {SYS_getsockopt, ALL},
    {SYS_getsockname, ALL},
    {SYS_getpeername, CLIENTS}, /* are both ends the same? */
    {SYS_clock_gettime, ALL},   /* where the kernel offers no vDSO */
    {SYS_timerfd_settime, SECCOMP_LOAD},
    {SYS_timerfd_create, SECCOMP_LOAD},
    {SYS_pipe2, ALL},
    {SYS_signalfd4, ARMING},
    {SYS_munmap, ALL},
    {SYS_mremap, ALL},
    {SYS_futex, ALL},
    {SYS_sched_yield, ALL},
    {SYS_rt_sigreturn, ALL},
    {SYS_rt_sigprocmask, ALL},
    {SYS_restart_syscall, ALL},
    {SYS_exit, ALL},
    {SYS_exit_group, ALL},
    {SYS_lseek, SECCOMP_NAMES},
    {SYS_getrusage, SECCOMP_LOAD},
    {SYS_pread64, LISTENERS},
    {SYS_getpid, SECCOMP_LOAD},
    {SYS_bind, SECCOMP_SOURCES | SECCOMP_NAMES},
    {SYS_readv, SECCOMP_NAMES},
    {SYS_recvmsg, SECCOMP_NAMES},
};

/* clang-format off */
/* AF_INET or AF_INET6, which differ in one bit. */
#define SOCKETS(users, kind, protocol)                                                     \
    {SYS_socket, users, LOW(0), ~(uint32_t)(AF_INET ^ AF_INET6), AF_INET},                 \
    {AND, LOW(1), SOCKET_KIND, kind},                                                      \
    {AND, LOW(2), EXACTLY, protocol}

/* Searched from the top: one of them is made for every message. */
static const struct checked_rule checked_rules[] = {
    {SYS_sendto, ALL, LOW(3), MSG_FASTOPEN, 0}, /* would connect without asking Landlock */
    {SYS_sendmsg, SECCOMP_NAMES, LOW(2), MSG_FASTOPEN, 0},
    {SYS_ioctl, ALL, LOW(1), EXACTLY, TIOCOUTQ},
    {SYS_ioctl, SECCOMP_LOAD, LOW(1), EXACTLY, TIOCGWINSZ},
    {SYS_ioctl, SECCOMP_NAMES, LOW(1), EXACTLY, INTERFACE_INDEX},
    {SYS_fcntl, ALL, LOW(1), EXACTLY, F_SETFL},
    {AND, LOW(2), NO_OTHER_FLAG, 0},
    {SYS_fcntl, SECCOMP_NAMES, LOW(1), EXACTLY, F_SETFD},
    {SYS_fcntl, ARMING, LOW(1), EXACTLY, F_SETSIG},
    {AND, LOW(2), EXACTLY, READY_SIGNAL},
    {SYS_fcntl, ARMING, LOW(1), EXACTLY, F_SETOWN_EX},
    {SYS_rt_sigaction, ALL, LOW(0), SIGSYS_BIT, 0}, /* all signals that we handle */
    {SYS_prlimit64, ARMING | SECCOMP_ADMIN, LOW(0), EXACTLY, 0}, /* only read limits, */
    {AND, LOW(2), EXACTLY, 0}, /* and only our own */
    {AND, HIGH(2), EXACTLY, 0},
    {SYS_tkill, ALL, LOW(1), EXACTLY, SIGABRT}, /* abort() */
    {SYS_mmap, ALL, LOW(2), NOT_RW, 0},
    {SYS_mprotect, THREADED, LOW(2), NOT_RW, 0},
    {SYS_clone, THREADED, LOW(0), A_THREAD | NEW_WORLDS, A_THREAD},
    SOCKETS(CLIENTS, SOCK_STREAM, 0), /* MPTCP would bypass Landlock */
    SOCKETS(SECCOMP_NAMES, SOCK_DGRAM, 0),
    SOCKETS(SECCOMP_NAMES, SOCK_DGRAM, IPPROTO_UDP),
#ifdef SYS_open
    {SYS_open, SECCOMP_NAMES, LOW(1), FOR_WRITING, O_RDONLY},
#endif
    {SYS_openat, SECCOMP_NAMES, LOW(2), FOR_WRITING, O_RDONLY},
};
/* clang-format on */

_Static_assert(((AF_INET ^ AF_INET6) & ((AF_INET ^ AF_INET6) - 1)) == 0, "one bit");

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

/* The greatest length of the filter: head and tail, and the rules, as if each check were
 * of a call of its own. */
#define LENGTH_MAX (9 + 2 * COUNT(rules) + 6 * COUNT(checked_rules))

struct assembly {
    size_t length;
    struct bpf_instruction instructions[LENGTH_MAX];
};

static void emit(struct assembly *assembly, uint16_t code, uint32_t k, size_t if_true,
                 size_t if_false)
{
    ensure(assembly->length < LENGTH_MAX);
    assembly->instructions[assembly->length++] =
        (struct bpf_instruction){code, (uint8_t)if_true, (uint8_t)if_false, k};
}

/* The call's number is loaded: allow the call by this rule, or go on with the next rule. */
static void emit_rule(struct assembly *assembly, uint32_t number)
{
    emit(assembly, BPF_IF_EQUAL, number, 0, 1);
    emit(assembly, BPF_RETURN, SECCOMP_ALLOW, 0, 0);
}

/* How many checks a call has: the rows from its own to the one before the next call's. */
static size_t count_checks(size_t first)
{
    size_t row = first + 1;

    while (row < COUNT(checked_rules) && checked_rules[row].users == 0) {
        row++;
    }
    return row - first;
}

/* The same with checks, which begin at a row:
 *
 *       number is the rule's?   else to end
 *       load, mask, is equal?   else to reload     for each check
 *       allow
 *     reload:
 *       load number
 *     end: */
static void emit_checked_rule(struct assembly *assembly, size_t first)
{
    size_t left = count_checks(first);

    emit(assembly, BPF_IF_EQUAL, checked_rules[first].number, 0, 3 * left + 2);
    for (const struct checked_rule *check = &checked_rules[first]; left > 0; check++) {
        left--;
        emit(assembly, BPF_LOAD_WORD, SECCOMP_AT_ARGUMENTS + 4U * check->word, 0, 0);
        emit(assembly, BPF_AND_CONSTANT, check->mask, 0, 0);
        emit(assembly, BPF_IF_EQUAL, check->value, 0, 3 * left + 1);
    }
    emit(assembly, BPF_RETURN, SECCOMP_ALLOW, 0, 0);
    emit(assembly, BPF_LOAD_WORD, SECCOMP_AT_NUMBER, 0, 0);
}

static void assemble(struct assembly *assembly, unsigned users)
{
    assembly->length = 0;
    /* The calls of another machine (32 bits) have other numbers. */
    emit(assembly, BPF_LOAD_WORD, SECCOMP_AT_MACHINE, 0, 0);
    emit(assembly, BPF_IF_EQUAL, SECCOMP_MACHINE, 1, 0);
    emit(assembly, BPF_RETURN, SECCOMP_TRAP, 0, 0);
    emit(assembly, BPF_LOAD_WORD, SECCOMP_AT_NUMBER, 0, 0);
    /* First those with checks: since Linux 5.11 the kernel remembers the numbers that are
     * allowed whatever the arguments are, and does not run the filter for them. */
    for (size_t i = 0; i < COUNT(checked_rules); i++) {
        if ((checked_rules[i].users & users) != 0) {
            emit_checked_rule(assembly, i);
        }
    }
    for (size_t i = 0; i < COUNT(rules); i++) {
        if ((rules[i].users & users) != 0) {
            emit_rule(assembly, rules[i].number);
        }
    }
    emit_rule(assembly, SKIPPED);
    if ((users & SECCOMP_NAMES) != 0) {
        /* The resolver tries MSG_FASTOPEN first and connects when that is not supported. */
        emit(assembly, BPF_IF_EQUAL, SYS_sendmsg, 0, 1);
        emit(assembly, BPF_RETURN, SECCOMP_ERRNO | EOPNOTSUPP, 0, 0);
    }
    emit(assembly, BPF_RETURN, SECCOMP_TRAP, 0, 0);
}

/* A call outside the list was made: name it and exit. A pipe that poll() reports writable
 * takes such a line without blocking (pipe(7)). */
static void on_violation(int number, siginfo_t *info, void *context)
{
    struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
    char line[96];
    size_t length =
        format(line, sizeof line, "sandbox: system call %d is not allowed: exit code %d\n",
               info->si_syscall, SECCOMP_EXIT);

    (void)number;
    (void)context;
    if (poll(&pfd, 1, 0) == 1 && pfd.revents == POLLOUT) {
        (void)!write(STDERR_FILENO, line, length);
    }
    _exit(SECCOMP_EXIT);
}

bool seccomp_restrict(unsigned users)
{
    struct sigaction action = {.sa_sigaction = on_violation, .sa_flags = SA_SIGINFO};
    struct assembly assembly;
    sigset_t ours;

    if (SECCOMP_MACHINE == 0) {
        errno = ENOTSUP;
        return false;
    }
    assemble(&assembly, users);
    struct bpf_program program = {.length = (unsigned short)assembly.length,
                                  .instructions = assembly.instructions};
    sigfillset(&action.sa_mask);
    sigaction(SIGSYS, &action, NULL);
    sigemptyset(&ours);
    sigaddset(&ours, SIGSYS);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL); /* the parent process may have blocked it */
    long result = syscall(SYS_seccomp, SECCOMP_SET_FILTER,
                          SECCOMP_ALL_THREADS | SECCOMP_KEEP_SPEED, &program);
    if (result > 0) { /* the ID of a thread that has another filter */
        errno = EACCES;
    }
    return result == 0;
}
