#include "load/load_report.h"

#include <stddef.h>

#include "io/output.h"
#include "load/load_report_csv.h"
#include "load/load_report_hgrm.h"
#include "load/load_report_json.h"
#include "load/load_report_prometheus.h"
#include "load/load_report_text.h"

/* Those that are for an examination have no row. */
static void (*const forms[])(struct output *, const struct load_figures *) = {
    [LOAD_REPORT_TEXT] = load_report_text_put,
    [LOAD_REPORT_JSON] = load_report_json_put,
    [LOAD_REPORT_CSV] = load_report_csv_put,
    [LOAD_REPORT_NONE] = NULL,
    [LOAD_REPORT_PROMETHEUS] = load_report_prometheus_put,
    [LOAD_REPORT_HGRM] = load_report_hgrm_put,
};

bool load_report_print(const struct load_figures *figures, enum load_report_form form,
                       int fd)
{
    struct output output = {.fd = fd};

    if (forms[form] != NULL) {
        forms[form](&output, figures);
    }
    return output_flush(&output);
}
