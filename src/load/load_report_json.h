/* load_report_json: a load's result as one JSON object. */
#ifndef ECHOLAB_LOAD_REPORT_JSON_H
#define ECHOLAB_LOAD_REPORT_JSON_H

#include "io/output.h"
#include "load/load_figures.h"

void load_report_json_put(struct output *output, const struct load_figures *figures);

#endif
