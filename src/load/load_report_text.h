/* load_report_text: a load's result as tables for people. */
#ifndef ECHOLAB_LOAD_REPORT_TEXT_H
#define ECHOLAB_LOAD_REPORT_TEXT_H

#include "io/output.h"
#include "load/load_figures.h"

void load_report_text_put(struct output *output, const struct load_figures *figures);

#endif
