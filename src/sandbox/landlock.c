#include "sandbox/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/linux_abi.h"

/* The numbers are the same on all machines; some C libraries are older than the calls. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

/* All that a kernel of this ABI can deny. Fields that the kernel does not know must be
 * 0. */
static struct landlock_ruleset everything(long abi)
{
    struct landlock_ruleset all = {.files = abi >= 5   ? LANDLOCK_FILES_5
                                            : abi >= 3 ? LANDLOCK_FILES_3
                                            : abi == 2 ? LANDLOCK_FILES_2
                                                       : LANDLOCK_FILES_1};

    all.net = abi >= 4 ? LANDLOCK_BIND | LANDLOCK_CONNECT : 0;
    all.scoped = abi >= 6 ? LANDLOCK_SCOPED : 0;
    return all;
}

/* A file that is missing or out of reach needs no rule. */
static bool allow_file(int ruleset, const char *path)
{
    struct landlock_path_rule rule = {.allowed = LANDLOCK_READ_FILE,
                                      .fd = open(path, O_PATH | O_CLOEXEC)};

    if (rule.fd == -1) {
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    }
    long result = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_RULE, &rule, 0);
    int saved = errno;
    close(rule.fd);
    errno = saved;
    return result == 0;
}

static bool allow_files(int ruleset, const struct landlock_access *access)
{
    for (size_t i = 0; i < access->file_count; i++) {
        if (!allow_file(ruleset, access->files[i])) {
            return false;
        }
    }
    return true;
}

static bool allow_ports(int ruleset, uint64_t allowed, const uint16_t *ports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct landlock_port_rule rule = {.allowed = allowed, .port = ports[i]};

        if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PORT_RULE, &rule, 0) != 0) {
            return false;
        }
    }
    return true;
}

int landlock_restrict(const struct landlock_access *access)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_ASK_VERSION);

    if (abi < 1) {
        return -1;
    }
    struct landlock_ruleset all = everything(abi);
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (ruleset == -1) {
        return -1;
    }
    bool is_good =
        allow_files(ruleset, access) &&
        (all.net == 0 ||
         (allow_ports(ruleset, LANDLOCK_CONNECT, access->connect_ports,
                      access->connect_count) &&
          allow_ports(ruleset, LANDLOCK_BIND, access->bind_ports, access->bind_count))) &&
        syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    int saved = errno;
    close(ruleset);
    errno = saved;
    return is_good ? (int)abi : -1;
}
