#include "examine/examine_report.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/format.h"
#include "base/latency.h"

/* ---- what all forms say -------------------------------------------------------------- */

/* What there is to tell of a check, and the names for it: its texts, and what was seen. */
enum { ID, TITLE, SENT, EXPECTED, SEEN, WHY, FIELDS };
static const char *const field_names[FIELDS] = {"id",       "title", "sent",
                                                "expected", "seen",  "why"};

static void take_fields(const struct check *check, const char *seen,
                        const char *fields[FIELDS])
{
    for (int i = 0; i < FIELDS; i++) {
        fields[i] = i == SEEN ? seen : check_text(check, (enum check_text)(i - (i > SEEN)));
    }
}

/* A row for each field but id and title. */
static void put_rows(struct output *output, const struct check *check, const char *seen,
                     const char *indent)
{
    const char *fields[FIELDS];

    take_fields(check, seen, fields);
    for (int i = SENT; i < FIELDS; i++) {
        if (fields[i] != NULL) {
            output_put(output, "%s%-9s %s\n", indent, field_names[i], fields[i]);
        }
    }
}

/* How many checks have this result; `demanded` of them. */
static unsigned count(const struct examine_report *report, enum check_result result)
{
    return report->counts[false][result] + report->counts[true][result];
}

/* A failure that is no reason to fail. */
static bool is_note(const struct check_finding *finding)
{
    return finding->result == CHECK_FAILED && !finding->is_demanded;
}

/* The traits, with commas between. */
static void put_traits(struct examine_report *report)
{
    for (size_t i = 0; i < report->character->count; i++) {
        output_put(&report->output, "%s%s", i > 0 ? ", " : "",
                   report->character->traits[i]);
    }
}

static void put_seconds(struct output *output, uint64_t ns)
{
    output_put(output, "%" PRIu64 ".%03u", ns / CLOCK_S,
               (unsigned)(ns % CLOCK_S / CLOCK_MS));
}

/* A text for XML, be it an attribute or between tags; or for a string of JSON. */
static void put_safe(struct output *output, const char *text, bool is_xml)
{
    for (; *text != '\0'; text++) {
        bool is_special = strchr(is_xml ? "&<>\"" : "\"\\", *text) != NULL;

        output_put(output, !is_special ? "%c" : is_xml ? "&#%d;" : "\\%c", *text);
    }
}

static void put_attribute(struct output *output, const char *name, const char *text)
{
    output_put(output, " %s=\"", name);
    put_safe(output, text, true);
    output_put(output, "\"");
}

static void put_member(struct output *output, const char *name, const char *text)
{
    output_put(output, "\"%s\":\"", name);
    put_safe(output, text, false);
    output_put(output, "\",");
}

/* ---- for people ---------------------------------------------------------------------- */

static void put_text_check(struct output *output, const struct check *check,
                           const struct check_finding *finding)
{
    static const char labels[][5] = {"skip", "pass", "FAIL"};
    char took[LATENCY_TEXT];

    bool is_skipped = finding->result == CHECK_SKIPPED;
    output_put(output, "  %s  %-12s %s (%s)\n",
               is_note(finding) ? "note" : labels[finding->result],
               check_text(check, CHECK_ID), check_text(check, CHECK_TITLE),
               is_skipped ? finding->seen : latency_text(took, finding->took_ns));
    if (finding->result == CHECK_FAILED) {
        put_rows(output, check, finding->seen, "          ");
    }
}

static void put_text_end(struct examine_report *report)
{
    struct output *output = &report->output;
    const unsigned *demanded = report->counts[true];
    unsigned bad = demanded[CHECK_FAILED] + demanded[CHECK_SKIPPED];

    output_put(output, "\n%u passed, %u failed, %u skipped\n", count(report, CHECK_PASSED),
               count(report, CHECK_FAILED), count(report, CHECK_SKIPPED));
    if (report->character->count > 0) {
        output_put(output, "The server: ");
        put_traits(report);
        output_put(output, ".\n");
    }
    output_put(output, "%s: %u of %u demanded checks passed.\n",
               bad == 0 ? "Good" : "Not good", demanded[CHECK_PASSED],
               demanded[CHECK_PASSED] + bad);
}

/* ---- TAP ----------------------------------------------------------------------------- */

static void put_tap_check(struct examine_report *report, const struct check *check,
                          const struct check_finding *finding)
{
    struct output *output = &report->output;
    bool is_skipped = finding->result == CHECK_SKIPPED;

    output_put(output, "%sok %u - %s: %s%s%s\n",
               finding->result == CHECK_FAILED ? "not " : "", report->printed,
               check_text(check, CHECK_ID), check_text(check, CHECK_TITLE),
               is_skipped         ? " # SKIP "
               : is_note(finding) ? " # TODO not demanded"
                                  : "",
               is_skipped ? finding->seen : "");
    if (finding->result == CHECK_FAILED) {
        put_rows(output, check, finding->seen, "# ");
    }
}

/* ---- JSON ---------------------------------------------------------------------------- */

static void put_json_begin(struct examine_report *report)
{
    struct output *output = &report->output;

    output_put(output, "{");
    put_member(output, "target", report->config->examine.target);
    put_member(output, "version", ECHOLAB_VERSION);
    output_put(output, "\"checks\":[");
}

static void put_json_check(struct examine_report *report, const struct check *check,
                           const struct check_finding *finding)
{
    static const char results[][5] = {"skip", "pass", "fail"};
    struct output *output = &report->output;
    const char *fields[FIELDS];

    take_fields(check, finding->seen, fields);
    output_put(output, report->printed > 1 ? ",{" : "{");
    for (int i = 0; i < FIELDS; i++) {
        put_member(output, field_names[i], fields[i]);
    }
    put_member(output, "result", results[finding->result]);
    output_put(output,
               "\"demanded\":%s,\"seconds\":", finding->is_demanded ? "true" : "false");
    put_seconds(output, finding->took_ns);
    output_put(output, "}");
}

static void put_json_end(struct examine_report *report, unsigned exit_code)
{
    struct output *output = &report->output;

    output_put(output, "],\"character\":[");
    for (size_t i = 0; i < report->character->count; i++) {
        output_put(output, "%s\"%s\"", i > 0 ? "," : "", report->character->traits[i]);
    }
    output_put(output, "],\"passed\":%u,\"failed\":%u,\"skipped\":%u,\"exit_code\":%u}\n",
               count(report, CHECK_PASSED), count(report, CHECK_FAILED),
               count(report, CHECK_SKIPPED), exit_code);
}

/* ---- JUnit --------------------------------------------------------------------------- */

static void put_junit_check(struct output *output, const struct check *check,
                            const struct check_finding *finding)
{
    const char *fields[FIELDS];

    take_fields(check, finding->seen, fields);
    output_put(output, "<testcase classname=\"examine\" name=\"%s\" time=\"",
               check_text(check, CHECK_ID));
    put_seconds(output, finding->took_ns);
    output_put(output, "\">");
    if (finding->result != CHECK_PASSED) {
        bool is_failure = finding->result == CHECK_FAILED && finding->is_demanded;

        output_put(output, is_failure ? "<failure" : "<skipped");
        put_attribute(output, "message", finding->seen);
        output_put(output, "/>");
    }
    output_put(output, "<system-out>");
    for (int i = TITLE; i < FIELDS; i++) {
        output_put(output, "%s: ", field_names[i]);
        put_safe(output, fields[i], true);
        output_put(output, "\n");
    }
    output_put(output, "</system-out></testcase>\n");
}

/* It begins with the counts, so all comes at the end. */
static void put_junit(struct examine_report *report)
{
    struct output *output = &report->output;
    unsigned failures = report->counts[true][CHECK_FAILED];

    output_put(output, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite");
    put_attribute(output, "name", report->config->examine.target);
    output_put(output, " tests=\"%u\" failures=\"%u\" errors=\"0\" skipped=\"%u\" time=\"",
               report->printed, failures,
               report->printed - count(report, CHECK_PASSED) - failures);
    put_seconds(output, report->took_ns);
    output_put(output, "\">\n<properties><property name=\"character\" value=\"");
    put_traits(report);
    output_put(output, "\"/></properties>\n");
    for (size_t i = 0; i < check_count; i++) {
        if (report->findings[i].is_selected) {
            put_junit_check(output, &checks[i], &report->findings[i]);
        }
    }
    output_put(output, "</testsuite>\n");
}

/* ---- all of them --------------------------------------------------------------------- */

void examine_report_begin(struct examine_report *report, size_t chosen)
{
    struct output *output = &report->output;

    if (report->form == LOAD_REPORT_TEXT) {
        output_put(output, "echo-client " ECHOLAB_VERSION ": is %s an echo server?\n\n",
                   report->config->examine.target);
    } else if (report->form == LOAD_REPORT_TAP) {
        output_put(output, "TAP version 13\n1..%zu\n", chosen);
    } else if (report->form == LOAD_REPORT_JSON) {
        put_json_begin(report);
    }
    output_flush(output);
}

void examine_report_check(struct examine_report *report, size_t i)
{
    const struct check_finding *finding = &report->findings[i];

    report->printed++;
    report->took_ns += finding->took_ns;
    report->counts[finding->is_demanded][finding->result]++;
    if (report->form == LOAD_REPORT_TEXT) {
        put_text_check(&report->output, &checks[i], finding);
    } else if (report->form == LOAD_REPORT_TAP) {
        put_tap_check(report, &checks[i], finding);
    } else if (report->form == LOAD_REPORT_JSON) {
        put_json_check(report, &checks[i], finding);
    }
    output_flush(&report->output);
}

bool examine_report_end(struct examine_report *report, unsigned exit_code)
{
    if (report->form == LOAD_REPORT_TEXT) {
        put_text_end(report);
    } else if (report->form == LOAD_REPORT_TAP) {
        output_put(&report->output, "# the server: ");
        put_traits(report);
        output_put(&report->output, "\n");
    } else if (report->form == LOAD_REPORT_JSON) {
        put_json_end(report, exit_code);
    } else if (report->form == LOAD_REPORT_JUNIT) {
        put_junit(report);
    }
    return output_flush(&report->output);
}

bool examine_list(void)
{
    struct output output = {.fd = STDOUT_FILENO};

    for (size_t i = 0; i < check_count; i++) {
        const struct check *check = &checks[i];

        output_put(&output, "%s: %s%s\n", check_text(check, CHECK_ID),
                   check_text(check, CHECK_TITLE),
                   check->is_demanded     ? ""
                   : check->is_asked_only ? " (only with --idle or by its name)"
                                          : " (not demanded)");
        put_rows(&output, check, NULL, "    ");
    }
    return output_flush(&output);
}
