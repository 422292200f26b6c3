/* sandbox: what a program takes away from itself once it has all that it needs: new
 * privileges (no_new_privs, prctl(2)), files and ports (landlock.h), system calls
 * (seccomp.h). It is the same in Compose, Swarm, Kubernetes and without a container.
 *
 * In two steps, since Landlock holds for threads that are started later, and a program that
 * has its sockets and threads need not be able to make any:
 *
 *   sandbox_begin()      no_new_privs, Landlock
 *   ...                  start threads, open the listener
 *   sandbox_complete()   seccomp, for all threads; the log tells what there is
 *
 * With SANDBOX_AUTO a program goes without what the kernel refuses, with one warning. The
 * list of system calls is musl's: in a program built with another C library, for instance
 * for a sanitizer, SANDBOX_AUTO is the same as SANDBOX_OFF. */
#ifndef ECHOLAB_SANDBOX_H
#define ECHOLAB_SANDBOX_H

#include <stdbool.h>

#include "landlock.h"
#include "sandbox_mode.h"
#include "seccomp.h"

struct sandbox {
    enum sandbox_mode mode;
    int landlock_abi;  /* 0: no Landlock */
    char refused[160]; /* what the kernel refused, and why */
};

/* `access` is all that stays allowed; see landlock_restrict(). Returns false, and logs why,
 * if the mode is SANDBOX_ON and something was refused. */
bool sandbox_begin(struct sandbox *sandbox, enum sandbox_mode mode,
                   const struct landlock_access *access);

/* `users` says which calls stay allowed (enum seccomp_user). Returns as sandbox_begin(). */
bool sandbox_complete(struct sandbox *sandbox, unsigned users);

#endif
