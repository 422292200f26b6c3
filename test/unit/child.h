/* child: child processes of a test, for steps that cannot be undone or end in a signal. */
#ifndef ECHOLAB_CHILD_H
#define ECHOLAB_CHILD_H

#include <sys/types.h>

/* Wait for the end of the child. Returns its exit code, or 128 plus the number of the
 * signal that killed it. */
int child_status(pid_t pid);

#endif
