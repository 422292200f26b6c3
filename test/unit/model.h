/* model: for tests that compare a module with a model of it: promises, checked at each
 * step, and the choices that make the steps.
 *
 * In unit tests (model.c) the choices are random, the same in every run, and broken
 * promises are counted. In fuzz targets (fuzz.h) the fuzzer's bytes choose, and a broken
 * promise ends the process. */
#ifndef ECHOLAB_MODEL_H
#define ECHOLAB_MODEL_H

#include <stdint.h>

#define PROMISE(condition)                                                                 \
    ((condition) ? (void)0 : promise_broken(__FILE__, __LINE__, #condition))

/* Report on stderr a promise that does not hold. */
void promise_broken(const char *file, int line, const char *condition);

/* The next choice, 0 to n - 1. */
unsigned below(unsigned n);

/* ---- in unit tests only ----------------------------------------------------------------
 */

/* The number of broken promises so far. */
long promises_broken(void);

/* 64 random bits. */
uint64_t next_random(void);

#endif
