/* lesser_kernel: simulates a kernel that lacks a system call. */
#ifndef ECHOLAB_LESSER_KERNEL_H
#define ECHOLAB_LESSER_KERNEL_H

#include <errno.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/linux_abi.h"

/* From now on the call fails with ENOSYS in this process. */
static void forget_call(uint32_t number)
{
    const struct bpf_instruction filter[] = {
        {BPF_LOAD_WORD, 0, 0, SECCOMP_AT_NUMBER},
        {BPF_IF_EQUAL, 0, 1, number},
        {BPF_RETURN, 0, 0, 0x00050000 | ENOSYS}, /* SECCOMP_RET_ERRNO */
        {BPF_RETURN, 0, 0, SECCOMP_ALLOW},
    };
    struct bpf_program program = {4, filter};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    syscall(SYS_seccomp, SECCOMP_SET_FILTER, 0, &program);
}

#endif
