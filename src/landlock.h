/* landlock: what this thread, and the threads and processes that it starts, may still open
 * and reach (landlock(7)). Descriptors that are open already stay as they are. */
#ifndef ECHOLAB_LANDLOCK_H
#define ECHOLAB_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

/* All that stays allowed; what is not named is not. */
struct landlock_access {
    const char *const *files; /* may be read: the files that have these names now */
    size_t file_count;
    const uint16_t *connect_ports; /* TCP ports, of any address */
    size_t connect_count;
    const uint16_t *bind_ports; /* 0: one that the kernel chooses */
    size_t bind_count;
};

/* Deny every access to files but this one, to TCP ports but these (the kernel's ABI 4 and
 * later; not MSG_FASTOPEN and MPTCP, which seccomp.c denies), and signals and abstract UNIX
 * sockets to others (6 and later). Needs
 * no_new_privs (PR_SET_NO_NEW_PRIVS, prctl(2)) or CAP_SYS_ADMIN. Returns the kernel's ABI,
 * 1 or more; or -1 with errno: ENOSYS (it has none), EOPNOTSUPP (it is switched off),
 * EPERM, E2BIG (16 layers already), EMFILE ... */
int landlock_restrict(const struct landlock_access *access);

#endif
