#include "base/metrics.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/ensure.h"
#include "base/events.h"
#include "base/format.h"
#include "base/log.h"

static const char *const types[] = {"gauge", "counter", "histogram"};

/* One series: name, labels, number. `value` is that of its label. */
static char *print_series(const char *prefix, const struct metrics_row *row,
                          const char *value, uint64_t number, char *at)
{
    const struct metrics_label *label = row->label;
    uint64_t unit = row->is_ns ? CLOCK_S : 1;

    at += format(at, METRICS_LINE,
                 label == NULL   ? "%s%s "
                 : value == NULL ? "%s%s{%s} "
                                 : "%s%s{%s=\"%s\"} ",
                 prefix, row->name, label == NULL ? NULL : label->name, value);
    return at + format(at, METRICS_LINE,
                       row->is_ns ? "%" PRIu64 ".%09" PRIu64 "\n" : "%" PRIu64 "\n",
                       number / unit, number % unit);
}

static char *print_row(const struct metrics *metrics, const struct metrics_row *row,
                       const uint64_t *numbers, char *at)
{
    const char *const *value = row->label != NULL ? row->label->values : NULL;
    const char *prefix = strncmp(row->name, "process_", 8) == 0 ? "" : metrics->prefix;

    at += format(at, METRICS_LINE, "# HELP %s%s %s\n# TYPE %s%s %s\n", prefix, row->name,
                 row->help, prefix, row->name, types[row->type]);
    if (row->type == METRICS_HISTOGRAM) {
        return metrics->histogram(at, prefix, row->name, numbers);
    }
    do {
        at = print_series(prefix, row, value != NULL ? *value++ : NULL, *numbers++, at);
    } while (value != NULL && *value != NULL);
    return at;
}

size_t metrics_print(const struct metrics *metrics, const uint64_t *numbers, char *out)
{
    char *at = out;

    for (size_t i = 0; i < metrics->count; i++) {
        at = print_row(metrics, &metrics->rows[i], numbers + metrics->rows[i].first, at);
    }
    ensure(at < out + METRICS_TEXT);
    return (size_t)(at - out);
}

void metrics_log(const char *text, size_t size)
{
    const char *end = text + size;

    for (const char *line = text; line < end;) {
        size_t length = (size_t)((const char *)memchr(line, '\n', size) - line);

        if (*line != '#') {
            int name = (int)((const char *)memrchr(line, ' ', length) - line);

            log_event(EVENT_COUNTERS, name, line, (int)length - name - 1, line + name + 1);
        }
        line += length + 1;
    }
}
