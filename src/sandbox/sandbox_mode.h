/* sandbox_mode: the choices of the setting `sandbox` (sandbox.h). */
#ifndef ECHOLAB_SANDBOX_MODE_H
#define ECHOLAB_SANDBOX_MODE_H

enum sandbox_mode {
    SANDBOX_AUTO, /* as far as the kernel can; a refused part is logged */
    SANDBOX_ON, /* no_new_privs, Landlock (as far as the kernel's ABI goes) and seccomp, or
                   the program does not start */
    SANDBOX_OFF,
};

/* Names of the modes in the order of the enum, NULL at the end. */
extern const char *const sandbox_mode_names[];

#endif
