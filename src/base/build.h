/* build: which version of the program this is. */
#ifndef ECHOLAB_BUILD_H
#define ECHOLAB_BUILD_H

/* Version and commit as the labels of a metric: version="0.1.0",revision="1a2b...". */
extern const char build_labels[];

#endif
