/* load_report_csv: a load's result as one line of CSV. */
#ifndef ECHOLAB_LOAD_REPORT_CSV_H
#define ECHOLAB_LOAD_REPORT_CSV_H

#include "io/output.h"
#include "load/load_figures.h"

/* The names of the columns, as a line. */
extern const char load_report_csv_header[];

void load_report_csv_put(struct output *output, const struct load_figures *figures);

#endif
