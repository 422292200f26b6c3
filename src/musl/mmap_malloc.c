/* mmap_malloc: malloc(3) for programs that allocate seldom and mostly large blocks. Each
 * block is a mapping of its own (mmap(2)): freed memory is back with the kernel at once, a
 * use after free faults, and the code is small. It takes the place of musl's in the shipped
 * programs, which musl allows (malloc, calloc, realloc and free together; README.md); the
 * builds with sanitizers have their own. It is thread-safe: it has no state. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

/* The C library's headers use other names for the parameters. */
/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name) */

/* In front of each block; as large as the strictest alignment. */
union header {
    size_t mapped; /* bytes, with this header */
    max_align_t align;
};

#define PAGE ((size_t)4096)

/* The bytes of the mapping for a block of `size` bytes; 0: too large. */
static size_t mapping(size_t size)
{
    return size > PTRDIFF_MAX - PAGE - sizeof(union header)
               ? 0
               : (size + sizeof(union header) + PAGE - 1) & ~(PAGE - 1);
}

static void *block_in(void *mapped, size_t length)
{
    union header *header = mapped;

    if (mapped == MAP_FAILED) {
        errno = ENOMEM;
        return NULL;
    }
    header->mapped = length;
    return header + 1;
}

void *malloc(size_t size)
{
    size_t length = mapping(size);

    /* A length of 0 fails, as it should. */
    return block_in(
        mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
        length);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;

    return malloc(__builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
}

void *realloc(void *block, size_t size)
{
    size_t length = mapping(size);

    if (block == NULL) {
        return malloc(size);
    }
    union header *header = (union header *)block - 1;
    return block_in(mremap(header, header->mapped, length, MREMAP_MAYMOVE), length);
}

void free(void *block)
{
    int error = errno;

    if (block != NULL) {
        union header *header = (union header *)block - 1;

        munmap(header, header->mapped);
    }
    errno = error;
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */
