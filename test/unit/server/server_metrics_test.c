/* The server's table: its longest text fits, and it shows each number once. */
#include "server/server_metrics.h"

#include "tap.h"

/* How many numbers a row has. */
static size_t width(const struct metrics_row *row)
{
    size_t n = 0;

    while (row->label != NULL && row->label->values != NULL &&
           row->label->values[n] != NULL) {
        n++;
    }
    return n > 0 ? n : 1;
}

static void test_longest(void)
{
    static char text[METRICS_TEXT];
    uint64_t numbers[SERVER_NUMBERS];

    memset(numbers, 0xff, sizeof numbers);
    size_t length = metrics_print(&server_metrics, numbers, text);
    ok(length < METRICS_TEXT / 2, "the longest text is %zu bytes, far from the limit",
       length);
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        int width_of_line = (int)(strchr(line, '\n') - line);

        ok(width_of_line < METRICS_LINE / 2, "%.*s: far from the limit", width_of_line,
           line);
    }
}

static void test_numbers(void)
{
    unsigned shown[SERVER_NUMBERS] = {0};

    for (size_t i = 0; i < server_metrics.count; i++) {
        const struct metrics_row *row = &server_metrics.rows[i];

        for (size_t j = 0; j < width(row); j++) {
            shown[row->first + j]++;
        }
    }
    for (size_t i = 0; i < SERVER_NUMBERS; i++) {
        bool is_cut = i >= WORKER_CLOSED + WORKER_END_CUT && i < WORKER_NUMBERS;

        /* Cut connections are closed ones, too; those taken are the accepted ones. */
        is_int(shown[i], is_cut ? 2 : i != WORKER_TAKEN, "number %zu", i);
    }
}

int main(void)
{
    test_longest();
    test_numbers();
    return done();
}
