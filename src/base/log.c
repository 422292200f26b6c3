#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/calendar.h"
#include "base/clock.h"
#include "base/events.h"
#include "base/format.h"
#include "base/spinlock.h"

/* A round's lines must fit: at debug that is one line per ready connection. */
#define BUFFER_SIZE (16 * 1024)

/* Room kept at the buffer's end for the line that tells how many were dropped. */
#define DROP_NOTE_ROOM 320

/* Of the members of a line's JSON object: a string that takes more than VALUE_MAX is cut,
 * and a field that would begin behind FIELDS_MAX is left out (no event comes near that). */
#define VALUE_MAX   (2 * LOG_LINE_MAX)
#define FIELDS_MAX  (3 * LOG_LINE_MAX)
#define MEMBERS_MAX (FIELDS_MAX + 2 * VALUE_MAX + LOG_LINE_MAX)

const char *const log_level_names[] = {"debug", "info", "warn", "error", NULL};
const char *const log_format_names[] = {"text", "json", NULL};

static const char level_tags[][6] = {"DEBUG", "INFO ", "WARN ", "ERROR", "INFO "};

/* Guards all that follows. Nobody blocks while holding it, so a mutex would be too much. */
static atomic_flag is_locked = ATOMIC_FLAG_INIT;

static struct {
    int fd;
    int own_fd;   /* the same terminal, opened again without blocking; -1: none */
    bool is_file; /* a write to it never blocks for long */
    enum log_level level;
    enum log_format style;
    size_t used;                /* bytes waiting in the buffer */
    unsigned long dropped;      /* lines, since log_open() */
    unsigned long dropped_told; /* of those, already reported by a line */
    unsigned long telling;      /* of those, reported by a line in the buffer */
    int error;                  /* why the sink refused some; 0: it did not */
    bool is_torn;               /* the sink took only the beginning of a line */
    time_t stamp_second;        /* the second that `stamp` shows */
    char stamp[CALENDAR_TEXT];
} sink = {.fd = -1, .own_fd = -1};

/* Apart from the rest, so that it takes no room in the executable. */
static char buffer[BUFFER_SIZE + 1];

/* Whose lines those of the calling thread are; 0 and NULL: nobody's. */
static _Thread_local int worker;
static _Thread_local const char *client;

void log_set_worker(int number)
{
    worker = number;
}

void log_set_client(const char *id)
{
    client = id;
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
    sink.telling = 0;
    sink.error = 0;
    sink.is_torn = false;
    sink.stamp_second = -1;
}

bool log_has_descriptor(void)
{
    return sink.own_fd != -1;
}

bool log_enabled(enum log_level level)
{
    return sink.fd != -1 && level >= sink.level;
}

unsigned long log_dropped(void)
{
    spinlock_lock(&is_locked);
    unsigned long dropped = sink.dropped;
    spinlock_unlock(&is_locked);
    return dropped;
}

/* ---- an event as message and fields ----------------------------------------------------
 */

/* A line before it is in the buffer. */
struct line {
    enum log_level level;
    const char *event; /* as in events.h */
    const char *names; /* behind it, of the conversions that are left */
    size_t length;     /* of the message */
    size_t used;       /* of the JSON object's members */
    char message[LOG_LINE_MAX + 1];
    char members[MEMBERS_MAX];
};

/* Add a JSON string without its opening quote (RFC 8259, section 7). A long one is cut at a
 * whole UTF-8 character and ends in "...". */
static void add_string(struct line *line, const char *bytes, size_t length)
{
    char *out = line->members;
    size_t used = line->used, limit = used + VALUE_MAX, safe = used;

    for (; length > 0; length--, bytes++) {
        unsigned char c = (unsigned char)*bytes;

        if ((c & 0xc0) != 0x80) {
            safe = used;
        }
        if (used > limit) {
            used = safe + format(out + safe, 4, "...");
            break;
        }
        if (c < 0x20) {
            used += format(out + used, 7, "\\u%04x", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            out[used++] = '\\';
        }
        out[used++] = (char)c;
    }
    line->used = used + format(out + used, 2, "\"");
}

static void add_member(struct line *line, const char *name, size_t name_length,
                       const char *value, size_t length, bool is_string)
{
    line->used += format(line->members + line->used, sizeof line->members - line->used,
                         ",\"%.*s\":%.*s", (int)name_length, name,
                         is_string ? 1 : (int)length, is_string ? "\"" : value);
    if (is_string) {
        add_string(line, value, length);
    }
}

/* What one conversion gives: a field, if it has a name. Does the text show it? */
static bool add_conversion(void *context, const char *bytes, size_t length, char conversion)
{
    struct line *line = context;
    const char *name = line->names + (*line->names == ' ');
    size_t name_length = strcspn(name, " \n");
    bool is_hidden = *name == '+', is_number = *name == '#';

    line->names = name + name_length;
    if (sink.style == LOG_JSON && name_length > 0 && *name != '-' &&
        line->used < FIELDS_MAX) {
        bool has_mark = is_hidden || is_number;

        add_member(line, name + has_mark, name_length - has_mark, bytes, length,
                   conversion == 's' && !is_number);
    }
    return !is_hidden;
}

static void add_list(struct line *line, enum log_level level, const char *event,
                     va_list arguments)
{
    line->level = level;
    line->event = event;
    line->names = event + strcspn(event, " \n");
    line->length +=
        format_each_list(line->message + line->length, sizeof line->message - line->length,
                         add_conversion, line, strchr(line->names, '\n') + 1, arguments);
    if (line->length > LOG_LINE_MAX) {
        line->length = LOG_LINE_MAX - 3;
        while (((unsigned char)line->message[line->length] & 0xc0) == 0x80) {
            line->length--; /* inside a UTF-8 character */
        }
        memcpy(line->message + line->length, "...", 4);
        line->length += 3;
    }
    if (sink.style == LOG_JSON && *event != ' ') {
        add_member(line, "message", strlen("message"), line->message, line->length, true);
    }
}

__attribute__((format(printf, 3, 4))) static void
add(struct line *line, enum log_level level, const char *event, ...)
{
    va_list arguments;

    va_start(arguments, event);
    add_list(line, level, event, arguments);
    va_end(arguments);
}

/* ---- one line into the buffer ----------------------------------------------------------
 */

/* The calendar is computed once a second, not once a line. */
static const char *stamp_of(time_t second)
{
    if (second != sink.stamp_second) {
        calendar_text(sink.stamp, second, sink.style == LOG_JSON ? 'T' : ' ');
        sink.stamp_second = second;
    }
    return sink.stamp;
}

static const char *json_name(enum log_level level)
{
    return log_level_names[level == LOG_ASKED ? LOG_INFO : level];
}

/* Put one whole line into the buffer below `limit`, or nothing of it. */
static bool append_line(const struct line *line, size_t limit)
{
    bool is_json = sink.style == LOG_JSON;
    struct timespec now;

    if (sink.used > limit) {
        return false;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    size_t length =
        format(buffer + sink.used, limit + 1 - sink.used,
               is_json ? "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"event\":\"%.*s\"%s}\n"
                       : "%s.%03uZ %s %.*s%s\n",
               stamp_of(now.tv_sec), (unsigned)(now.tv_nsec / 1000000) % 1000,
               is_json ? json_name(line->level) : level_tags[line->level],
               is_json ? (int)strcspn(line->event, " \n") : 0, line->event,
               is_json ? line->members : line->message);
    if (sink.used + length > limit) {
        return false;
    }
    sink.used += length;
    return true;
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

/* The sink refused what the buffer holds from `done` on. If it is gone, there is nobody to
 * tell; a file may have room again later. */
static void drop_rest(size_t done, int error)
{
    bool is_gone = error == EPIPE || error == EIO;

    for (size_t i = done; i < sink.used && !is_gone; i++) {
        sink.dropped += buffer[i] == '\n';
    }
    if (sink.telling > 0 && !is_gone) { /* the note is the last of these lines */
        sink.dropped--;
        sink.dropped_told -= sink.telling;
    }
    if (done > 0) {
        sink.is_torn = buffer[done - 1] != '\n';
    }
    sink.error = error;
    sink.telling = 0;
    sink.used = 0;
}

/* Write as much as the sink takes; wait `timeout_ms` for it to take any. Returns false when
 * it refused the rest. */
static bool write_out(int timeout_ms)
{
    uint64_t end = clock_now_ns() + (uint64_t)timeout_ms * CLOCK_MS;
    size_t done = 0;

    if (sink.used > 0 && sink.is_torn) {
        if (write(sink.fd, "\n", 1) != 1) {
            drop_rest(0, errno);
            return false;
        }
        sink.is_torn = false;
    }
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
                drop_rest(done, errno);
                return false;
            }
            break;
        }
        done += (size_t)written;
    }
    sink.used -= done;
    memmove(buffer, buffer + done, sink.used);
    sink.telling = sink.used == 0 ? 0 : sink.telling;
    return true;
}

/* As soon as there is room again, say how many lines are missing. */
static void tell_drops(void)
{
    struct line note;
    unsigned long missing = sink.dropped - sink.dropped_told;

    if (missing == 0 || sink.used > BUFFER_SIZE - DROP_NOTE_ROOM) {
        return;
    }
    note.length = note.used = 0;
    add(&note, EVENT_LOG_LINES_DROPPED, missing,
        sink.error == 0 ? "nobody reads them" : strerror(sink.error));
    if (append_line(&note, BUFFER_SIZE)) {
        sink.dropped_told = sink.dropped;
        sink.telling = missing;
    }
}

static void flush(int timeout_ms)
{
    if (write_out(timeout_ms) && sink.dropped != sink.dropped_told) {
        tell_drops();
        write_out(0);
    }
}

/* ---- the public side -------------------------------------------------------------------
 */

void log_line(enum log_level level, const char *event, ...)
{
    struct line line;
    int saved = errno;
    va_list arguments;

    if (!log_enabled(level)) {
        return;
    }
    line.length = line.used = 0;
    if (worker != 0) {
        add(&line, level, " worker\nworker %d: ", worker);
    } else if (client != NULL) {
        add(&line, level, " client\n[CLIENT %s] ", client);
    }
    va_start(arguments, event);
    add_list(&line, level, event, arguments);
    va_end(arguments);
    spinlock_lock(&is_locked);
    if (!append_line(&line, BUFFER_SIZE - DROP_NOTE_ROOM)) {
        flush(0);
        if (!append_line(&line, BUFFER_SIZE - DROP_NOTE_ROOM)) {
            sink.dropped++;
        }
    }
    spinlock_unlock(&is_locked);
    errno = saved;
}

void log_flush(void)
{
    int saved = errno;

    if (sink.fd != -1) {
        spinlock_lock(&is_locked);
        /* A file that refused lines is asked again when there is a new one. */
        if (sink.used > 0 || (sink.dropped != sink.dropped_told && !sink.is_file)) {
            flush(0);
        }
        spinlock_unlock(&is_locked);
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
            sink.own_fd = -1;
        }
    }
    errno = saved;
}
