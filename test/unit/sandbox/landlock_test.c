/* What Landlock leaves, tried in processes of their own: it cannot be undone. */
#include "sandbox/landlock.h"

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
#include <unistd.h>

#include "child.h"
#include "lesser_kernel.h"
#include "sandbox/linux_abi.h"
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
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        _exit(landlock_restrict(access) > 0 ? take() : 200);
    }
    return child_status(pid);
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

    group("one file is named");
    is_int(behind(&one, read_file), 0, "it may be read");
    is_int(behind(&one, write_file), EACCES, "it may not be written");
    is_int(behind(&one, read_passwd), EACCES, "another one may not be read");
    is_int(behind(&one, remove_file), EACCES, "it may not be removed");
    is_int(behind(&one, replace_file), EACCES, "it may not be replaced");
    group("no file is named");
    is_int(behind(&nothing, read_file), EACCES, "a file may not be read");
    is_int(behind(&nothing, read_passwd), EACCES, "/etc/passwd may not be read");
    is_int(behind(&nothing, list_folder), EACCES, "no folder is listed");
    is_int(behind(&nothing, create_file), EACCES, "no file is created");
    is_int(behind(&nothing, execute), EACCES, "no program is executed");
    if (abi >= 3) {
        is_int(behind(&nothing, truncate_file), EACCES, "no file is truncated");
    } else {
        skip("this kernel's Landlock does not know truncation");
    }
    group("after all those");
    is_int(access(file, R_OK), 0, "the file is still there");
}

static void test_ports(int abi)
{
    const uint16_t to[] = {port}, any = 0, own = (uint16_t)(port ^ 1);
    const struct landlock_access nothing = {0};
    const struct landlock_access client = {.connect_ports = to, .connect_count = 1};
    const struct landlock_access source = {.bind_ports = &any, .bind_count = 1};
    const struct landlock_access server = {.bind_ports = &own, .bind_count = 1};

    group("ports");
    if (abi < 4) {
        skip("this kernel's Landlock does not know ports");
        return;
    }
    is_int(with_port(connect, port), 0, "somebody listens");
    group("a port to connect to is named");
    is_int(behind(&client, connect_to_port), 0, "it is connected to");
    is_int(behind(&client, connect_elsewhere), EACCES, "another one is not connected to");
    is_int(behind(&client, bind_any), EACCES, "none is bound");
    group("the port 0 to bind is named");
    is_int(behind(&source, bind_any), 0, "a port that the kernel chooses may be bound");
    is_int(behind(&source, bind_own), EACCES, "no other port is bound");
    is_int(behind(&source, connect_to_port), EACCES, "none is connected to");
    group("a port to bind is named");
    is_int(behind(&server, bind_own), 0, "it may be bound");
    is_int(behind(&server, bind_any), EACCES, "no port that the kernel chooses is bound");
    group("no port is named");
    is_int(behind(&nothing, connect_to_port), EACCES, "none is connected to");
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
        pid_t pid = fork();

        group("a kernel without call %u", call);
        if (pid == 0) {
            forget_call(call);
            bool is_told = landlock_restrict(&access) == -1 && errno == ENOSYS;
            exit(is_told && read_passwd() == 0 ? 0 : 1);
        }
        is_int(child_status(pid), 0, "ENOSYS, and nothing is restricted");
    }
}

static void test_abi(void)
{
    group("as in linux/landlock.h");
#ifdef HAS_KERNEL_HEADERS
    is_int(LANDLOCK_ASK_VERSION, LANDLOCK_CREATE_RULESET_VERSION,
           "the question for the version");
    is_int(LANDLOCK_PATH_RULE, LANDLOCK_RULE_PATH_BENEATH, "a rule for files");
    is_int(LANDLOCK_READ_FILE, LANDLOCK_ACCESS_FS_READ_FILE, "the right to read");
    is_int(LANDLOCK_FILES_1, 2 * LANDLOCK_ACCESS_FS_MAKE_SYM - 1, "all rights of ABI 1");
    is_int(sizeof(struct landlock_path_rule), sizeof(struct landlock_path_beneath_attr),
           "a rule's size");
#ifdef LANDLOCK_ACCESS_FS_REFER
    is_int(LANDLOCK_FILES_2, 2 * LANDLOCK_ACCESS_FS_REFER - 1, "all rights of ABI 2");
#endif
#ifdef LANDLOCK_ACCESS_FS_TRUNCATE
    is_int(LANDLOCK_FILES_3, 2 * LANDLOCK_ACCESS_FS_TRUNCATE - 1, "all rights of ABI 3");
#endif
#ifdef LANDLOCK_ACCESS_NET_BIND_TCP
    is_int(LANDLOCK_BIND, LANDLOCK_ACCESS_NET_BIND_TCP, "the right to bind");
    is_int(LANDLOCK_CONNECT, LANDLOCK_ACCESS_NET_CONNECT_TCP, "the right to connect");
    is_int(LANDLOCK_PORT_RULE, LANDLOCK_RULE_NET_PORT, "a rule for ports");
#endif
#ifdef LANDLOCK_ACCESS_FS_IOCTL_DEV
    is_int(LANDLOCK_FILES_5, 2 * LANDLOCK_ACCESS_FS_IOCTL_DEV - 1, "all rights of ABI 5");
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
    group("this kernel");
    if (abi < 1) {
        skip("it has no Landlock");
        is_int(landlock_restrict(&nothing), -1,
               "landlock_restrict() says that it has no Landlock");
        return done();
    }
    printf("# ABI %d\n", abi);
    int listener = listen_somewhere();
    if (!ok(mkdtemp(folder) != NULL && listener != -1,
            "a folder and a listener can be made")) {
        return done();
    }
    snprintf(file, sizeof file, "%s/file", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    is_int(open_with(file, O_RDWR | O_CREAT), 0, "a file can be made");
    test_files(abi);
    test_ports(abi);
    test_lesser_kernels();
    group("restricted");
    is_int(behind(&nothing, signal_parent), abi >= 6 ? EPERM : 0,
           "a signal to another process is %s", abi >= 6 ? "refused" : "allowed");
    /* Without no_new_privs, and not root. */
    pid_t pid = fork();
    if (pid == 0) {
        bool is_good = geteuid() != 0 || setuid(65534) == 0;

        _exit(is_good && landlock_restrict(&nothing) == -1 && errno == EPERM ? 0 : 1);
    }
    group("without no_new_privs");
    is_int(child_status(pid), 0, "the kernel refuses: EPERM");
    close(listener);
    unlink(file);
    rmdir(folder);
    return done();
}
