/* counter: a number that one thread changes and every thread may read. The owner's change
 * is a plain load and store, without a locked instruction; a reader gets a value that was
 * true a moment ago. */
#ifndef ECHOLAB_COUNTER_H
#define ECHOLAB_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* Zeroed, it is 0. */
struct counter {
    _Atomic uint64_t value;
};

static inline uint64_t counter_get(const struct counter *counter)
{
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

/* For the owner only. */
static inline void counter_set(struct counter *counter, uint64_t value)
{
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

/* For the owner only. To subtract, add the negative number: it wraps around. */
static inline void counter_add(struct counter *counter, uint64_t number)
{
    counter_set(counter, counter_get(counter) + number);
}

#endif
