#include "log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
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

static struct {
    int fd;
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

void log_open(int fd, enum log_level level, enum log_format style)
{
    sink.fd = fd;
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
    return sink.dropped;
}

/* The calendar is computed once a second, not once a line. */
static const char *stamp_of(time_t second)
{
    if (second != sink.stamp_second) {
        struct tm tm;

        gmtime_r(&second, &tm);
        format(sink.stamp, sizeof sink.stamp, "%04d-%02d-%02d%c%02d:%02d:%02d",
               tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
               sink.style == LOG_JSON ? 'T' : ' ', tm.tm_hour, tm.tm_min, tm.tm_sec);
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
    char head[80];
    size_t used = sink.used;
    bool fits;

    clock_gettime(CLOCK_REALTIME, &now);
    unsigned ms = (unsigned)(now.tv_nsec / 1000000) % 1000;
    const char *stamp = stamp_of(now.tv_sec);
    if (sink.style == LOG_JSON) {
        format(head, sizeof head, "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"message\":\"",
               stamp, ms, log_level_names[level]);
        fits = append_text(&used, limit, head) && append_json(&used, limit, message) &&
               append_text(&used, limit, "\"}\n");
    } else {
        format(head, sizeof head, "%s.%03u %s ", stamp, ms, level_tags[level]);
        fits = append_text(&used, limit, head) && append_text(&used, limit, message) &&
               append_text(&used, limit, "\n");
    }
    if (fits) {
        sink.used = used;
    }
    return fits;
}

static void tell_drops(void)
{
    char note[64];

    if (sink.dropped == sink.dropped_told) {
        return;
    }
    format(note, sizeof note, "%lu log lines dropped: nobody reads them",
           sink.dropped - sink.dropped_told);
    if (append_line(LOG_WARN, note, BUFFER_SIZE)) {
        sink.dropped_told = sink.dropped;
    }
}

void log_line(enum log_level level, const char *pattern, ...)
{
    char message[LOG_LINE_MAX + 1];
    int saved = errno;
    va_list arguments;

    if (!log_enabled(level)) {
        return;
    }
    va_start(arguments, pattern);
    size_t length = format_list(message, sizeof message, pattern, arguments);
    va_end(arguments);
    if (length > LOG_LINE_MAX) {
        memcpy(message + LOG_LINE_MAX - 3, "...", 4);
    }
    if (!append_line(level, message, BUFFER_SIZE - DROP_NOTE_ROOM)) {
        log_flush();
        if (!append_line(level, message, BUFFER_SIZE - DROP_NOTE_ROOM)) {
            sink.dropped++;
        }
    }
    errno = saved;
}

/* Would a write of at most PIPE_BUF bytes block? After POLLOUT a pipe has room for that
 * many (pipe(7)); O_NONBLOCK is no way out, for it belongs to the open file description,
 * which others (the terminal, the shell) may share. */
static bool sink_is_writable(int timeout_ms)
{
    struct pollfd pfd = {.fd = sink.fd, .events = POLLOUT};

    return poll(&pfd, 1, timeout_ms) == 1;
}

/* Write the buffer's first bytes. Returns false when no more can be written now. */
static bool write_some(int timeout_ms)
{
    if (!sink_is_writable(timeout_ms)) {
        return false;
    }
    ssize_t written = write(sink.fd, buffer, sink.used < PIPE_BUF ? sink.used : PIPE_BUF);
    if (written == -1) {
        if (errno != EINTR && errno != EAGAIN) {
            sink.used = 0; /* the sink is gone: there is nobody to tell */
        }
        return errno == EINTR;
    }
    sink.used -= (size_t)written;
    memmove(buffer, buffer + written, sink.used);
    return true;
}

void log_flush(void)
{
    int saved = errno;

    if (sink.fd != -1) {
        while (sink.used > 0 && write_some(0)) {
        }
        if (sink.used < BUFFER_SIZE - DROP_NOTE_ROOM && sink.dropped != sink.dropped_told) {
            tell_drops();
            while (sink.used > 0 && write_some(0)) {
            }
        }
    }
    errno = saved;
}

void log_close(int patience_ms)
{
    int saved = errno;

    if (sink.fd != -1) {
        uint64_t end = clock_now_ns() + (uint64_t)patience_ms * CLOCK_MS;

        log_flush();
        while (sink.used > 0) {
            uint64_t now = clock_now_ns();
            int left_ms = now < end ? (int)((end - now) / CLOCK_MS) : 0;

            if (!write_some(left_ms) && left_ms == 0) {
                break;
            }
        }
        sink.fd = -1;
    }
    errno = saved;
}
