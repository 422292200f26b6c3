/* echo-client: reads its configuration, runs the probe's loop, a load or an examination,
 * exits (codes: exit_code.h). */
#include <stdbool.h>
#include <unistd.h>

#include "base/log.h"
#include "client/client.h"
#include "client/exit_code.h"
#include "config/program.h"
#include "examine/examine.h"
#include "examine/examine_report.h"
#include "load/load.h"
#include "load/load_report_csv.h"

/* How long to wait at the end for somebody to read the log. */
#define LOG_PATIENCE_MS 200

static int print_csv_header(const struct client_config *config)
{
    if (client_config_is_load(config) && config->load.report != LOAD_REPORT_CSV) {
        program_complain("--csv-header, --report: only CSV has columns; allowed: --csv");
        return CLIENT_USAGE;
    }
    return program_print(load_report_csv_header) ? CLIENT_ALL_ECHOED : CLIENT_FATAL;
}

/* Names of checks are known here only. */
static bool complain(const struct client_config *config)
{
    char mistake[EXAMINE_MISTAKE_TEXT];
    bool is_wrong = examine_mistake(config, mistake);

    if (is_wrong) {
        program_complain(mistake);
    }
    return is_wrong;
}

int main(int argc, char *argv[])
{
    struct client_config config;
    int code;

    int action = program_start(&client_program, argc, argv, &config, &code);
    if (action == CONFIG_EXIT) {
        return code;
    }
    bool is_load = client_config_is_load(&config);
    if (action == CLIENT_CSV_HEADER) {
        code = print_csv_header(&config);
        if (code != CLIENT_ALL_ECHOED || !is_load) {
            return code;
        }
    }
    bool is_examination = client_config_is_examination(&config);
    if (action == CLIENT_LIST_CHECKS) {
        return examine_list() ? CLIENT_ALL_ECHOED : CLIENT_FATAL;
    }
    if (complain(&config)) {
        return CLIENT_USAGE;
    }
    /* A report is what belongs on stdout. */
    log_open(is_load || is_examination ? STDERR_FILENO : STDOUT_FILENO,
             (enum log_level)config.log_level, (enum log_format)config.log_format);
    code = (int)(is_examination ? examine_run(&config)
                 : is_load      ? load_run(&config)
                                : client_run(&config));
    log_close(LOG_PATIENCE_MS);
    return code;
}
