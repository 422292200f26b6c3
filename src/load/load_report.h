/* load_report: prints a load's result in one of its forms: tables for people
 * (load_report_text.h), a JSON object (load_report_json.h), a line of CSV
 * (load_report_csv.h), Prometheus' text (load_report_prometheus.h), HdrHistogram's text
 * (load_report_hgrm.h). */
#ifndef ECHOLAB_LOAD_REPORT_H
#define ECHOLAB_LOAD_REPORT_H

#include <stdbool.h>

#include "client/client_config.h"
#include "load/load_figures.h"

/* Print to `fd`. Returns false with errno set when that fails. */
bool load_report_print(const struct load_figures *figures, enum load_report_form form,
                       int fd);

#endif
