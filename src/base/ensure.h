/* ensure: assertions that stay active in the shipped programs. They check our own code,
 * never input or results of system calls. assert(3) would bring stdio with it. */
#ifndef ECHOLAB_ENSURE_H
#define ECHOLAB_ENSURE_H

/* Do nothing if `condition` holds; otherwise write the file's name and the condition to
 * stderr, and abort(3). */
#define ensure(condition)                                                                  \
    ((condition) ? (void)0 : ensure_failed(__FILE__ ": " #condition "\n"))

_Noreturn void ensure_failed(const char *text);

#endif
