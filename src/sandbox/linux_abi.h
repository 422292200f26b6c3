/* linux_abi: the kernel's interface for seccomp and Landlock, for which the C library has
 * no names. The kernel's own headers are often older than the kernel, and Alpine has them
 * in a separate package; the numbers never change. seccomp_test and landlock_test compare
 * them with the system's headers.
 *
 * Sources: seccomp(2), linux/seccomp.h, linux/filter.h, linux/audit.h; landlock(7),
 * linux/landlock.h. */
#ifndef ECHOLAB_LINUX_ABI_H
#define ECHOLAB_LINUX_ABI_H

#include <stddef.h>
#include <stdint.h>

/* ---- classic BPF, as seccomp(2) runs it ------------------------------------------------
 */

/* struct sock_filter and struct sock_fprog */
struct bpf_instruction {
    uint16_t code;
    uint8_t if_true, if_false; /* instructions to skip */
    uint32_t k;
};

struct bpf_program {
    unsigned short length;
    const struct bpf_instruction *instructions;
};

enum {
    BPF_LOAD_WORD = 0x20,    /* BPF_LD | BPF_W | BPF_ABS: from struct seccomp_data */
    BPF_AND_CONSTANT = 0x54, /* BPF_ALU | BPF_AND | BPF_K */
    BPF_IF_EQUAL = 0x15,     /* BPF_JMP | BPF_JEQ | BPF_K */
    BPF_RETURN = 0x06,       /* BPF_RET | BPF_K */
};

/* Offsets in struct seccomp_data. */
enum {
    SECCOMP_AT_NUMBER = 0,
    SECCOMP_AT_MACHINE = 4,    /* AUDIT_ARCH_... */
    SECCOMP_AT_ARGUMENTS = 16, /* 8 bytes each */
};

#define SECCOMP_TRAP  UINT32_C(0x00030000) /* SECCOMP_RET_TRAP */
#define SECCOMP_ERRNO UINT32_C(0x00050000) /* SECCOMP_RET_ERRNO, with an errno */
#define SECCOMP_ALLOW UINT32_C(0x7fff0000) /* SECCOMP_RET_ALLOW */

enum {
    SECCOMP_SET_FILTER = 1,  /* the operation SECCOMP_SET_MODE_FILTER */
    SECCOMP_ALL_THREADS = 1, /* SECCOMP_FILTER_FLAG_TSYNC */
    SECCOMP_KEEP_SPEED = 4,  /* SECCOMP_FILTER_FLAG_SPEC_ALLOW */
};

#if defined __x86_64__
#define SECCOMP_MACHINE UINT32_C(0xc000003e) /* AUDIT_ARCH_X86_64 */
#elif defined __aarch64__ && defined __AARCH64EL__
#define SECCOMP_MACHINE UINT32_C(0xc00000b7) /* AUDIT_ARCH_AARCH64 */
#else
#define SECCOMP_MACHINE UINT32_C(0) /* there is no checked list of calls */
#endif

/* ---- Landlock, ABI 1 to 6 --------------------------------------------------------------
 */

/* struct landlock_ruleset_attr: what is denied unless a rule allows it. */
struct landlock_ruleset {
    uint64_t files, net, scoped;
};

/* struct landlock_path_beneath_attr */
struct landlock_path_rule {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

/* struct landlock_net_port_attr */
struct landlock_port_rule {
    uint64_t allowed, port;
};

enum {
    LANDLOCK_ASK_VERSION = 1, /* LANDLOCK_CREATE_RULESET_VERSION */
    LANDLOCK_PATH_RULE = 1,   /* LANDLOCK_RULE_PATH_BENEATH */
    LANDLOCK_PORT_RULE = 2,   /* LANDLOCK_RULE_NET_PORT, from ABI 4 on */
    LANDLOCK_READ_FILE = 1 << 2,
    LANDLOCK_FILES_1 = (1 << 13) - 1, /* all of LANDLOCK_ACCESS_FS_... of ABI 1 */
    LANDLOCK_FILES_2 = (1 << 14) - 1, /* REFER */
    LANDLOCK_FILES_3 = (1 << 15) - 1, /* TRUNCATE */
    LANDLOCK_FILES_5 = (1 << 16) - 1, /* IOCTL_DEV */
    LANDLOCK_BIND = 1 << 0,           /* LANDLOCK_ACCESS_NET_BIND_TCP */
    LANDLOCK_CONNECT = 1 << 1,        /* LANDLOCK_ACCESS_NET_CONNECT_TCP */
    LANDLOCK_SCOPED = 3,              /* abstract UNIX sockets and signals, from ABI 6 on */
};

#endif
