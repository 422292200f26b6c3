/* The log into pipes that are read here, are not read, or have no reader any more. */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "tap.h"

/* "2026-11-23 15:10:54.123 " and "INFO  " before the message of a text line. */
#define STAMP  24
#define PREFIX (STAMP + 6)

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
    log_error("thrown %s", "away");
    log_flush();
    log_close(1000);
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        ok(!log_enabled((enum log_level)level), "closed: %s is not kept",
           log_level_names[level]);
    }
    open_pipe(LOG_DEBUG, LOG_TEXT);
    is_str(flushed(), "", "a line from before log_open() is thrown away");
    log_info("kept");
    log_close(1000);
    got_length = 0;
    read_more();
    ok(strstr(got, "kept\n") != NULL, "log_close() writes the rest");
    ok(!log_enabled(LOG_ERROR), "... then nothing is kept");
    log_error("too late");
    is_str(flushed(), "", "a line from after log_close() is thrown away");
    log_close(1000);
    ok(fcntl(writer, F_GETFD) != -1, "the descriptor stays the caller's");
    close_pipe();
}

static void test_names(void)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};

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

    ok(has_shape(line, "0000-00-00 00:00:00.000 "), "text: date and time: %.23s", line);
    ok(time_of(line) >= before - 2 && time_of(line) <= before + 1, "... now, in UTC");
    ok(strlen(line) > PREFIX && strncmp(line + STAMP, tag, 6) == 0, "... '%s'", tag);
    is_str(line + PREFIX, message, "... the message");
}

static void test_text(void)
{
    open_pipe(LOG_DEBUG, LOG_TEXT);
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
    is_str(flushed(), "", "each line is written once");
    log_info("one");
    log_info("two");
    const char *both = flushed();
    const char *second = strchr(both, '\n');
    ok(second != NULL && strncmp(second - 3, "one\n", 4) == 0 &&
           strcmp(second + 1 + PREFIX, "two\n") == 0,
       "two lines in their order");
    is_int(log_dropped(), 0, "nothing is dropped");
    close_pipe();
}

static void test_levels(void)
{
    for (int least = LOG_DEBUG; least <= LOG_ERROR; least++) {
        open_pipe((enum log_level)least, LOG_TEXT);
        for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
            bool is_kept = level >= least;

            is_int(log_enabled((enum log_level)level), is_kept, "from %s on: %s is %s",
                   log_level_names[least], log_level_names[level],
                   is_kept ? "kept" : "not kept");
            log_line((enum log_level)level, "line");
            is_int(strlen(flushed()), is_kept ? PREFIX + 5 : 0, "... written or not");
        }
        close_pipe();
    }
}

static void test_errno(void)
{
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
    is_int(errno, EDOM, "errno is preserved");
    close_pipe();
    log_info("nobody");
    log_flush();
    log_close(10);
    is_int(errno, EDOM, "... without a sink, too");
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

static void json_line_is(const char *level, const char *message)
{
    char head[64], back[8 * LOG_LINE_MAX] = "";
    time_t before = time(NULL);
    const char *line = flushed(), *rest = NULL;

    snprintf(head, sizeof head, "Z\",\"level\":\"%s\",\"message\":\"", level);
    ok(has_shape(line, "{\"time\":\"0000-00-00T00:00:00.000Z\""), "JSON: the time: %.40s",
       line);
    ok(time_of(line + 9) >= before - 2 && time_of(line + 9) <= before + 1,
       "... now, in UTC");
    if (ok(strlen(line) > 32 && strncmp(line + 32, head, strlen(head)) == 0, "... level %s",
           level)) {
        rest = from_json(line + 32 + strlen(head), back);
    }
    is_str(back, message, "... the message");
    is_str(rest != NULL ? rest : "no JSON", "}\n", "... ends the object and the line");
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
    open_pipe(LOG_INFO, LOG_TEXT);
    log_info("%.*s", LOG_LINE_MAX - PREFIX, text);
    is_int(strlen(flushed()), LOG_LINE_MAX + 1, "text: a line of the greatest length");
    ok(strstr(got, "...") == NULL, "... is not cut");
    for (int length = LOG_LINE_MAX + 1; length < (int)sizeof text; length += 333) {
        log_info("%.*s", length, text);
        const char *line = flushed();
        size_t end = strlen(line);
        ok(end > PREFIX + 500 && strcmp(line + end - 4, "...\n") == 0,
           "a message of %d bytes is cut and ends in ...", length);
        ok(end - 1 - PREFIX <= LOG_LINE_MAX, "... not too long");
        is_mem(line + PREFIX, text, end - 4 - PREFIX, "... begins right");
    }
    log_info("short");
    is_str(flushed() + PREFIX, "short\n", "the next line is whole");
    close_pipe();
}

static void test_long_json(void)
{
    static char text[3 * LOG_LINE_MAX], back[8 * LOG_LINE_MAX];
    static const char fill[] = {'x', '"', '\\', '\x01'};

    open_pipe(LOG_INFO, LOG_JSON);
    for (size_t i = 0; i < sizeof fill; i++) {
        memset(text, fill[i], sizeof text - 1);
        log_info("%s", text);
        const char *message = strstr(flushed(), "\"message\":\"");
        const char *rest = message == NULL ? NULL : from_json(message + 11, back);
        size_t length = strlen(back);
        is_str(rest != NULL ? rest : "no JSON", "}\n",
               "JSON: a long line is still an object");
        ok(length > 100 && length <= LOG_LINE_MAX && strcmp(back + length - 3, "...") == 0,
           "... its message ends in ...");
        is_mem(back, text, length - 3, "... begins right");
    }
    is_int(log_dropped(), 0, "... none is dropped");
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

    open_pipe(LOG_DEBUG, style);
    fcntl(writer, F_SETPIPE_SZ, 4096); /* less than the buffer: it empties in pieces */
    overfill(lines);
    ok(longest_ns < AT_ONCE_NS, "a pipe that nobody reads blocks nobody: %lu us at most",
       (unsigned long)(longest_ns / CLOCK_US));
    unsigned long dropped = log_dropped();
    ok(dropped > 0 && dropped < (unsigned long)lines, "lines are dropped: %lu", dropped);
    if (style == LOG_JSON) {
        read_all();
        ok(got_length > 0 && strncmp(got + got_length - 3, "\"}\n", 3) == 0,
           "JSON lines are whole to the end");
        close_pipe();
        return;
    }
    read_all();
    struct tally tally = tally_of(got);
    is_int(tally.torn, 0, "each line that is read is whole and in its place");
    is_int(tally.lines + (long)dropped, lines,
           "lines read and lines dropped are all lines");
    is_int(log_dropped(), dropped, "reading changes nothing about what was dropped");
    ok(tally.notes >= 1, "a line tells that lines were dropped");
    is_int(tally.reported, dropped, "... and how many");
    log_info("line 99999 end");
    tally = tally_of(flushed());
    ok(tally.lines == 1 && tally.notes == 0 && tally.torn == 0,
       "then the log goes on as before");
    is_int(log_dropped(), dropped, "... and drops no more");
    log_open(writer, LOG_INFO, LOG_TEXT);
    is_int(log_dropped(), 0, "log_open() begins to count anew");
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
    is_int(tally.lines, lines, "log_close() waits for a slow reader");
    is_int(tally.torn, 0, "... which gets every line whole and in order");
    close(reader);
}

static void test_close_ends(void)
{
    static const int patience_ms[] = {0, 1, 150};

    for (size_t i = 0; i < sizeof patience_ms / sizeof *patience_ms; i++) {
        open_pipe(LOG_INFO, LOG_TEXT);
        overfill(5000);
        begin();
        longest_ns = 0;
        log_close(patience_ms[i]);
        end();
        ok(longest_ns < (uint64_t)patience_ms[i] * CLOCK_MS + AT_ONCE_NS,
           "log_close(%d) waits no longer for nobody: %lu ms", patience_ms[i],
           (unsigned long)(longest_ns / CLOCK_MS));
        ok(!log_enabled(LOG_ERROR), "... and forgets the sink");
        got_length = 0;
        read_more();
        log_error("too late");
        is_int(strlen(flushed()), 0, "... for good");
        close(writer);
        close(reader);
    }
    open_pipe(LOG_INFO, LOG_TEXT);
    log_info("at once");
    log_close(0);
    got_length = 0;
    read_more();
    ok(strstr(got, "at once\n") != NULL, "log_close(0) writes what the sink takes at once");
    close(writer);
    close(reader);
}

/* The patience is for the whole, not for each piece that a slow reader takes. */
static void test_close_slow(void)
{
    pthread_t thread;

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
    ok(longest_ns < 250 * CLOCK_MS, "log_close(150) and a slow reader: %lu ms",
       (unsigned long)(longest_ns / CLOCK_MS));
    close(writer);
    pthread_join(thread, NULL);
    close(reader);
}

static void test_gone(void)
{
    open_pipe(LOG_INFO, LOG_TEXT);
    close(reader);
    errno = EDOM;
    overfill(3000);
    is_int(errno, EDOM, "a reader that is gone: errno is preserved");
    ok(longest_ns < AT_ONCE_NS, "... nothing blocks");
    longest_ns = 0;
    log_info("to nobody");
    begin();
    log_close(5000);
    end();
    ok(longest_ns < AT_ONCE_NS, "... log_close() does not wait for it");
    close(writer);

    open_pipe(LOG_INFO, LOG_TEXT);
    overfill(3000);
    close(reader); /* with the pipe full, and lines still in the buffer */
    log_flush();
    longest_ns = 0;
    begin();
    log_close(5000);
    end();
    ok(longest_ns < AT_ONCE_NS, "a full pipe whose reader goes: log_close() does not wait");
    is_int(errno, EDOM, "... errno is preserved");
    close(writer);

    open_pipe(LOG_INFO, LOG_TEXT);
    log_info("again");
    ok(strstr(flushed(), "again\n") != NULL, "another sink works as ever");
    close_pipe();
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
    is_int(log_dropped(), 0, "a file takes everything");
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
    is_int(lines, THREADS * THREAD_LINES + 1, "as many lines as were written");
    is_int(right, THREADS * THREAD_LINES,
           "threads: whole lines, with their numbers, in order");
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
    json_line_is("info", "worker 12: said \"so\"");
    close_pipe();
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    setenv("TZ", "XYZ-5:30", 1); /* the log must not follow it */
    tzset();
    alarm(20); /* whatever blocks ends the test */
    test_closed();
    test_names();
    test_text();
    test_levels();
    test_errno();
    test_json();
    test_long_text();
    test_long_json();
    test_full(LOG_TEXT);
    test_full(LOG_JSON);
    test_close_waits();
    test_close_ends();
    test_close_slow();
    test_gone();
    test_threads();
    test_worker_json();
    return done();
}
