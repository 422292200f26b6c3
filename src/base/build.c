#include "base/build.h"

/* Only this file depends on the commit (Makefile). */
#ifndef ECHOLAB_REVISION
#define ECHOLAB_REVISION "unknown"
#endif

const char build_labels[] =
    "version=\"" ECHOLAB_VERSION "\",revision=\"" ECHOLAB_REVISION "\"";
