/* The sandbox as the programs enter it, in processes of their own; and on kernels that have
 * less, played by a filter that answers ENOSYS. */
#include "sandbox/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "child.h"
#include "lesser_kernel.h"
#include "sandbox/linux_abi.h"
#include "tap.h"

#define LANDLOCK_CALL 444 /* landlock_create_ruleset */

/* Enter as a server does, on a kernel that forgot a call (0: none), and take a step. The
 * process's end: 0 all is well; 100, 101 begin, complete failed. `said` gets its log. */
static int enter(enum sandbox_mode mode, uint32_t forgotten, void (*step)(void), char *said,
                 size_t size)
{
    int ends[2];

    said[0] = '\0';
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == -1) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        const uint16_t port = 1;
        const struct landlock_access access = {.bind_ports = &port, .bind_count = 1};
        struct sandbox sandbox;
        int code = 0;

        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        if (forgotten != 0) {
            forget_call(forgotten);
        }
        log_open(ends[1], LOG_DEBUG, LOG_TEXT);
        code = !sandbox_begin(&sandbox, mode, &access)       ? 100
               : !sandbox_complete(&sandbox, SECCOMP_SERVER) ? 101
                                                             : 0;
        log_flush();
        if (code == 0) {
            step();
        }
        syscall(SYS_exit_group, code);
    }
    int status = child_status(pid);
    ssize_t length = read(ends[0], said, size - 1);
    said[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    close(ends[1]);
    return status;
}

/* Of its first line, for a test's name. */
static int line_length(const char *text)
{
    return (int)strcspn(text, "\n");
}

static void nothing(void)
{
}

static void open_passwd(void)
{
    (void)!open("/etc/passwd", O_RDONLY);
}

static void make_process(void)
{
    /* The C library's fork() blocks SIGSYS meanwhile. */
    if (syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
        syscall(SYS_exit_group, 0);
    }
}

static void execute(void)
{
    execl("/bin/false", "false", (char *)NULL);
}

static void make_socket(void)
{
    (void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void bind_elsewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};

    (void)!bind(STDIN_FILENO, (const struct sockaddr *)&at, sizeof at);
}

static void connect_away(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(7)};

    (void)!connect(STDIN_FILENO, (const struct sockaddr *)&to, sizeof to);
}

static void kill_parent(void)
{
    kill(getppid(), 0);
}

#ifdef __GLIBC__

static void test_other_library(void)
{
    char said[512];

    group("another C library than musl");
    is_int(enter(SANDBOX_AUTO, 0, open_passwd, said, sizeof said), 0,
           "auto: there is no sandbox");
    is_str(said, "", "auto: nothing is said");
    is_int(enter(SANDBOX_ON, 0, nothing, said, sizeof said), 100, "on: it does not start");
    ok(strstr(said, "ERROR no sandbox: seccomp: the C library is not musl; allowed: ") !=
           NULL,
       "on: it says why: %.*s", line_length(said), said);
}

#else

static void test_server(void)
{
    static const struct {
        const char *what;
        void (*step)(void);
    } steps[] = {
        {"open /etc/passwd", open_passwd}, {"fork", make_process},
        {"execute a program", execute},    {"make a socket", make_socket},
        {"bind a port", bind_elsewhere},   {"connect", connect_away},
        {"signal another", kill_parent},
    };
    char said[512];

    group("a server's sandbox");
    is_int(enter(SANDBOX_ON, 0, nothing, said, sizeof said), 0, "on: it is entered");
    ok(strstr(said, "DEBUG sandbox: no_new_privs, Landlock ABI ") != NULL &&
           strstr(said, ", seccomp\n") != NULL,
       "on: it says what there is: %.*s", line_length(said), said);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        is_int(enter(SANDBOX_ON, 0, steps[i].step, said, sizeof said), SECCOMP_EXIT,
               "on: it cannot %s", steps[i].what);
        is_int(enter(SANDBOX_OFF, 0, steps[i].step, said, sizeof said),
               steps[i].step == execute ? 1 : 0, "off: it can %s", steps[i].what);
        is_str(said, "", "off: nothing is said");
    }
}

static void test_lesser_kernels(bool has_landlock)
{
    static const struct {
        uint32_t forgotten;
        int code; /* with SANDBOX_ON */
        const char *told;
    } kernels[] = {
        {LANDLOCK_CALL, 100, "Landlock: Function not implemented"},
        {SYS_seccomp, 101, "seccomp: Function not implemented"},
    };
    char said[512], wanted[256];

    /* Where there is no Landlock at all, it is what is missing in each case. */
    size_t count = has_landlock ? sizeof kernels / sizeof kernels[0] : 1;

    for (size_t i = 0; i < count; i++) {
        uint32_t forgotten = kernels[i].forgotten;

        group("a kernel without %.*s", (int)strcspn(kernels[i].told, ":"), kernels[i].told);
        is_int(enter(SANDBOX_ON, forgotten, nothing, said, sizeof said), kernels[i].code,
               "on: it does not start");
        snprintf(wanted, sizeof wanted, "ERROR no sandbox: %s; allowed: sandbox = auto\n",
                 kernels[i].told);
        ok(strstr(said, wanted) != NULL, "on: it says why: %.*s", line_length(said), said);
        is_int(enter(SANDBOX_AUTO, forgotten, nothing, said, sizeof said), 0,
               "auto: it goes without");
        snprintf(wanted, sizeof wanted, "WARN  the sandbox is not complete: %s\n",
                 kernels[i].told);
        ok(strstr(said, wanted) != NULL, "auto: it says what is missing: %.*s",
           line_length(said), said);
        ok(strchr(said, '\n') == said + strlen(said) - 1, "auto: it says so in one line");
    }
    group("auto");
    is_int(enter(SANDBOX_AUTO, LANDLOCK_CALL, open_passwd, said, sizeof said), SECCOMP_EXIT,
           "without Landlock there is still seccomp");
    if (has_landlock) {
        is_int(enter(SANDBOX_AUTO, SYS_seccomp, execute, said, sizeof said), 0,
               "without seccomp there is still Landlock: a program is not executed");
    }
}

#endif

int main(void)
{
#ifdef __GLIBC__
    (void)make_process, (void)execute, (void)make_socket, (void)bind_elsewhere;
    (void)connect_away, (void)kill_parent;
    test_other_library();
#else
    bool has_landlock = syscall(LANDLOCK_CALL, NULL, 0, LANDLOCK_ASK_VERSION) >= 1;

    if (has_landlock) {
        test_server();
    } else {
        skip("this kernel has no Landlock");
    }
    test_lesser_kernels(has_landlock);
#endif
    return done();
}
