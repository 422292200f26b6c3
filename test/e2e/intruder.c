/* intruder: makes a running process do a system call that it never meant to, as somebody who
 * took it over would: the next call that it begins becomes another one (ptrace(2)).
 *
 *     intruder PID NUMBER
 *
 * Exit: 0 done; 1 not. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifdef __x86_64__
int main(int argc, char *argv[])
{
    int status;

    if (argc != 3) {
        fprintf(stderr, "usage: intruder PID NUMBER\n");
        return 1;
    }
    pid_t pid = atoi(argv[1]);
    if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) == -1 || waitpid(pid, &status, __WALL) == -1 ||
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == -1) {
        perror("intruder");
        return 1;
    }
    /* It stands before a call, or behind the one that it was in: then once more. */
    for (int i = 0; i < 2; i++) {
        struct user_regs_struct registers;

        if (waitpid(pid, &status, __WALL) == -1 || !WIFSTOPPED(status) ||
            ptrace(PTRACE_GETREGS, pid, NULL, &registers) == -1) {
            perror("intruder");
            return 1;
        }
        if ((long)registers.rax == -38) { /* -ENOSYS: a call begins */
            ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax),
                   atol(argv[2]));
            break;
        }
        ptrace(PTRACE_SYSCALL, pid, NULL, NULL);
    }
    return ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0 ? 0 : 1;
}
#else
int main(void)
{
    fprintf(stderr, "intruder: knows the registers of x86-64 only\n");
    return 1;
}
#endif
