/* load_report_prometheus: a load's result in Prometheus' text format (version 0.0.4), for
 * the folder of a node exporter's textfile collector or for a push gateway.
 *
 * All figures are of one load that is over, so but for the histograms they are gauges: the
 * next load begins anew. Each has the target as a label, so that the files of loads to
 * several targets go together in one folder. Times are in seconds. */
#ifndef ECHOLAB_LOAD_REPORT_PROMETHEUS_H
#define ECHOLAB_LOAD_REPORT_PROMETHEUS_H

#include "io/output.h"
#include "load/load_figures.h"

void load_report_prometheus_put(struct output *output, const struct load_figures *figures);

#endif
