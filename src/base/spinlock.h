/* spinlock: a lock for a few steps of several threads, during which nobody blocks. A mutex
 * would be 1.5 KiB of the C library. ATOMIC_FLAG_INIT, or all zero, is unlocked. */
#ifndef ECHOLAB_SPINLOCK_H
#define ECHOLAB_SPINLOCK_H

#include <sched.h>
#include <stdatomic.h>

static inline void spinlock_lock(atomic_flag *lock)
{
    while (atomic_flag_test_and_set_explicit(lock, memory_order_acquire)) {
        sched_yield();
    }
}

static inline void spinlock_unlock(atomic_flag *lock)
{
    atomic_flag_clear_explicit(lock, memory_order_release);
}

#endif
