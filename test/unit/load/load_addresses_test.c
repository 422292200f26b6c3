/* What look-ups find becomes the addresses of a load. The thread and its look-ups are
 * tested with a name server (test/e2e/process/names.t). */
#include "load/load_addresses.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tap.h"

static struct client_config config;
static struct load_addresses *addresses;

static void begin(void)
{
    config.load.address_policy = LOAD_ROUND_ROBIN;
    free(addresses);
    addresses = calloc(1, sizeof *addresses);
    addresses->config = &config;
}

static struct net_address numeric(const char *text)
{
    struct net_address address;

    memset(&address, 0, sizeof address);
    ok(net_numeric(text, 7, &address), "%s is an address", text);
    return address;
}

int main(void)
{
    struct net_address a = numeric("192.0.2.1"), b = numeric("192.0.2.2"),
                       six = numeric("2001:db8::1"), found[3];

    group("addresses of a name");
    begin();
    found[0] = a, found[1] = b;
    ok(load_addresses_take(addresses, found, 2), "there are two");
    is_int(atomic_load(&addresses->count), 2, "they have numbers");
    is_int(atomic_load(&addresses->current), 3, "both are the name's");
    found[0] = six, found[1] = b;
    ok(load_addresses_take(addresses, found, 2), "one is replaced");
    is_int(atomic_load(&addresses->count), 3, "the new one has a new number");
    is_int(atomic_load(&addresses->current), 6, "the old one is not the name's any more");
    found[0] = a;
    ok(load_addresses_take(addresses, found, 1), "it comes back");
    is_int(atomic_load(&addresses->current), 1, "with its old number");
    ok(!load_addresses_take(addresses, found, 0), "none at all");
    is_int(atomic_load(&addresses->current), 1, "changes nothing");

    group("sources");
    addresses->sources = &six;
    addresses->source_count = 1;
    found[0] = a, found[1] = six;
    ok(load_addresses_take(addresses, found, 2), "one of two can be reached");
    is_int(atomic_load(&addresses->current), 4, "it is the one of the source's family");
    found[0] = a;
    ok(!load_addresses_take(addresses, found, 1), "none can be reached");
    is_int(atomic_load(&addresses->current), 4, "that changes nothing");

    group("policy first");
    begin();
    config.load.address_policy = LOAD_FIRST;
    found[0] = b, found[1] = a;
    ok(load_addresses_take(addresses, found, 2), "there are two");
    is_int(atomic_load(&addresses->count), 1, "one is taken");

    group("more than there is room for");
    begin();
    for (unsigned i = 0; i < LOAD_ADDRESSES_MAX + 2; i++) {
        found[0] = a;
        ((unsigned char *)&found[0].storage)[7] = (unsigned char)i;
        if (load_addresses_take(addresses, found, 1) != (i < LOAD_ADDRESSES_MAX)) {
            ok(false, "address %u", i);
        }
    }
    is_int(atomic_load(&addresses->count), LOAD_ADDRESSES_MAX, "those are not used");
    ok(atomic_load(&addresses->current) == UINT64_C(1) << 63, "the last one stays");
    load_addresses_want(addresses);
    ok(!atomic_load(&addresses->is_wanted), "without the thread nothing is looked up");
    load_addresses_end(addresses);
    free(addresses);
    return done();
}
