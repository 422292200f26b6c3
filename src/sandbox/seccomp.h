/* seccomp: a filter of system calls (seccomp(2)). A call outside the list of the filter's
 * users ends the process at once: with SECCOMP_EXIT and a line on stderr that names the
 * call, if stderr takes it without blocking. In a signal handler, where SIGSYS is blocked,
 * that signal ends the process.
 *
 * The list is the table in seccomp.c; seccomp_test tries every call number. It includes
 * restart_syscall, without which poll(2) fails after SIGSTOP and SIGCONT, a pause of the
 * container or a tracer's attach. */
#ifndef ECHOLAB_SECCOMP_H
#define ECHOLAB_SECCOMP_H

#include <stdbool.h>

/* The exit code of a process that made a call outside its list. */
#define SECCOMP_EXIT 8

/* The users of the filter; several may be joined by |. */
enum seccomp_user {
    SECCOMP_SERVER = 1,   /* its listener is open and its threads run */
    SECCOMP_CLIENT = 2,   /* connects, sends, receives */
    SECCOMP_LOAD = 4,     /* the same, with threads, timers and a poll set */
    SECCOMP_NAMES = 8,    /* getaddrinfo(3) in threads of its own */
    SECCOMP_SOURCES = 16, /* binds its sockets before it connects them */
    SECCOMP_ADMIN = 32,   /* a client that serves an admin address (admin.h, process.h) */
};

/* From now on all threads of this process, and those that they start, can make only the
 * calls of these users. Needs no_new_privs (prctl(2)) or CAP_SYS_ADMIN. Returns false with
 * errno: ENOSYS, EINVAL (the kernel has no filters), EACCES (not allowed, or not for all
 * threads), ENOTSUP (there is no list for this machine). */
bool seccomp_restrict(unsigned users);

#endif
