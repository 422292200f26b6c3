/* load_report_hgrm: the distribution of a load's replies as HdrHistogram's percentile text,
 * which is known as .hgrm and read by its plotters.
 *
 * Value Percentile TotalCount 1/(1-Percentile): four columns with blanks before them, from
 * the shortest reply on in five steps for each half of what is left to 100 %, the last line
 * without the fourth; then three lines that begin with #[ (HdrHistogram's
 * AbstractHistogram: outputPercentileDistribution(); its plotFiles.html; hdr-plot, which
 * wants the blanks). Values are milliseconds, as the plotters take them to be, to the
 * nanosecond. In an open loop they count since a message was due. */
#ifndef ECHOLAB_LOAD_REPORT_HGRM_H
#define ECHOLAB_LOAD_REPORT_HGRM_H

#include "io/output.h"
#include "load/load_figures.h"

void load_report_hgrm_put(struct output *output, const struct load_figures *figures);

#endif
