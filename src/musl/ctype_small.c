/* ctype_small: glibc's table for isspace(3), which Debian's libinih reads, since it is
 * built for glibc. musl has one with all classes of characters, for such libraries only. */
#include <stddef.h>

#define IS_SPACE 0x2000 /* glibc's _ISspace, where the low byte comes first */

/* Returns the address of a pointer into a table: it points at the character 0, and those
 * from -128 to 255 have an entry. */
const unsigned short **__ctype_b_loc(void);

const unsigned short **__ctype_b_loc(void)
{
    static unsigned short table[128 + 256];
    static const unsigned short *zero;

    for (const char *space = " \t\n\v\f\r"; *space != '\0'; space++) {
        table[128 + *space] = IS_SPACE;
    }
    zero = table + 128;
    return &zero;
}
