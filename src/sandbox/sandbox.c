#include "sandbox/sandbox.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/events.h"
#include "base/format.h"
#include "base/log.h"

#ifdef __GLIBC__
#define IS_MUSL false
#else
#define IS_MUSL true
#endif

/* Note a refused part. Returns false, and logs the reason, if that is fatal. */
static bool refuse(struct sandbox *sandbox, const char *what, const char *why)
{
    size_t used = strlen(sandbox->refused);

    format(sandbox->refused + used, sizeof sandbox->refused - used, "%s%s: %s",
           used > 0 ? "; " : "", what, why);
    if (sandbox->mode == SANDBOX_ON) {
        log_event(EVENT_SANDBOX_REFUSED, sandbox->refused);
        return false;
    }
    return true;
}

bool sandbox_begin(struct sandbox *sandbox, enum sandbox_mode mode,
                   const struct landlock_access *access)
{
    *sandbox = (struct sandbox){.mode = mode};
    if (mode == SANDBOX_AUTO && !IS_MUSL) {
        sandbox->mode = SANDBOX_OFF;
    }
    if (sandbox->mode == SANDBOX_OFF) {
        return true;
    }
    if (!IS_MUSL) {
        return refuse(sandbox, "seccomp", "the C library is not musl");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1 &&
        !refuse(sandbox, "no_new_privs", strerror(errno))) {
        return false;
    }
    int abi = landlock_restrict(access);
    if (abi == -1) {
        return refuse(sandbox, "Landlock", strerror(errno));
    }
    sandbox->landlock_abi = abi;
    return true;
}

bool sandbox_complete(struct sandbox *sandbox, unsigned users)
{
    if (sandbox->mode == SANDBOX_OFF) {
        return true;
    }
    if (!seccomp_restrict(users) && !refuse(sandbox, "seccomp", strerror(errno))) {
        return false;
    }
    if (sandbox->refused[0] != '\0') {
        log_event(EVENT_SANDBOX_INCOMPLETE, sandbox->refused);
    } else {
        log_event(EVENT_SANDBOX_COMPLETE, sandbox->landlock_abi);
    }
    return true;
}
