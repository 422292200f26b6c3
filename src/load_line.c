#include "load_line.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "format.h"
#include "latency.h"

#define WIDTH_STANDARD 80

unsigned load_line_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : WIDTH_STANDARD;
}

void load_line_start(struct load_line *line, const struct load_config *config,
                     uint64_t begin_ns)
{
    line->config = config;
    line->begin_ns = line->drawn_ns = begin_ns;
}

/* [#####.....] */
static void draw_bar(char *out, size_t size, uint64_t done, uint64_t whole)
{
    unsigned filled = (unsigned)(done >= whole ? 10 : done * 10 / whole);

    format(out, size, "[%.*s%.*s] ", (int)filled, "##########", 10 - (int)filled,
           "..........");
}

/* Bring the distribution that is shown up to date, once all threads gave theirs. */
static void merge(struct load_line *line, struct load_live *live, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (atomic_load(&live[i].state) == LOAD_LIVE_WANTED) {
            return;
        }
    }
    memset(&line->reply, 0, sizeof line->reply);
    for (unsigned i = 0; i < count; i++) {
        int there = LOAD_LIVE_THERE;

        histogram_merge(&line->reply, &live[i].reply);
        atomic_compare_exchange_strong(&live[i].state, &there, LOAD_LIVE_WANTED);
    }
}

void load_line_draw(struct load_line *line, struct load_live *live, unsigned count,
                    uint64_t start_ns, uint64_t now_ns)
{
    const struct load_config *config = line->config;
    uint64_t echoed = 0, errors = 0, open = 0;
    char text[256], bar[24] = "", elapsed[LATENCY_TEXT], p50[LATENCY_TEXT],
                    p99[LATENCY_TEXT];

    merge(line, live, count);
    for (unsigned i = 0; i < count; i++) {
        echoed += atomic_load_explicit(&live[i].echoed, memory_order_relaxed);
        errors += atomic_load_explicit(&live[i].errors, memory_order_relaxed);
        open += atomic_load_explicit(&live[i].open, memory_order_relaxed);
    }
    if (config->messages != 0) {
        draw_bar(bar, sizeof bar, echoed, config->messages);
    } else if (config->duration_ns != 0) {
        draw_bar(bar, sizeof bar,
                 start_ns == 0 || start_ns > now_ns ? 0 : now_ns - start_ns,
                 config->duration_ns + config->warmup_ns);
    }
    uint64_t passed = now_ns - line->drawn_ns;
    uint64_t rate =
        passed == 0 ? 0 : (echoed - line->echoed) * CLOCK_MS / (passed / 1000 + 1);
    /* What matters most comes first: a narrow terminal cuts the rest. */
    size_t length =
        format(text, sizeof text,
               "%s %s%" PRIu64 "/s, p50 %s, p99 %s, %" PRIu64 " errors, %" PRIu64 " open",
               latency_text(elapsed, now_ns - line->begin_ns), bar, rate,
               latency_text(p50, histogram_percentile(&line->reply, 50000)),
               latency_text(p99, histogram_percentile(&line->reply, 99000)), errors, open);
    unsigned width = load_line_columns();
    length = length < width ? length : width - 1;
    line->echoed = echoed;
    line->drawn_ns = now_ns;
    /* Back to the margin, the line, and erase what is left of the one before. */
    (void)!write(STDOUT_FILENO, "\r", 1);
    (void)!write(STDOUT_FILENO, text, length);
    (void)!write(STDOUT_FILENO, "\033[K", 3);
}

void load_line_erase(void)
{
    (void)!write(STDOUT_FILENO, "\r\033[K", 4);
}
