#include "server/health.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/format.h"
#include "config/program.h"
#include "io/net.h"
#include "io/probe.h"

/* The whole check must end within a second. */
#define STEP_NS (450 * CLOCK_MS)

/* Checks that may wait to be accepted. */
#define BACKLOG 16

/* The names of all UNIX sockets of the network namespace, a line each (proc(5)). */
#define NAMES_FILE "/proc/net/unix"

/* "echo-server/pid:[4026531836]/": the prefix of the names of this PID namespace's
 * servers. */
static void name_prefix(char out[NET_ABSTRACT_TEXT])
{
    char space[32] = ""; /* without /proc one for all */

    (void)!readlink("/proc/self/ns/pid", space, sizeof space - 1);
    format(out, NET_ABSTRACT_TEXT, "echo-server/%s/", space);
}

int health_listen(int listener)
{
    char prefix[NET_ABSTRACT_TEXT], name[NET_ABSTRACT_TEXT], address[NET_ADDRESS_TEXT];

    name_prefix(prefix);
    format(name, sizeof name, "%s%s", prefix, net_local_text(listener, address));
    return net_listen_abstract(name, BACKLOG);
}

/* ---- finding the server ----------------------------------------------------------------
 */

/* The servers of this PID namespace. */
struct search {
    char prefix[NET_ABSTRACT_TEXT];
    char name[NET_ABSTRACT_TEXT]; /* the last one that begins with the prefix */
    unsigned count;               /* of those */
};

/* A line ends with its socket's name, if that has one; '@' stands for the leading NUL. */
static void look_at(struct search *search, const char *line)
{
    const char *name = strstr(line, " @");

    if (name == NULL || strncmp(name + 2, search->prefix, strlen(search->prefix)) != 0) {
        return;
    }
    if (strcmp(search->name, name + 2) != 0) { /* each connection has its listener's name */
        search->count++;
        format(search->name, sizeof search->name, "%s", name + 2);
    }
}

/* Look at the names of all UNIX sockets; none where they cannot be read. */
static void find_names(struct search *search)
{
    char text[4096];
    size_t used = 0;
    ssize_t n;
    int fd = open(NAMES_FILE, O_RDONLY | O_CLOEXEC);

    if (fd == -1) {
        return;
    }
    while ((n = read(fd, text + used, sizeof text - 1 - used)) > 0) {
        char *line = text, *end;

        used += (size_t)n;
        text[used] = '\0';
        while ((end = strchr(line, '\n')) != NULL) {
            *end = '\0';
            look_at(search, line);
            line = end + 1;
        }
        used -= (size_t)(line - text);
        memmove(text, line, used);
        used = used == sizeof text - 1 ? 0 : used; /* a line that long is not ours */
    }
    close(fd);
}

/* ---- the check -------------------------------------------------------------------------
 */

/* Connect to the server with this address and the configured port. */
static int connect_by_name(const struct server_config *config, const char *prefix,
                           const char *host)
{
    struct net_address address;
    char text[NET_ADDRESS_TEXT], name[NET_ABSTRACT_TEXT];

    net_numeric(host, (uint16_t)config->port, &address);
    format(name, sizeof name, "%s%s", prefix, net_address_text(&address, text));
    return net_connect_abstract(name);
}

static int connect_to_server(const struct server_config *config, bool is_any)
{
    struct search search = {.count = 0};

    name_prefix(search.prefix);
    if (is_any) {
        find_names(&search);
    }
    if (search.count == 1) {
        return net_connect_abstract(search.name);
    }
    int fd = connect_by_name(config, search.prefix, config->address);
    /* Without IPv6 the server listens on 0.0.0.0 instead of "::". */
    return fd == -1 && strcmp(config->address, "::") == 0
               ? connect_by_name(config, search.prefix, "0.0.0.0")
               : fd;
}

int health_check(const struct server_config *config, bool is_any)
{
    static const char message[] = "echo-server --healthcheck\n";
    struct probe probe;

    probe_start(&probe, message, sizeof message - 1, true, STEP_NS);
    int fd = connect_to_server(config, is_any);
    if (fd == -1) {
        probe_fail(&probe, probe_outcome_of(errno), errno);
    } else {
        probe_wait(&probe, fd, -1);
        close(fd);
    }
    bool is_healthy = probe.outcome == PROBE_ECHOED;
    program_print(is_healthy ? "healthy" : probe_outcome_names[probe.outcome]);
    program_print("\n");
    return is_healthy ? 0 : 1;
}
