/* libc_small: small versions of fgets(3), getc(3), if_nametoindex(3), mbstowcs(3),
 * qsort(3), strtoul(3) and strtoull(3), and of a function inside musl, for the few
 * addresses and short lines of getaddrinfo(3). They take the place of musl's in the client,
 * which are made for large inputs, all locales and streams, and cost 5 KiB; nothing else
 * there calls them. The worst case of qsort() is quadratic. */
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wchar.h>

/* The C library's headers use other names for the parameters, and strtoul() drops a
 * const. */
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

/* Insertion sort: [0, i) is sorted. */
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

char *fgets(char *restrict out, int room, FILE *restrict stream)
{
    int length = 0, c = 0;

    while (length + 1 < room && c != '\n' && (c = getc(stream)) != EOF) {
        out[length++] = (char)c;
    }
    out[length] = '\0';
    return length == 0 || ferror(stream) ? NULL : out;
}

/* In the C locale, the only one here, each byte is a character. */
size_t mbstowcs(wchar_t *out, const char *text, size_t room)
{
    size_t length = strlen(text);

    for (size_t i = 0; out != NULL && i < room && i <= length; i++) {
        out[i] = (unsigned char)text[i];
    }
    return out == NULL || length < room ? length : room;
}

/* The value of a digit; 36: it is none. */
static unsigned digit(char c)
{
    unsigned letter = ((unsigned char)c | 0x20U) - 'a';

    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : letter < 26 ? letter + 10 : 36;
}

unsigned long strtoul(const char *text, char **end, int base)
{
    const char *at = text + strspn(text, " \t\n\v\f\r");
    bool is_negative = *at == '-', is_over = false;
    unsigned long value = 0, radix = (unsigned long)base;

    at += *at == '-' || *at == '+';
    if ((radix == 0 || radix == 16) && at[0] == '0' && (at[1] | 0x20) == 'x' &&
        digit(at[2]) < 16) {
        at += 2;
        radix = 16;
    } else if (radix == 0) {
        radix = *at == '0' ? 8 : 10;
    }
    bool is_number = digit(*at) < radix;
    for (; digit(*at) < radix; at++) {
        is_over = __builtin_mul_overflow(value, radix, &value) ||
                  __builtin_add_overflow(value, digit(*at), &value) || is_over;
    }
    if (end != NULL) {
        *end = (char *)(size_t)(is_number ? at : text);
    }
    if (is_over) {
        errno = ERANGE;
        return ULONG_MAX;
    }
    return is_negative ? -value : value;
}

_Static_assert(sizeof(long) == sizeof(long long), "one function does for both");
unsigned long long strtoull(const char *text, char **end, int base)
{
    return strtoul(text, end, base);
}

/* musl's own, below getaddrinfo(): which ports and protocols a service has (lookup.h
 * there). Here it is always a number, for TCP; musl's also reads /etc/services. */
struct service {
    uint16_t port;
    unsigned char protocol, type;
};
int __lookup_serv(struct service *found, const char *name, int protocol, int type,
                  int flags);

int __lookup_serv(struct service *found, const char *name, int protocol, int type,
                  int flags)
{
    char *end = NULL;
    unsigned long port = strtoul(name, &end, 10);

    (void)protocol;
    (void)flags;
    if (end == name || *end != '\0' || port > UINT16_MAX || type != SOCK_STREAM) {
        return EAI_SERVICE;
    }
    *found = (struct service){(uint16_t)port, IPPROTO_TCP, SOCK_STREAM};
    return 1;
}

/* Without a lock: no stream is shared by threads. */
int getc(FILE *stream)
{
    return getc_unlocked(stream);
}

/* Uses a socket that the sandbox allows: musl's version uses a UNIX socket, which could
 * reach more. */
unsigned if_nametoindex(const char *name)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd == -1) {
        return 0;
    }
    memcpy(request.ifr_name, name, strnlen(name, sizeof request.ifr_name));
    bool is_there = ioctl(fd, SIOCGIFINDEX, &request) == 0;
    close(fd);
    return is_there ? (unsigned)request.ifr_ifindex : 0;
}

/* NOLINTEND(readability-*,performance-*) */
