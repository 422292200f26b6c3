#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "format.h"

/* A round's lines must fit: at debug that is one line per ready connection. */
#define BUFFER_SIZE (16 * 1024)

/* Room kept at the buffer's end for the line that tells how many were dropped. */
#define DROP_NOTE_ROOM 160

const char *const log_level_names[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[] = {"text", "json", NULL};

static const char *const level_tags[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};

/* Guards all that follows. Nobody blocks while holding it, so a mutex would be too much. */
static atomic_flag is_locked = ATOMIC_FLAG_INIT;

static void lock(void)
{
    while (atomic_flag_test_and_set_explicit(&is_locked, memory_order_acquire)) {
        sched_yield();
    }
}

static void unlock(void)
{
    atomic_flag_clear_explicit(&is_locked, memory_order_release);
}

static struct {
    int fd;
    int own_fd;   /* the same terminal, opened again without blocking; -1: none */
    bool is_file; /* a write to it never blocks for long */
    enum log_level level;
    enum log_format style;
    size_t used;                /* bytes waiting in the buffer */
    unsigned long dropped;      /* lines, since log_open() */
    unsigned long dropped_told; /* of those, already reported by a line */
    time_t stamp_second;        /* the second that `stamp` shows */
    char stamp[24];             /* YYYY-MM-DD?HH:MM:SS */
} sink = {.fd = -1};

/* Apart from the rest, so that it takes no room in the executable. */
static char buffer[BUFFER_SIZE];

/* Of the calling thread; 0: none. */
static _Thread_local int worker;

void log_set_worker(int number)
{
    worker = number;
}

/* A terminal that is stopped (Ctrl-S) blocks a write even after POLLOUT, so it is opened
 * again, which makes an open file description of our own. */
static int open_again(int fd)
{
    char path[32];

    format(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_open(int fd, enum log_level level, enum log_format style)
{
    int saved = errno;

    sink.own_fd = isatty(fd) ? open_again(fd) : -1;
    sink.is_file = lseek(fd, 0, SEEK_CUR) != -1; /* pipes, sockets and terminals cannot */
    errno = saved;
    sink.fd = sink.own_fd != -1 ? sink.own_fd : fd;
    sink.level = level;
    sink.style = style;
    sink.used = 0;
    sink.dropped = 0;
    sink.dropped_told = 0;
    sink.stamp_second = -1;
}

bool log_enabled(enum log_level level)
{
    return sink.fd != -1 && level >= sink.level;
}

unsigned long log_dropped(void)
{
    lock();
    unsigned long dropped = sink.dropped;
    unlock();
    return dropped;
}

/* ---- one line into the buffer ----------------------------------------------------------
 */

/* The date of a day since 1970-01-01, in the Gregorian calendar, for years after 1600: the
 * year begins in March here, so that the leap day is its last. (gmtime_r() would be a
 * hundredth of the executable.) */
static void set_date(unsigned day, unsigned *year, unsigned *month, unsigned *day_of_month)
{
    unsigned since_1600 = day + 135080; /* days since 1600-03-01 */
    unsigned era = since_1600 / 146097, of_era = since_1600 % 146097; /* 400 years */
    unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
    unsigned march_based = (5 * of_year + 2) / 153;

    *day_of_month = of_year - (153 * march_based + 2) / 5 + 1;
    *month = march_based < 10 ? march_based + 3 : march_based - 9;
    *year = 1600 + 400 * era + years + (*month <= 2);
}

/* The calendar is computed once a second, not once a line. */
static const char *stamp_of(time_t second)
{
    if (second != sink.stamp_second) {
        unsigned year, month, day, of_day = (unsigned)(second % 86400);

        set_date((unsigned)(second / 86400), &year, &month, &day);
        format(sink.stamp, sizeof sink.stamp, "%04u-%02u-%02u%c%02u:%02u:%02u", year, month,
               day, sink.style == LOG_JSON ? 'T' : ' ', of_day / 3600, of_day / 60 % 60,
               of_day % 60);
        sink.stamp_second = second;
    }
    return sink.stamp;
}

/* Append `text` as the inside of a JSON string (RFC 8259, section 7). Returns false when it
 * does not fit below `limit`. */
static bool append_json(size_t *used, size_t limit, const char *text)
{
    static const char hex[] = "0123456789abcdef";

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if (*used + 6 > limit) {
            return false;
        }
        if (c == '"' || c == '\\') {
            buffer[(*used)++] = '\\';
            buffer[(*used)++] = (char)c;
        } else if (c < 0x20) {
            memcpy(buffer + *used, "\\u00", 4);
            buffer[*used + 4] = hex[c >> 4];
            buffer[*used + 5] = hex[c & 15];
            *used += 6;
        } else {
            buffer[(*used)++] = (char)c;
        }
    }
    return true;
}

static bool append_text(size_t *used, size_t limit, const char *text)
{
    size_t length = strlen(text);

    if (*used + length > limit) {
        return false;
    }
    memcpy(buffer + *used, text, length);
    *used += length;
    return true;
}

/* Put one whole line into the buffer below `limit`, or nothing of it. */
static bool append_line(enum log_level level, const char *message, size_t limit)
{
    struct timespec now;
    size_t used = sink.used;
    bool is_json = sink.style == LOG_JSON;

    clock_gettime(CLOCK_REALTIME, &now);
    unsigned ms = (unsigned)(now.tv_nsec / 1000000) % 1000;
    char fraction[] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                       (char)('0' + ms % 10), '\0'};
    bool fits =
        append_text(&used, limit, is_json ? "{\"time\":\"" : "") &&
        append_text(&used, limit, stamp_of(now.tv_sec)) &&
        append_text(&used, limit, fraction) &&
        append_text(&used, limit, is_json ? "Z\",\"level\":\"" : " ") &&
        append_text(&used, limit, is_json ? log_level_names[level] : level_tags[level]) &&
        append_text(&used, limit, is_json ? "\",\"message\":\"" : " ") &&
        (is_json ? append_json : append_text)(&used, limit, message) &&
        append_text(&used, limit, is_json ? "\"}\n" : "\n");
    if (fits) {
        sink.used = used;
    }
    return fits;
}

/* ---- the buffer into the sink ----------------------------------------------------------
 */

/* Would a write of at most PIPE_BUF bytes block? After POLLOUT a pipe has room for that
 * many (pipe(7)); O_NONBLOCK is no way out, for it belongs to the open file description,
 * which others (the terminal, the shell) may share. */
static bool is_writable(int timeout_ms)
{
    struct pollfd pfd = {.fd = sink.fd, .events = POLLOUT};

    return sink.is_file || poll(&pfd, 1, timeout_ms) == 1;
}

/* Write as much as the sink takes; wait `timeout_ms` for it to take any. */
static void write_out(int timeout_ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)timeout_ms * CLOCK_MS;
    size_t done = 0;

    for (uint64_t now = end; done < sink.used; now = clock_now_ns()) {
        int left_ms = timeout_ms == 0 || now > end ? 0 : (int)((end - now) / CLOCK_MS);

        if (!is_writable(now == end ? timeout_ms : left_ms)) {
            break;
        }
        size_t most =
            sink.is_file || sink.used - done < PIPE_BUF ? sink.used - done : PIPE_BUF;
        ssize_t written = write(sink.fd, buffer + done, most);

        if (written == -1 && errno == EINTR) {
            continue;
        }
        if (written == -1) {
            if (errno != EAGAIN) {
                done = sink.used; /* the sink is gone: there is nobody to tell */
            }
            break;
        }
        done += (size_t)written;
    }
    sink.used -= done;
    memmove(buffer, buffer + done, sink.used);
}

/* As soon as there is room again, say how many lines are missing. */
static void tell_drops(void)
{
    char note[64];

    if (sink.dropped == sink.dropped_told || sink.used > BUFFER_SIZE - DROP_NOTE_ROOM) {
        return;
    }
    format(note, sizeof note, "%lu log lines dropped: nobody reads them",
           sink.dropped - sink.dropped_told);
    if (append_line(LOG_WARN, note, BUFFER_SIZE)) {
        sink.dropped_told = sink.dropped;
    }
}

static void flush(int timeout_ms)
{
    write_out(timeout_ms);
    if (sink.dropped != sink.dropped_told) {
        tell_drops();
        write_out(0);
    }
}

/* ---- the public side -------------------------------------------------------------------
 */

void log_line(enum log_level level, const char *pattern, ...)
{
    char message[LOG_LINE_MAX + 1];
    int saved = errno;
    va_list arguments;

    if (!log_enabled(level)) {
        return;
    }
    size_t used = worker == 0 ? 0 : format(message, sizeof message, "worker %d: ", worker);
    va_start(arguments, pattern);
    used += format_list(message + used, sizeof message - used, pattern, arguments);
    va_end(arguments);
    if (used > LOG_LINE_MAX) {
        char *cut = message + LOG_LINE_MAX - 3;

        while (((unsigned char)*cut & 0xc0) == 0x80) { /* inside a UTF-8 character */
            cut--;
        }
        memcpy(cut, "...", 4);
    }
    lock();
    if (!append_line(level, message, BUFFER_SIZE - DROP_NOTE_ROOM)) {
        flush(0);
        if (!append_line(level, message, BUFFER_SIZE - DROP_NOTE_ROOM)) {
            sink.dropped++;
        }
    }
    unlock();
    errno = saved;
}

void log_flush(void)
{
    int saved = errno;

    if (sink.fd != -1) {
        lock();
        if (sink.used > 0 || sink.dropped != sink.dropped_told) {
            flush(0);
        }
        unlock();
    }
    errno = saved;
}

void log_close(int patience_ms)
{
    int saved = errno;
    uint64_t end = clock_now_ns() + (uint64_t)patience_ms * CLOCK_MS;

    if (sink.fd != -1) {
        for (uint64_t now = clock_now_ns(); sink.used > 0; now = clock_now_ns()) {
            flush(now < end ? (int)((end - now) / CLOCK_MS) : 0);
            if (now >= end) {
                break;
            }
        }
        sink.fd = -1;
        if (sink.own_fd != -1) {
            close(sink.own_fd);
        }
    }
    errno = saved;
}
