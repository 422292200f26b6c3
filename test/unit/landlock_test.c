/* What Landlock leaves, tried in processes of their own: it cannot be undone. */
#include "landlock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lesser_kernel.h"
#include "linux_abi.h"
#include "tap.h"

#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#define HAS_KERNEL_HEADERS 1
#endif

static char file[64], other[64], folder[] = "/tmp/landlock_test.XXXXXX";
static uint16_t port; /* somebody listens there */

/* A step in the restricted process: returns 0 or an errno. */
typedef int step(void);

/* Restrict a new process and take the step. Returns what it returned; 200: not restricted.
 */
static int behind(const struct landlock_access *access, step *take)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(landlock_restrict(access) > 0 ? take() : 200);
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int open_with(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd == -1) {
        return errno;
    }
    close(fd);
    return 0;
}

static int read_file(void)
{
    return open_with(file, O_RDONLY);
}

static int write_file(void)
{
    return open_with(file, O_WRONLY);
}

static int read_passwd(void)
{
    return open_with("/etc/passwd", O_RDONLY);
}

static int list_folder(void)
{
    return open_with(folder, O_RDONLY | O_DIRECTORY);
}

static int create_file(void)
{
    return open_with(other, O_RDWR | O_CREAT | O_EXCL);
}

static int remove_file(void)
{
    return unlink(file) == 0 ? 0 : errno;
}

static int truncate_file(void)
{
    return truncate(file, 0) == 0 ? 0 : errno;
}

static int replace_file(void)
{
    return rename(file, other) == 0 ? 0 : errno;
}

static int execute(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return errno;
}

static int signal_parent(void)
{
    return kill(getppid(), 0) == 0 ? 0 : errno;
}

static int with_port(int (*call)(int, const struct sockaddr *, socklen_t), uint16_t number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(number)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int error = call(fd, (const struct sockaddr *)&to, sizeof to) == 0 ? 0 : errno;
    close(fd);
    return error;
}

static int connect_to_port(void)
{
    return with_port(connect, port);
}

static int connect_elsewhere(void)
{
    return with_port(connect, port == 9 ? 7 : 9);
}

static int bind_any(void)
{
    return with_port(bind, 0);
}

/* Somebody may have that port; Landlock is asked before (security_socket_bind()). */
static int bind_own(void)
{
    int error = with_port(bind, (uint16_t)(port ^ 1));

    return error == EADDRINUSE ? 0 : error;
}

/* A listener, whose port is `port` from now on. */
static int listen_somewhere(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (const struct sockaddr *)&at, sizeof at) == -1 || listen(fd, 8) == -1 ||
        getsockname(fd, (struct sockaddr *)&at, &length) == -1) {
        return -1;
    }
    port = ntohs(at.sin_port);
    return fd;
}

static void test_files(int abi)
{
    const char *const files[] = {file, "/nonexistent/file"};
    const struct landlock_access nothing = {0};
    const struct landlock_access one = {.files = files, .file_count = 2};

    is_int(behind(&one, read_file), 0, "a file that is named may be read");
    is_int(behind(&one, write_file), EACCES, "... not written");
    is_int(behind(&one, read_passwd), EACCES, "... another one may not be read");
    is_int(behind(&one, remove_file), EACCES, "... nor it be removed");
    is_int(behind(&one, replace_file), EACCES, "... or replaced");
    is_int(behind(&nothing, read_file), EACCES, "nothing is named: it may not be read");
    is_int(behind(&nothing, read_passwd), EACCES, "... nor /etc/passwd");
    is_int(behind(&nothing, list_folder), EACCES, "... no folder listed");
    is_int(behind(&nothing, create_file), EACCES, "... no file created");
    is_int(behind(&nothing, execute), EACCES, "... no program executed");
    if (abi >= 3) {
        is_int(behind(&nothing, truncate_file), EACCES, "... no file truncated");
    } else {
        skip("this kernel's Landlock does not know truncation");
    }
    is_int(access(file, R_OK), 0, "the file is still there");
}

static void test_ports(int abi)
{
    const uint16_t to[] = {port}, any = 0, own = (uint16_t)(port ^ 1);
    const struct landlock_access nothing = {0};
    const struct landlock_access client = {.connect_ports = to, .connect_count = 1};
    const struct landlock_access source = {.bind_ports = &any, .bind_count = 1};
    const struct landlock_access server = {.bind_ports = &own, .bind_count = 1};

    if (abi < 4) {
        skip("this kernel's Landlock does not know ports");
        return;
    }
    is_int(with_port(connect, port), 0, "somebody listens");
    is_int(behind(&client, connect_to_port), 0, "a port that is named is connected to");
    is_int(behind(&client, connect_elsewhere), EACCES, "... another one is not");
    is_int(behind(&client, bind_any), EACCES, "... and none is bound");
    is_int(behind(&source, bind_any), 0, "a port that the kernel chooses may be bound");
    is_int(behind(&source, bind_own), EACCES, "... no other");
    is_int(behind(&source, connect_to_port), EACCES, "... and none connected to");
    is_int(behind(&server, bind_own), 0, "a port that is named may be bound");
    is_int(behind(&server, bind_any), EACCES, "... no other");
    is_int(behind(&nothing, connect_to_port), EACCES, "nothing is named: no connection");
}

/* Call by call, a kernel that lacks it: nothing is restricted, and that is told. */
static void test_lesser_kernels(void)
{
    const char *const files[] = {file, "/nonexistent/file"};
    const uint16_t ports[] = {port, 0};
    const struct landlock_access access = {.files = files,
                                           .file_count = 2,
                                           .connect_ports = ports,
                                           .connect_count = 1,
                                           .bind_ports = ports,
                                           .bind_count = 2};

    for (uint32_t call = 444; call <= 446; call++) { /* create, add_rule, restrict_self */
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            forget_call(call);
            bool is_told = landlock_restrict(&access) == -1 && errno == ENOSYS;
            exit(is_told && read_passwd() == 0 ? 0 : 1);
        }
        waitpid(pid, &status, 0);
        is_int(status, 0, "a kernel without call %u: ENOSYS, and nothing is restricted",
               call);
    }
}

static void test_abi(void)
{
#ifdef HAS_KERNEL_HEADERS
    is_int(LANDLOCK_ASK_VERSION, LANDLOCK_CREATE_RULESET_VERSION, "as in linux/landlock.h");
    is_int(LANDLOCK_PATH_RULE, LANDLOCK_RULE_PATH_BENEATH, "a rule for files");
    is_int(LANDLOCK_READ_FILE, LANDLOCK_ACCESS_FS_READ_FILE, "to read");
    is_int(LANDLOCK_FILES_1, 2 * LANDLOCK_ACCESS_FS_MAKE_SYM - 1, "all of ABI 1");
    is_int(sizeof(struct landlock_path_rule), sizeof(struct landlock_path_beneath_attr),
           "a rule's size");
#ifdef LANDLOCK_ACCESS_FS_REFER
    is_int(LANDLOCK_FILES_2, 2 * LANDLOCK_ACCESS_FS_REFER - 1, "all of ABI 2");
#endif
#ifdef LANDLOCK_ACCESS_FS_TRUNCATE
    is_int(LANDLOCK_FILES_3, 2 * LANDLOCK_ACCESS_FS_TRUNCATE - 1, "all of ABI 3");
#endif
#ifdef LANDLOCK_ACCESS_NET_BIND_TCP
    is_int(LANDLOCK_BIND, LANDLOCK_ACCESS_NET_BIND_TCP, "to bind");
    is_int(LANDLOCK_CONNECT, LANDLOCK_ACCESS_NET_CONNECT_TCP, "to connect");
    is_int(LANDLOCK_PORT_RULE, LANDLOCK_RULE_NET_PORT, "a rule for ports");
#endif
#ifdef LANDLOCK_ACCESS_FS_IOCTL_DEV
    is_int(LANDLOCK_FILES_5, 2 * LANDLOCK_ACCESS_FS_IOCTL_DEV - 1, "all of ABI 5");
#endif
#ifdef LANDLOCK_SCOPE_SIGNAL
    is_int(LANDLOCK_SCOPED, LANDLOCK_SCOPE_SIGNAL | LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET,
           "the scopes");
#endif
#else
    skip("the kernel's headers are not seen by this compiler");
#endif
}

int main(void)
{
    int abi = (int)syscall(444, NULL, 0, LANDLOCK_ASK_VERSION);
    const struct landlock_access nothing = {0};

    test_abi();
    if (abi < 1) {
        skip("this kernel has no Landlock");
        is_int(landlock_restrict(&nothing), -1, "... and that is told");
        return done();
    }
    printf("# ABI %d\n", abi);
    int listener = listen_somewhere();
    if (!ok(mkdtemp(folder) != NULL && listener != -1, "a folder and a listener")) {
        return done();
    }
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    is_int(open_with(file, O_RDWR | O_CREAT), 0, "a file");
    test_files(abi);
    test_ports(abi);
    test_lesser_kernels();
    is_int(behind(&nothing, signal_parent), abi >= 6 ? EPERM : 0, "a signal to another");
    /* Without no_new_privs, and not root. */
    pid_t pid = fork();
    int status = 0;
    if (pid == 0) {
        bool is_good = geteuid() != 0 || setuid(65534) == 0;

        _exit(is_good && landlock_restrict(&nothing) == -1 && errno == EPERM ? 0 : 1);
    }
    waitpid(pid, &status, 0);
    is_int(status, 0, "without no_new_privs the kernel refuses: EPERM");
    close(listener);
    unlink(file);
    rmdir(folder);
    return done();
}
