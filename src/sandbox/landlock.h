/* landlock: limits the access to files, ports and other processes for this thread and the
 * threads and processes that it starts (landlock(7)). Descriptors that are open already
 * stay as they are. */
#ifndef ECHOLAB_LANDLOCK_H
#define ECHOLAB_LANDLOCK_H

#include <stddef.h>
#include <stdint.h>

/* The accesses that stay allowed; all others are denied. */
struct landlock_access {
    const char *const *files; /* readable: the files that have these names now */
    size_t file_count;
    const uint16_t *connect_ports; /* TCP ports, of any address */
    size_t connect_count;
    const uint16_t *bind_ports; /* 0: a port that the kernel chooses */
    size_t bind_count;
};

/* Deny all access to files and TCP ports but `access`, and signals and abstract UNIX
 * sockets to other processes. Ports need the kernel's ABI 4 or later (and do not include
 * MSG_FASTOPEN and MPTCP, which seccomp.c denies), signals and UNIX sockets ABI 6 or later.
 * Needs no_new_privs (PR_SET_NO_NEW_PRIVS, prctl(2)) or CAP_SYS_ADMIN. Returns the kernel's
 * ABI, 1 or more; or -1 with errno: ENOSYS (not in the kernel), EOPNOTSUPP (switched off),
 * EPERM, E2BIG (16 layers already), EMFILE ... */
int landlock_restrict(const struct landlock_access *access);

#endif
