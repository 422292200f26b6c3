#include "load/load_addresses.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/thread.h"
#include "io/fdwait.h"
#include "io/resolve.h"
#include "load/load_sources.h"

/* From the begin of a look-up to the next. */
#define PAUSE_NS CLOCK_S

/* The number of an address, which is new or not; LOAD_ADDRESSES_MAX: there is no room. */
static uint32_t number_of(struct load_addresses *addresses, const struct net_address *found)
{
    uint32_t count = atomic_load(&addresses->count);

    for (uint32_t i = 0; i < count; i++) {
        const struct net_address *one = &addresses->list[i];

        if (one->length == found->length &&
            memcmp(&one->storage, &found->storage, one->length) == 0) {
            return i;
        }
    }
    if (count < LOAD_ADDRESSES_MAX) {
        addresses->list[count] = *found;
        atomic_store(&addresses->count, count + 1);
    }
    return count;
}

bool load_addresses_take(struct load_addresses *addresses, struct net_address *found,
                         size_t count)
{
    uint64_t current = 0;

    count = load_sources_reach(addresses->sources, addresses->source_count, found, count);
    if (count > 1 && addresses->config->load.address_policy == LOAD_FIRST) {
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t number = number_of(addresses, &found[i]);

        current |= number < LOAD_ADDRESSES_MAX ? UINT64_C(1) << number : 0;
    }
    if (current != 0) {
        atomic_store(&addresses->current, current);
    }
    return current != 0;
}

static void look_up(struct load_addresses *addresses)
{
    struct net_address found[RESOLVE_MAX];
    char host[NET_HOST_TEXT];
    uint16_t port;
    uint64_t took_ns;
    bool is_asking;
    const char *why;

    net_split(addresses->config->load.target, host, &port);
    size_t count = resolve_wait(host, port, addresses->config->timeout_ns,
                                addresses->stop_fd, found, &took_ns, &is_asking, &why);
    if (count > 0) {
        histogram_record(addresses->resolve, took_ns);
        load_addresses_take(addresses, found, count);
    }
}

static void *follow(void *argument)
{
    struct load_addresses *addresses = argument;
    int stop_fd = addresses->stop_fd;
    char byte;

    while (fdwait(addresses->wake[0], POLLIN, UINT64_MAX, stop_fd) > 0) {
        uint64_t begin = clock_now_ns();

        (void)!read(addresses->wake[0], &byte, 1);
        atomic_store(&addresses->is_wanted, false);
        look_up(addresses);
        fdwait(-1, 0, begin + PAUSE_NS, stop_fd);
    }
    return NULL;
}

int load_addresses_follow(struct load_addresses *addresses, int stop_fd)
{
    addresses->stop_fd = stop_fd;
    if (pipe2(addresses->wake, O_CLOEXEC) == -1) {
        return errno;
    }
    int error = thread_start(&addresses->thread, follow, addresses);
    addresses->is_followed = error == 0;
    if (error != 0) {
        close(addresses->wake[0]);
        close(addresses->wake[1]);
    }
    return error;
}

void load_addresses_want(struct load_addresses *addresses)
{
    if (addresses->is_followed && !atomic_exchange(&addresses->is_wanted, true)) {
        (void)!write(addresses->wake[1], "", 1);
    }
}

void load_addresses_end(struct load_addresses *addresses)
{
    if (addresses->is_followed) {
        pthread_join(addresses->thread, NULL);
        close(addresses->wake[0]);
        close(addresses->wake[1]);
    }
}
