/* sandbox_mode: what a configuration may say of the sandbox (sandbox.h). */
#ifndef ECHOLAB_SANDBOX_MODE_H
#define ECHOLAB_SANDBOX_MODE_H

enum sandbox_mode {
    SANDBOX_AUTO, /* as much as the kernel has; what it refuses is told */
    SANDBOX_ON, /* no_new_privs, Landlock (as far as the kernel's goes) and seccomp, or the
                 * program does not start */
    SANDBOX_OFF,
};

/* Names of the modes in the order of the enum, NULL at the end. */
extern const char *const sandbox_mode_names[];

#endif
