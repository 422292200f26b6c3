/* small: if_nametoindex(3); qsort(3) and strstr(3) for the few addresses and short lines
 * that getaddrinfo(3) uses them for. They take the place of musl's, which are made for
 * large inputs and cost 3 KiB, in the client; nothing else there calls them. Worst cases
 * are quadratic. */
#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The C library's headers have names of their own for the parameters, and strstr() takes a
 * const away. */
/* NOLINTBEGIN(readability-*,performance-*) */

/* Exchange two elements of `size` bytes. */
static void exchange(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char byte = a[i];

        a[i] = b[i];
        b[i] = byte;
    }
}

/* Insertion sort: [0, i) is in order already. */
void qsort(void *base, size_t count, size_t size,
           int (*compare)(const void *, const void *))
{
    char *elements = base;

    for (size_t i = 1; i < count; i++) {
        for (char *e = elements + i * size; e > elements && compare(e - size, e) > 0;
             e -= size) {
            exchange(e - size, e, size);
        }
    }
}

char *strstr(const char *text, const char *wanted)
{
    size_t length = strlen(wanted);

    for (; strncmp(text, wanted, length) != 0; text++) {
        if (*text == '\0') {
            return NULL;
        }
    }
    return (char *)(size_t)text; /* as the standard says: without its const */
}

/* By a socket that the sandbox knows: musl's asks by a UNIX one, which could reach more. */
unsigned if_nametoindex(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return 0;
    }
    strncpy(request.ifr_name, name, sizeof request.ifr_name);
    bool is_there = ioctl(fd, SIOCGIFINDEX, &request) == 0;
    close(fd);
    return is_there ? (unsigned)request.ifr_ifindex : 0;
}

/* NOLINTEND(readability-*,performance-*) */
