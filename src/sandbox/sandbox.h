/* sandbox: the rights that a program gives up once it has all that it needs: new privileges
 * (no_new_privs, prctl(2)), files and ports (landlock.h), system calls (seccomp.h). The
 * sandbox is the same in Compose, Swarm, Kubernetes and without a container.
 *
 * There are two steps. Landlock holds only for threads that are started later, so it comes
 * before them. The filter of system calls comes when sockets and threads exist, so it need
 * not allow new ones:
 *
 *   sandbox_begin()      no_new_privs, Landlock
 *   ...                  start threads, open the listener
 *   sandbox_complete()   seccomp, for all threads; logs the result
 *
 * With SANDBOX_AUTO a program runs without the parts that the kernel refuses, and logs one
 * warning. The list of system calls is made for musl: in a program built with another C
 * library, for instance for a sanitizer, SANDBOX_AUTO is the same as SANDBOX_OFF. */
#ifndef ECHOLAB_SANDBOX_H
#define ECHOLAB_SANDBOX_H

#include <stdbool.h>

#include "sandbox/landlock.h"
#include "sandbox/sandbox_mode.h"
#include "sandbox/seccomp.h"

struct sandbox {
    enum sandbox_mode mode;
    int landlock_abi;  /* 0: no Landlock */
    char refused[160]; /* the parts that the kernel refused, with reasons */
};

/* The first step. `access` is all that stays allowed; see landlock_restrict(). Returns
 * false, and logs the reason, if the mode is SANDBOX_ON and a part was refused. */
bool sandbox_begin(struct sandbox *sandbox, enum sandbox_mode mode,
                   const struct landlock_access *access);

/* The second step. `users` selects the calls that stay allowed (enum seccomp_user). Returns
 * as sandbox_begin(). */
bool sandbox_complete(struct sandbox *sandbox, unsigned users);

#endif
