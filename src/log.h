/* log: levelled lines for people and for grep, or one JSON object per line.
 *
 * A line is formatted into a buffer at once; log_flush() writes what the buffer holds, so
 * that a program which polls writes once per round. Nothing here ever blocks the caller: a
 * pipe that nobody reads makes the buffer fill, later lines are dropped, counted, and the
 * count is logged as soon as there is room. A sink that is gone (EPIPE, EIO) is no error.
 *
 * Text:  2026-11-23 15:10:54.123 INFO  connection 7 from 172.24.125.3:60392 accepted
 * JSON:  {"time":"2026-11-23T15:10:54.123Z","level":"info","message":"connection 7 ..."}
 *
 * Times are UTC: a scratch image has no time zone data. Every function preserves errno.
 * One log per process, for all threads; a thread's lines may carry its number. */
#ifndef ECHOLAB_LOG_H
#define ECHOLAB_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
};

enum log_format {
    LOG_TEXT,
    LOG_JSON,
};

/* Names of the levels and formats in the order of the enums, NULL at the end: what a
 * configuration may say. */
extern const char *const log_level_names[];
extern const char *const log_format_names[];

/* The longest message of a line, in bytes; a longer one is cut at a whole character and
 * ends in "...". */
#define LOG_LINE_MAX 1000

/* Send lines of at least `level` to the open descriptor `fd`, which stays the caller's.
 * Before this call, and after log_close(), lines are thrown away. */
void log_open(int fd, enum log_level level, enum log_format style);

/* Would a line of this level be kept? For callers whose arguments cost something. */
bool log_enabled(enum log_level level);

/* From now on the calling thread's lines begin with "worker N: ". */
void log_set_worker(int number);

/* Format one line, as format() does, without a newline at its end. */
void log_line(enum log_level level, const char *pattern, ...)
    __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

/* Write as much of the buffer as the sink takes without blocking. */
void log_flush(void);

/* Write the rest, waiting at most `patience_ms` for a sink that is full, then forget it. */
void log_close(int patience_ms);

/* Lines dropped since log_open(). */
unsigned long log_dropped(void);

#endif
