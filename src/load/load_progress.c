#include "load/load_progress.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/format.h"
#include "base/latency.h"

#define WIDTH_DEFAULT 80

unsigned load_progress_columns(void)
{
    struct winsize size;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col
                                                                           : WIDTH_DEFAULT;
}

void load_progress_start(struct load_progress *progress, const struct load_config *config,
                         uint64_t begin_ns)
{
    progress->config = config;
    progress->begin_ns = progress->drawn_ns = begin_ns;
}

/* A percentile of the replies so far; before the first one there is none. */
static const char *percentile_text(char out[LATENCY_TEXT], const struct histogram *reply,
                                   uint32_t per_100000)
{
    return reply->count == 0 ? "-"
                             : latency_text(out, histogram_percentile(reply, per_100000));
}

/* [#####.....] */
static void draw_bar(char *out, size_t size, uint64_t done, uint64_t whole)
{
    unsigned filled = (unsigned)(done >= whole ? 10 : done * 10 / whole);

    format(out, size, "[%.*s%.*s] ", (int)filled, "##########", 10 - (int)filled,
           "..........");
}

void load_progress_draw(struct load_progress *progress, struct load_live *live,
                        unsigned count, uint64_t start_ns, uint64_t now_ns)
{
    const struct load_config *config = progress->config;
    uint64_t echoed = 0, errors = 0, open = 0;
    char text[256], bar[24] = "", elapsed[LATENCY_TEXT], p50[LATENCY_TEXT],
                    p99[LATENCY_TEXT];

    load_live_collect(live, count, &progress->reply);
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
    uint64_t passed = now_ns - progress->drawn_ns;
    uint64_t rate =
        passed == 0 ? 0 : (echoed - progress->echoed) * CLOCK_MS / (passed / 1000 + 1);
    /* What matters most comes first: a narrow terminal cuts the rest. */
    size_t length = format(text, sizeof text,
                           "%s %s%" PRIu64 "/s, p50 %s, p99 %s, %" PRIu64 " error" FORMAT_S
                           ", %" PRIu64 " open",
                           latency_text(elapsed, now_ns - progress->begin_ns), bar, rate,
                           percentile_text(p50, &progress->reply, 50000),
                           percentile_text(p99, &progress->reply, 99000), errors, open);
    unsigned width = load_progress_columns();
    length = length < width ? length : width - 1;
    progress->echoed = echoed;
    progress->drawn_ns = now_ns;
    /* Back to the margin, the line, and erase what is left of the one before. */
    (void)!write(STDOUT_FILENO, "\r", 1);
    (void)!write(STDOUT_FILENO, text, length);
    (void)!write(STDOUT_FILENO, "\033[K", 3);
}

void load_progress_erase(void)
{
    (void)!write(STDOUT_FILENO, "\r\033[K", 4);
}
