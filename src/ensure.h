/* ensure: assertions about our own code that stay in the shipped programs. They are never
 * about input or the results of system calls. assert(3) would bring stdio with it. */
#ifndef ECHOLAB_ENSURE_H
#define ECHOLAB_ENSURE_H

/* Nothing if `condition` holds; otherwise tell where on stderr, and abort(3). */
#define ensure(condition)                                                                  \
    ((condition) ? (void)0 : ensure_failed(__FILE__ ": " #condition "\n"))

_Noreturn void ensure_failed(const char *text);

#endif
