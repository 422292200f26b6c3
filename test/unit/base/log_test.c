/* The log into pipes that are read here, are not read, or have no reader any more. */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tap.h"

/* "2026-11-23 15:10:54.123Z " and "INFO  " before the message of a text line. */
#define STAMP  25
#define PREFIX (STAMP + 6)

/* Lines of an event without fields. */
#define log_debug(...) log_line(LOG_DEBUG, "test\n" __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, "test\n" __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, "test\n" __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, "test\n" __VA_ARGS__)
#define log_asked(...) log_line(LOG_ASKED, "test\n" __VA_ARGS__)

/* Longer than nothing, shorter than anybody's patience: what does not block takes less. */
#define AT_ONCE_NS (500 * CLOCK_MS)

static int reader, writer; /* the pipe's ends; the log's end blocks, as a real one does */
static char got[1 << 20];
static size_t got_length;

static void open_pipe(enum log_level level, enum log_format style)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) == -1 || fcntl(ends[0], F_SETFL, O_NONBLOCK) == -1) {
        abort();
    }
    reader = ends[0];
    writer = ends[1];
    log_open(writer, level, style);
}

static void close_pipe(void)
{
    log_close(0);
    close(writer);
    close(reader);
}

/* Read what the pipe holds now, behind what was read before. */
static size_t read_more(void)
{
    size_t before = got_length;

    for (ssize_t n;
         (n = read(reader, got + got_length, sizeof got - 1 - got_length)) > 0;) {
        got_length += (size_t)n;
    }
    got[got_length] = '\0';
    return got_length - before;
}

/* Flush, and read what was written. */
static const char *flushed(void)
{
    log_flush();
    got_length = 0;
    read_more();
    return got;
}

/* Read and flush until nothing comes any more. */
static void read_all(void)
{
    got_length = 0;
    do {
        log_flush();
    } while (read_more() > 0);
}

/* Does `text` look like `shape`, in which 0 stands for any digit? */
static bool has_shape(const char *text, const char *shape)
{
    for (; *shape != '\0'; text++, shape++) {
        bool is_digit = *text >= '0' && *text <= '9';

        if (*shape == '0' ? !is_digit : *text != *shape) {
            return false;
        }
    }
    return true;
}

/* The time that a stamp tells, or -1. */
static time_t time_of(const char *stamp)
{
    struct tm tm = {0};

    if (sscanf(stamp, "%4d-%2d-%2d%*c%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
               &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6) {
        return -1;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return timegm(&tm);
}

/* ---- lines -----------------------------------------------------------------------------
 */

static void test_closed(void)
{
    group("closed");
    log_error("thrown %s", "away");
    log_flush();
    log_close(1000);
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        ok(!log_enabled((enum log_level)level), "%s is not kept", log_level_names[level]);
    }
    open_pipe(LOG_DEBUG, LOG_TEXT);
    is_str(flushed(), "", "a line from before log_open() is thrown away");
    log_info("kept");
    log_close(1000);
    got_length = 0;
    read_more();
    ok(strstr(got, "kept\n") != NULL, "log_close() writes what was kept");
    ok(!log_enabled(LOG_ERROR), "after log_close() nothing is kept");
    log_error("too late");
    is_str(flushed(), "", "a line from after log_close() is thrown away");
    log_close(1000);
    ok(fcntl(writer, F_GETFD) != -1, "the descriptor stays the caller's");
    close_pipe();
}

static void test_names(void)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};

    group("names");
    for (int i = 0; i < 4; i++) {
        is_str(log_level_names[i], levels[i], "level %d is %s", i, levels[i]);
    }
    ok(log_level_names[LOG_ERROR + 1] == NULL, "the levels end in NULL");
    is_str(log_format_names[LOG_TEXT], "text", "a format is text");
    is_str(log_format_names[LOG_JSON], "json", "a format is json");
    ok(log_format_names[LOG_JSON + 1] == NULL, "the formats end in NULL");
}

static void text_line_is(const char *tag, const char *message)
{
    time_t before = time(NULL);
    const char *line = flushed();

    group("text, %.5s", tag);
    ok(has_shape(line, "0000-00-00 00:00:00.000Z "), "date and time stand first: %.24s",
       line);
    ok(time_of(line) >= before - 2 && time_of(line) <= before + 1,
       "the time is now, in UTC");
    ok(strlen(line) > PREFIX && strncmp(line + STAMP, tag, 6) == 0, "then the level: '%s'",
       tag);
    is_str(line + PREFIX, message, "then the message");
}

static void test_text(void)
{
    open_pipe(LOG_DEBUG, LOG_TEXT);
    group("text");
    log_debug("connection %d from %s", 7, "172.24.125.3:60392");
    got_length = 0;
    is_int(read_more(), 0, "before log_flush() nothing is written");
    text_line_is("DEBUG ", "connection 7 from 172.24.125.3:60392\n");
    log_info("%s", "100%");
    text_line_is("INFO  ", "100%\n");
    log_warn("N\xc2\xb0 %u \"%5d\" %%", 5u, -42);
    text_line_is("WARN  ", "N\xc2\xb0 5 \"  -42\" %\n");
    log_error("x");
    text_line_is("ERROR ", "x\n");
    group("text");
    is_str(flushed(), "", "each line is written once");
    log_info("one");
    log_info("two");
    const char *both = flushed();
    const char *second = strchr(both, '\n');
    ok(second != NULL && strncmp(second - 3, "one\n", 4) == 0 &&
           strcmp(second + 1 + PREFIX, "two\n") == 0,
       "two lines stand in their order");
    is_int(log_dropped(), 0, "nothing is dropped");
    close_pipe();
}

static void test_levels(void)
{
    for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
        open_pipe((enum log_level)least, LOG_TEXT);
        group("level %s", log_level_names[least]);
        for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
            bool is_kept = level >= least;

            is_int(log_enabled((enum log_level)level), is_kept, "%s is %s",
                   log_level_names[level], is_kept ? "kept" : "not kept");
            log_line((enum log_level)level, "test\nline");
            is_int(strlen(flushed()), is_kept ? PREFIX + 5 : 0, "%s is %s",
                   log_level_names[level], is_kept ? "written" : "not written");
        }
        close_pipe();
    }
}

static void test_asked(void)
{
    group("what was asked for");
    for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
        open_pipe((enum log_level)least, LOG_TEXT);
        log_asked("line");
        is_str(flushed() + STAMP, "INFO  line\n", "level %s: it is written, as info",
               log_level_names[least]);
        close_pipe();
    }
    open_pipe(LOG_ERROR, LOG_JSON);
    log_asked("line");
    ok(strstr(flushed(), "\"level\":\"info\",\"event\":\"test\",\"message\":\"line\"}\n") !=
           NULL,
       "in JSON, too");
    close_pipe();
    log_asked("nobody"); /* without a sink */
}

static void test_errno(void)
{
    group("errno");
    open_pipe(LOG_INFO, LOG_TEXT);
    errno = EDOM;
    log_info("line");
    log_debug("not kept");
    log_flush();
    log_dropped();
    log_enabled(LOG_INFO);
    log_set_worker(0);
    log_close(10);
    log_open(writer, LOG_INFO, LOG_JSON);
    is_int(errno, EDOM, "it is preserved by each function");
    close_pipe();
    log_info("nobody");
    log_flush();
    log_close(10);
    is_int(errno, EDOM, "it is preserved without a sink, too");
}

/* ---- JSON ------------------------------------------------------------------------------
 */

/* Read one hex escape's digits. */
static int hex4(const char *text)
{
    char digits[5] = {0}, *end;

    strncpy(digits, text, 4);
    long value = strtol(digits, &end, 16);
    return end == digits + 4 ? (int)value : -1;
}

/* Undo a JSON string from behind its opening quote (RFC 8259, section 7; escapes below
 * 0x80 only). Returns what follows the closing quote, or NULL if it is no JSON. */
static const char *from_json(const char *text, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";

    for (; *text != '"'; text++) {
        if ((unsigned char)*text < 0x20) {
            return NULL;
        }
        if (*text != '\\') {
            *out++ = *text;
            continue;
        }
        text++;
        const char *known = *text == '\0' ? NULL : strchr(from, *text);
        if (known != NULL) {
            *out++ = to[known - from];
        } else if (*text == 'u' && hex4(text + 1) > 0 && hex4(text + 1) < 0x80) {
            *out++ = (char)hex4(text + 1);
            text += 4;
        } else {
            return NULL;
        }
    }
    *out = '\0';
    return text + 1;
}

/* `fields` stand between event and message. */
static void json_fields_are(const char *level, const char *fields, const char *message)
{
    char head[3 * LOG_LINE_MAX], back[8 * LOG_LINE_MAX] = "";
    time_t before = time(NULL);
    const char *line = flushed(), *rest = NULL;

    snprintf(head, sizeof head, "Z\",\"level\":\"%s\",\"event\":\"test\",%s\"message\":\"",
             level, fields);
    group("JSON, %s", level);
    ok(has_shape(line, "{\"time\":\"0000-00-00T00:00:00.000Z\""),
       "the time stands first: %.40s", line);
    ok(time_of(line + 9) >= before - 2 && time_of(line + 9) <= before + 1,
       "the time is now, in UTC");
    if (ok(strlen(line) > 32 && strncmp(line + 32, head, strlen(head)) == 0,
           "then the level %s", level)) {
        rest = from_json(line + 32 + strlen(head), back);
    }
    is_str(back, message, "the message read back is what was logged");
    is_str(rest != NULL ? rest : "no JSON", "}\n",
           "the message ends the object and the line");
}

static void json_line_is(const char *level, const char *message)
{
    json_fields_are(level, "", message);
}

static void test_json(void)
{
    char controls[33], name[2] = "";

    open_pipe(LOG_DEBUG, LOG_JSON);
    log_debug("plain");
    json_line_is("debug", "plain");
    log_info("connection %d", 7);
    json_line_is("info", "connection 7");
    log_warn("N\xc2\xb0 \xe2\x9c\x93 \xf0\x9f\x98\x80 /");
    json_line_is("warn", "N\xc2\xb0 \xe2\x9c\x93 \xf0\x9f\x98\x80 /");
    log_error("%s", "a \"quoted\" \\ path \\\" end\\");
    json_line_is("error", "a \"quoted\" \\ path \\\" end\\");
    log_info("two\nlines\r\tand \x1b[m");
    json_line_is("info", "two\nlines\r\tand \x1b[m");
    for (int c = 1; c < 0x20; c++) {
        controls[c - 1] = (char)c;
        name[0] = (char)c;
        log_info("%s", name);
        json_line_is("info", name);
    }
    controls[31] = '\0';
    log_info("%s", controls);
    json_line_is("info", controls);
    log_info("%s", "");
    json_line_is("info", "");
    close_pipe();
}

/* ---- long lines ------------------------------------------------------------------------
 */

static void test_long_text(void)
{
    static char text[3 * LOG_LINE_MAX];

    memset(text, 'x', sizeof text - 1);
    group("long text");
    open_pipe(LOG_INFO, LOG_TEXT);
    log_info("%.*s", LOG_LINE_MAX - PREFIX, text);
    is_int(strlen(flushed()), LOG_LINE_MAX + 1, "a line of the greatest length is written");
    ok(strstr(got, "...") == NULL, "a line of the greatest length is not cut");
    for (int length = LOG_LINE_MAX + 1; length < (int)sizeof text; length += 333) {
        log_info("%.*s", length, text);
        const char *line = flushed();
        size_t end = strlen(line);
        ok(end > PREFIX + 500 && strcmp(line + end - 4, "...\n") == 0,
           "a message of %d bytes is cut and ends in three dots", length);
        ok(end - 1 - PREFIX <= LOG_LINE_MAX,
           "a message of %d bytes: its line is not too long", length);
        is_mem(line + PREFIX, text, end - 4 - PREFIX, "a message of %d bytes begins right",
               length);
    }
    log_info("short");
    is_str(flushed() + PREFIX, "short\n", "the line after those is whole");
    close_pipe();
}

static void test_long_json(void)
{
    static char text[3 * LOG_LINE_MAX], back[8 * LOG_LINE_MAX];
    static const char fill[] = {'x', '"', '\\', '\x01'};

    open_pipe(LOG_INFO, LOG_JSON);
    for (size_t i = 0; i < sizeof fill; i++) {
        group("long JSON of 0x%02x", (unsigned)fill[i]);
        memset(text, fill[i], sizeof text - 1);
        log_info("%s", text);
        const char *message = strstr(flushed(), "\"message\":\"");
        const char *rest = message == NULL ? NULL : from_json(message + 11, back);
        size_t length = strlen(back);
        is_str(rest != NULL ? rest : "no JSON", "}\n", "the line is still an object");
        ok(length > 100 && length <= LOG_LINE_MAX && strcmp(back + length - 3, "...") == 0,
           "the message ends in three dots");
        is_mem(back, text, length - 3, "the message begins right");
    }
    is_int(log_dropped(), 0, "no line is dropped");
    close_pipe();
}

/* ---- a sink that is full, slow or gone -------------------------------------------------
 */

static uint64_t longest_ns, started_ns;

static void begin(void)
{
    started_ns = clock_now_ns();
}

static void end(void)
{
    uint64_t took = clock_now_ns() - started_ns;

    longest_ns = took > longest_ns ? took : longest_ns;
}

struct tally {
    long lines;             /* ours */
    unsigned long reported; /* as dropped, by other lines */
    long notes;             /* those other lines */
    long torn;              /* neither, or out of order */
};

/* What was read: "line N ..." with rising N, and notes that tell a number. */
static struct tally tally_of(const char *text)
{
    struct tally tally = {0};
    long last = -1;

    for (const char *line = text, *next; *line != '\0'; line = next + 1) {
        long number = 0;
        unsigned long dropped = 0;
        next = strchr(line, '\n');
        if (next == NULL || next - line < PREFIX ||
            !has_shape(line, "0000-00-00 00:00:00.")) {
            tally.torn++;
            break;
        }
        if (sscanf(line + PREFIX, "line %ld end\n", &number) == 1) {
            tally.torn += number <= last || strncmp(next - 4, " end", 4) != 0;
            last = number;
            tally.lines++;
        } else if (sscanf(line + PREFIX, "%*[^0-9]%lu", &dropped) == 1 ||
                   sscanf(line + PREFIX, "%lu", &dropped) == 1) {
            tally.reported += dropped;
            tally.notes++;
        } else {
            tally.torn++;
        }
    }
    return tally;
}

/* Fill pipe and buffer far beyond what they hold. */
static void overfill(long lines)
{
    longest_ns = 0;
    for (long i = 0; i < lines; i++) {
        begin();
        log_info("line %ld end", i);
        end();
        if (i % 10 == 0) {
            begin();
            log_flush();
            end();
        }
    }
}

static void test_full(enum log_format style)
{
    const long lines = 20000;

    group("a full pipe, %s", log_format_names[style]);
    open_pipe(LOG_DEBUG, style);
    fcntl(writer, F_SETPIPE_SZ, 4096); /* less than the buffer: it empties in pieces */
    overfill(lines);
    ok(longest_ns < AT_ONCE_NS, "nobody reads, nobody is blocked: %lu us at most",
       (unsigned long)(longest_ns / CLOCK_US));
    unsigned long dropped = log_dropped();
    ok(dropped > 0 && dropped < (unsigned long)lines, "lines are dropped: %lu", dropped);
    if (style == LOG_JSON) {
        read_all();
        ok(got_length > 0 && strncmp(got + got_length - 3, "\"}\n", 3) == 0,
           "the last line is whole to its end");
        close_pipe();
        return;
    }
    read_all();
    struct tally tally = tally_of(got);
    is_int(tally.torn, 0, "each line that is read is whole and in its place");
    is_int(tally.lines + (long)dropped, lines,
           "lines read and lines dropped are all lines");
    is_int(log_dropped(), dropped, "reading changes nothing about what was dropped");
    ok(tally.notes >= 1, "a line says that lines were dropped");
    is_int(tally.reported, dropped, "such lines say how many were dropped");
    log_info("line 99999 end");
    tally = tally_of(flushed());
    ok(tally.lines == 1 && tally.notes == 0 && tally.torn == 0,
       "then the log goes on as before");
    is_int(log_dropped(), dropped, "then no more is dropped");
    log_open(writer, LOG_INFO, LOG_TEXT);
    is_int(log_dropped(), 0, "log_open() begins to count anew");
    close_pipe();
}

/* So many lines are dropped, then somebody reads. There is room for one note at once: the
 * first dropped line is told alone. */
static void test_dropped_words(unsigned long count, const char *wanted)
{
    group("%lu dropped", count);
    open_pipe(LOG_DEBUG, LOG_TEXT);
    fcntl(writer, F_SETPIPE_SZ, 4096);
    for (long i = 0; i < 20000 && log_dropped() < count; i++) {
        log_info("line %ld end", i);
    }
    is_int(log_dropped(), count, "the log is full");
    read_all();
    ok(strstr(got, wanted) != NULL, "it says so: %s", wanted + 1);
    close_pipe();
}

/* A pipe whose other end is in a thread: it reads at most `piece` bytes every `pause_ms`.
 */
static struct {
    int fd, pause_ms;
    size_t piece;
} slow;

static void *read_slowly(void *unused)
{
    (void)unused;
    for (;;) {
        poll(NULL, 0, slow.pause_ms);
        struct pollfd pfd = {.fd = slow.fd, .events = POLLIN};
        poll(&pfd, 1, -1);
        ssize_t n = read(slow.fd, got + got_length, slow.piece);
        if (n <= 0) {
            got[got_length] = '\0';
            return NULL;
        }
        got_length += (size_t)n;
    }
}

static void start_reading(pthread_t *thread, size_t piece, int pause_ms)
{
    slow.fd = reader;
    slow.pause_ms = pause_ms;
    slow.piece = piece;
    got_length = 0;
    if (pthread_create(thread, NULL, read_slowly, NULL) != 0) {
        abort();
    }
}

static void test_close_waits(void)
{
    const int lines = 350; /* more than this pipe holds, less than the buffer */
    pthread_t thread;

    group("log_close(5000) and a slow reader");
    open_pipe(LOG_INFO, LOG_TEXT);
    fcntl(writer, F_SETPIPE_SZ, 4096);
    for (int i = 0; i < lines; i++) {
        log_info("line %d end", i);
    }
    is_int(log_dropped(), 0, "the buffer holds what the pipe does not");
    start_reading(&thread, 700, 1);
    log_close(5000);
    close(writer);
    pthread_join(thread, NULL);
    struct tally tally = tally_of(got);
    is_int(tally.lines, lines, "it waits until all is read");
    is_int(tally.torn, 0, "the reader gets every line whole and in order");
    close(reader);
}

static void test_close_ends(void)
{
    static const int patience_ms[] = {0, 1, 150};

    for (size_t i = 0; i < sizeof patience_ms / sizeof *patience_ms; i++) {
        group("log_close(%d) and nobody who reads", patience_ms[i]);
        open_pipe(LOG_INFO, LOG_TEXT);
        overfill(5000);
        begin();
        longest_ns = 0;
        log_close(patience_ms[i]);
        end();
        ok(longest_ns < (uint64_t)patience_ms[i] * CLOCK_MS + AT_ONCE_NS,
           "it waits no longer than that: %lu ms", (unsigned long)(longest_ns / CLOCK_MS));
        ok(!log_enabled(LOG_ERROR), "it forgets the sink");
        got_length = 0;
        read_more();
        log_error("too late");
        is_int(strlen(flushed()), 0, "nothing is written later");
        close(writer);
        close(reader);
    }
    group("log_close(0)");
    open_pipe(LOG_INFO, LOG_TEXT);
    log_info("at once");
    log_close(0);
    got_length = 0;
    read_more();
    ok(strstr(got, "at once\n") != NULL, "it writes what the sink takes at once");
    close(writer);
    close(reader);
}

/* The patience is for the whole, not for each piece that a slow reader takes. */
static void test_close_slow(void)
{
    pthread_t thread;

    group("log_close(150) and a slow reader");
    open_pipe(LOG_INFO, LOG_TEXT);
    fcntl(reader, F_SETFL, 0);
    fcntl(writer, F_SETPIPE_SZ, 4096);
    for (int i = 0; i < 350; i++) {
        log_info("line %d end", i);
    }
    start_reading(&thread, 4096, 130);
    longest_ns = 0;
    begin();
    log_close(150);
    end();
    ok(longest_ns < 250 * CLOCK_MS, "the patience is for the whole: %lu ms",
       (unsigned long)(longest_ns / CLOCK_MS));
    close(writer);
    pthread_join(thread, NULL);
    close(reader);
}

static void test_gone(void)
{
    group("a reader that is gone");
    open_pipe(LOG_INFO, LOG_TEXT);
    close(reader);
    errno = EDOM;
    overfill(3000);
    is_int(errno, EDOM, "errno is preserved");
    ok(longest_ns < AT_ONCE_NS, "no line blocks");
    longest_ns = 0;
    log_info("to nobody");
    begin();
    log_close(5000);
    end();
    ok(longest_ns < AT_ONCE_NS, "log_close() does not wait");
    close(writer);

    group("a reader that goes, the pipe full");
    open_pipe(LOG_INFO, LOG_TEXT);
    overfill(3000);
    close(reader); /* with the pipe full, and lines still in the buffer */
    log_flush();
    longest_ns = 0;
    begin();
    log_close(5000);
    end();
    ok(longest_ns < AT_ONCE_NS, "log_close() does not wait");
    is_int(errno, EDOM, "errno is preserved");
    close(writer);

    group("after such readers");
    open_pipe(LOG_INFO, LOG_TEXT);
    log_info("again");
    ok(strstr(flushed(), "again\n") != NULL, "another sink works as ever");
    close_pipe();
}

/* A file that may have `bytes` bytes and no more (RLIMIT_FSIZE). */
static void limit_file(rlim_t bytes)
{
    struct rlimit limit;

    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
}

static void read_file(int fd)
{
    ssize_t length = pread(fd, got, sizeof got - 1, 0);

    got_length = length < 0 ? 0 : (size_t)length;
    got[got_length] = '\0';
}

/* The lines between the two limits: all are in the file or counted, none is torn but the
 * one at the limit. */
static void test_file_full(size_t limit, int lines)
{
    FILE *file = tmpfile();

    if (file == NULL) {
        abort();
    }
    group("a file of at most %zu bytes", limit);
    log_open(fileno(file), LOG_INFO, LOG_TEXT);
    errno = EDOM;
    limit_file(limit);
    for (int i = 0; i < lines; i++) {
        log_info("line %d end", i);
        log_flush();
    }
    limit_file(RLIM_INFINITY);
    is_int(errno, EDOM, "errno is preserved");
    read_file(fileno(file));
    is_int(got_length, limit, "it is filled");
    unsigned long dropped = log_dropped();
    ok(dropped > 0, "the lines for which there is no room are dropped: %lu", dropped);
    log_flush();
    read_file(fileno(file));
    is_int(got_length, limit, "nothing is written before there is a new line");
    log_info("line %d end", lines);
    log_flush();
    read_file(fileno(file));
    bool is_torn = got[limit - 1] != '\n';
    if (is_torn) { /* as if that one had never been */
        char *end = got + limit;
        char *start = end;
        while (start > got && start[-1] != '\n') {
            start--;
        }
        ok(*end == '\n', "the torn line ends where the next one begins");
        memmove(start, end + 1, strlen(end + 1) + 1);
    }
    struct tally tally = tally_of(got);
    is_int(tally.torn, 0, "each other line is whole and in its place");
    is_int(tally.lines + (long)dropped, lines + 1, "lines kept and dropped are all lines");
    is_int(tally.notes, 1, "one line tells of those that were dropped");
    is_int(tally.reported, dropped, "it says how many");
    ok(strstr(got, dropped == 1 ? "1 log line dropped: " : "log lines dropped: ") != NULL &&
           strstr(got, strerror(EFBIG)) != NULL,
       "and why");
    is_int(log_dropped(), dropped, "no more were dropped");
    log_close(1000);
    fclose(file);
}

/* Of a disk without room there is no way to read what was written. */
static void test_disk_full(void)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

    group("a full disk");
    if (fd == -1) {
        skip("no /dev/full here");
        return;
    }
    log_open(fd, LOG_INFO, LOG_TEXT);
    for (int i = 0; i < 100; i++) {
        log_info("line %d end", i);
        log_flush();
    }
    is_int(log_dropped(), 100, "each line is counted, and no line about them");
    begin();
    longest_ns = 0;
    log_close(5000);
    end();
    ok(longest_ns < AT_ONCE_NS, "log_close() does not wait");
    close(fd);
}

/* ---- threads ---------------------------------------------------------------------------
 */

#define THREADS      4
#define THREAD_LINES 3000

static pthread_barrier_t all_are_there;

static void *write_lines(void *argument)
{
    int number = *(int *)argument;

    log_set_worker(number);
    pthread_barrier_wait(&all_are_there);
    for (int i = 0; i < THREAD_LINES; i++) {
        log_info("line %d end", i);
        if (i % 7 == 0) {
            log_flush();
        }
    }
    return NULL;
}

/* The sink is a file here: it takes everything, so that nothing is dropped. */
static void test_threads(void)
{
    pthread_t threads[THREADS];
    int numbers[THREADS], next[THREADS] = {0}, fd;
    long right = 0, lines = 0;
    FILE *file = tmpfile();

    if (file == NULL) {
        abort();
    }
    group("threads");
    fd = fileno(file);
    log_open(fd, LOG_INFO, LOG_TEXT);
    pthread_barrier_init(&all_are_there, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i + 1;
        if (pthread_create(&threads[i], NULL, write_lines, &numbers[i]) != 0) {
            abort();
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_barrier_destroy(&all_are_there);
    log_info("mine");
    is_int(log_dropped(), 0, "a file takes everything, none is dropped");
    log_close(1000);
    ssize_t length = pread(fd, got, sizeof got - 1, 0);
    got[length < 0 ? 0 : length] = '\0';
    char *line = got;
    for (char *end_of_line; (end_of_line = strchr(line, '\n')) != NULL;
         line = end_of_line + 1) {
        int worker = 0, number = 0, used = 0;

        lines++;
        if (end_of_line - line > PREFIX &&
            sscanf(line + PREFIX, "worker %d: line %d end%n", &worker, &number, &used) ==
                2 &&
            worker >= 1 && worker <= THREADS && line + PREFIX + used == end_of_line) {
            right += number == next[worker - 1]++;
        }
    }
    is_int(lines, THREADS * THREAD_LINES + 1, "there are as many lines as were written");
    is_int(right, THREADS * THREAD_LINES,
           "lines are whole, with their worker's number, in order");
    is_str(line - strlen("mine\n") - PREFIX + STAMP, "INFO  mine\n",
           "the main thread's lines have no number");
    fclose(file);
}

static void *write_json(void *unused)
{
    (void)unused;
    log_set_worker(12);
    log_info("said \"%s\"", "so");
    return NULL;
}

static void test_worker_json(void)
{
    pthread_t thread;

    open_pipe(LOG_INFO, LOG_JSON);
    if (pthread_create(&thread, NULL, write_json, NULL) != 0) {
        abort();
    }
    pthread_join(thread, NULL);
    json_fields_are("info", "\"worker\":12,", "worker 12: said \"so\"");
    close_pipe();
}

static void test_client(void)
{
    group("client");
    open_pipe(LOG_INFO, LOG_TEXT);
    log_set_client("one \"1\"");
    log_info("text");
    is_str(flushed() + PREFIX, "[CLIENT one \"1\"] text\n", "text begins with its id");
    close_pipe();
    open_pipe(LOG_INFO, LOG_JSON);
    log_info("%s", "json");
    json_fields_are("info", "\"client\":\"one \\\"1\\\"\",", "[CLIENT one \"1\"] json");
    log_set_client(NULL);
    log_info("json");
    json_line_is("info", "json");
    close_pipe();
}

/* ---- fields ----------------------------------------------------------------------------
 */

static void test_fields_text(void)
{
    group("fields, text");
    open_pipe(LOG_DEBUG, LOG_TEXT);
    log_line(LOG_INFO, "test connection peer\nconnection %u from %s", 7u, "1.2.3.4:5");
    is_str(flushed() + PREFIX, "connection 7 from 1.2.3.4:5\n", "names are not shown");
    log_line(LOG_INFO, "test a - +b +c - +d\n%u%s%s%s|%3d|%d", 1u, "s", "x", "y", 2, 3);
    is_str(flushed() + PREFIX, "1s|  2|\n", "hidden fields are not shown, the others are");
    log_line(LOG_INFO, "test\n%u %s 100%% %d", 1u, "two", 3);
    is_str(flushed() + PREFIX, "1 two 100% 3\n", "without names all is shown");
    close_pipe();
}

static void test_fields_json(void)
{
    group("fields, JSON");
    open_pipe(LOG_DEBUG, LOG_JSON);
    log_line(LOG_WARN, "test a b c d e\n%d %u %lu %zu %ld", -5, 5u, ULONG_MAX, (size_t)0,
             LONG_MIN);
    json_fields_are("warn",
                    "\"a\":-5,\"b\":5,\"c\":18446744073709551615,\"d\":0,"
                    "\"e\":-9223372036854775808,",
                    "-5 5 18446744073709551615 0 -9223372036854775808");
    log_line(LOG_INFO, "test a b c d\n%05u|%8u|%-8d|%%|%20s", 42u, 43u, 44, "s");
    json_fields_are("info", "\"a\":42,\"b\":43,\"c\":44,\"d\":\"s\",",
                    "00042|      43|44      |%|                   s");
    log_line(LOG_INFO, "test a b c d\n%s %s %s %.*s", "", "\"q\" \\", "\x1bN\xc2\xb0\x01\n",
             2, "cut");
    json_fields_are("info",
                    "\"a\":\"\",\"b\":\"\\\"q\\\" \\\\\","
                    "\"c\":\"\\u001bN\xc2\xb0\\u0001\\u000a\",\"d\":\"cu\",",
                    " \"q\" \\ \x1bN\xc2\xb0\x01\n cu");
    log_line(LOG_INFO, "test a - +b - +c\n%u byte%s%lu%s%s", 3u, "s", 9UL, ", late", "why");
    json_fields_are("info", "\"a\":3,\"b\":9,\"c\":\"why\",", "3 bytes, late");
    log_line(LOG_INFO, "test a\n%u byte%s%s", 3u, "s", " more");
    json_fields_are("info", "\"a\":3,", "3 bytes more");
    log_line(LOG_INFO, "test a\n%u, field=%u", 3u, 4u);
    json_fields_are("info", "\"a\":3,", "3, field=4");
    close_pipe();
}

/* Read `"name":value` and the comma or brace behind it. Returns what follows, or NULL if it
 * is none. */
static const char *member(const char *text, char *name, char *value)
{
    text = *text == '"' ? from_json(text + 1, name) : NULL;
    if (text == NULL || *text++ != ':') {
        return NULL;
    }
    if (*text == '"') {
        text = from_json(text + 1, value);
    } else {
        size_t length = strspn(text, "-0123456789");

        memcpy(value, text, length);
        value[length] = '\0';
        text = length > 0 ? text + length : NULL;
    }
    return text != NULL && (*text == ',' || strcmp(text, "}\n") == 0) ? text + 1 : NULL;
}

static bool is_utf8(const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        for (int rest = c >= 0xf0   ? 3
                        : c >= 0xe0 ? 2
                        : c >= 0xc0 ? 1
                                    : 0;
             rest > 0; rest--) {
            if (((unsigned char)*++text & 0xc0) != 0x80) {
                return false;
            }
        }
        if (c >= 0x80 && c < 0xc0) {
            return false;
        }
    }
    return true;
}

/* One line of long strings. Returns how many fields it has beside the four that all have,
 * or -1 if it is no object, if one is no beginning of `text`, or if it is no UTF-8. */
static int long_fields(const char *text)
{
    static char name[8 * LOG_LINE_MAX], value[8 * LOG_LINE_MAX];
    int count = -4;

    log_line(LOG_INFO, "test a b c d n\n%s%s%s%s%u", text, text, text, text, 7u);
    const char *at = flushed() + 1;
    for (; at != NULL && *at != '\n'; count++) {
        at = member(at, name, value);
        size_t length = at == NULL ? 0 : strlen(value);
        if (at == NULL || !is_utf8(value)) {
            return -1;
        }
        if (strlen(name) == 1 && name[0] != 'n' && strcmp(value, text) != 0 &&
            (length < 3 || strcmp(value + length - 3, "...") != 0 ||
             strncmp(value, text, length - 3) != 0)) {
            return -1;
        }
    }
    return at == NULL || strcmp(name, "message") != 0 ? -1 : count;
}

static void test_long_fields(void)
{
    static const char *const fill[] = {
        "x", "\"", "\x01", "\xc2\xb0", "\xe2\x9c\x93", "\xf0\x9f\x98\x80", "a\\\xc2\xb0"};
    static char text[4 * LOG_LINE_MAX];

    open_pipe(LOG_INFO, LOG_JSON);
    for (size_t i = 0; i < sizeof fill / sizeof *fill; i++) {
        int worst = 5, wrong = 0;

        group("long fields of %zu bytes each", strlen(fill[i]));
        text[0] = '\0';
        for (size_t n = 0; n + 5 < sizeof text; n += strlen(fill[i])) {
            strcpy(text + n, fill[i]);
            if (n < 290 || (n > 900 && n < 1100) || (n > 1900 && n < 2100) || n > 3900) {
                int count = long_fields(text);

                wrong += count < 0;
                worst = count < worst && n < 480 ? count : worst;
            }
        }
        is_int(wrong, 0, "each is cut at a character, and the line is an object");
        is_int(worst, fill[i][0] == '\x01' ? 2 : 5, "up to 480 bytes each: so many fit");
    }
    is_int(log_dropped(), 0, "no line is dropped");
    close_pipe();
}

static void test_dropped_json(void)
{
    group("dropped, JSON");
    open_pipe(LOG_DEBUG, LOG_JSON);
    fcntl(writer, F_SETPIPE_SZ, 4096);
    for (long i = 0; i < 20000 && log_dropped() < 3; i++) {
        log_info("line %ld end", i);
    }
    read_all();
    ok(strstr(got, "\"event\":\"log_lines_dropped\",\"lines\":2,"
                   "\"reason\":\"nobody reads them\","
                   "\"message\":\"2 log lines dropped: nobody reads them\"}\n") != NULL,
       "the note has its number and reason as fields");
    close_pipe();
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    setenv("TZ", "XYZ-5:30", 1); /* the log must not follow it */
    tzset();
    alarm(20); /* whatever blocks ends the test */
    test_closed();
    test_names();
    test_text();
    test_levels();
    test_asked();
    test_errno();
    test_json();
    test_long_text();
    test_long_json();
    test_full(LOG_TEXT);
    test_full(LOG_JSON);
    test_dropped_words(1, " WARN  1 log line dropped: nobody reads them\n");
    test_dropped_words(3, " WARN  2 log lines dropped: nobody reads them\n");
    test_close_waits();
    test_close_ends();
    test_close_slow();
    test_gone();
    test_file_full(1000, 40);
    test_file_full(10 * (PREFIX + 11), 11); /* one line more than fits */
    test_file_full(10 * (PREFIX + 11) + 1, 40);
    test_disk_full();
    test_threads();
    test_worker_json();
    test_client();
    test_fields_text();
    test_fields_json();
    test_long_fields();
    test_dropped_json();
    return done();
}
