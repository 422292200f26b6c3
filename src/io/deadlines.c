#include "io/deadlines.h"

#include "base/table.h"

struct deadlines_entry {
    uint32_t key; /* at or before the descriptor's deadline */
    int fd;
};

struct deadlines_slot {
    uint32_t place; /* in the heap, plus 1; 0: not there, so that zeroed memory is valid */
    uint32_t due;   /* the deadline itself */
};

_Static_assert(sizeof(struct deadlines_entry) + sizeof(struct deadlines_slot) <= 16,
               "a part of the 49 bytes of an idle connection");

/* Serial number arithmetic (RFC 1982): correct across the wrap-around. */
static bool is_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

bool deadlines_reserve(struct deadlines *set, size_t capacity)
{
    if (capacity <= set->capacity) {
        return true;
    }
    const struct table_part parts[] = {{&set->heap, sizeof *set->heap},
                                       {&set->slots, sizeof *set->slots}};
    if (!table_grow_all(parts, 2, set->capacity, capacity)) {
        return false;
    }
    set->capacity = capacity;
    return true;
}

static void put(struct deadlines *set, size_t place, struct deadlines_entry entry)
{
    set->heap[place] = entry;
    set->slots[entry.fd].place = (uint32_t)place + 1;
}

static void sift_up(struct deadlines *set, size_t place, struct deadlines_entry entry)
{
    while (place > 0) {
        size_t parent = (place - 1) / 2;

        if (!is_before(entry.key, set->heap[parent].key)) {
            break;
        }
        put(set, place, set->heap[parent]);
        place = parent;
    }
    put(set, place, entry);
}

static void sift_down(struct deadlines *set, size_t place, struct deadlines_entry entry)
{
    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= set->count) {
            break;
        }
        if (child + 1 < set->count &&
            is_before(set->heap[child + 1].key, set->heap[child].key)) {
            child++;
        }
        if (!is_before(set->heap[child].key, entry.key)) {
            break;
        }
        put(set, place, set->heap[child]);
        place = child;
    }
    put(set, place, entry);
}

void deadlines_set(struct deadlines *set, int fd, uint32_t tick)
{
    struct deadlines_slot *slot = &set->slots[fd];
    struct deadlines_entry entry = {.key = tick, .fd = fd};

    slot->due = tick;
    if (slot->place == 0) {
        sift_up(set, set->count++, entry);
    } else if (is_before(tick, set->heap[slot->place - 1].key)) {
        sift_up(set, slot->place - 1, entry);
    }
}

void deadlines_clear(struct deadlines *set, int fd)
{
    if (set->slots[fd].place == 0) {
        return;
    }
    size_t place = set->slots[fd].place - 1;
    set->slots[fd].place = 0;
    struct deadlines_entry last = set->heap[--set->count];
    if (last.fd == fd) {
        return;
    }
    /* The last entry fills the gap: it may belong above or below it. */
    if (place > 0 && is_before(last.key, set->heap[(place - 1) / 2].key)) {
        sift_up(set, place, last);
    } else {
        sift_down(set, place, last);
    }
}

bool deadlines_next(const struct deadlines *set, uint32_t *tick)
{
    if (set->count == 0) {
        return false;
    }
    *tick = set->heap[0].key;
    return true;
}

int deadlines_take(struct deadlines *set, uint32_t now)
{
    while (set->count > 0 && !is_before(now, set->heap[0].key)) {
        struct deadlines_entry first = set->heap[0];
        uint32_t due = set->slots[first.fd].due;

        if (!is_before(now, due)) {
            deadlines_clear(set, first.fd);
            return first.fd;
        }
        first.key = due; /* it was postponed meanwhile */
        sift_down(set, 0, first);
    }
    return -1;
}

void deadlines_free(struct deadlines *set)
{
    table_free(&set->heap, set->capacity, sizeof *set->heap);
    table_free(&set->slots, set->capacity, sizeof *set->slots);
    *set = (struct deadlines){0};
}
