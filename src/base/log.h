/* log: events as levelled lines for people and for grep, or as JSON objects with fields.
 *
 * A line is formatted into a buffer at once; log_flush() writes what the buffer holds, so
 * that a program which polls writes once per round. Nothing here ever blocks the caller: a
 * pipe that nobody reads makes the buffer fill, later lines are dropped, counted, and the
 * count is logged as soon as there is room. The same for a file that takes no more (EFBIG,
 * with SIGXFSZ ignored; ENOSPC, EDQUOT). A sink that is gone (EPIPE, EIO) is no error.
 *
 * Text:  2026-11-23 15:10:54.123Z INFO  connection 7 from 172.24.125.3:60392 accepted
 * JSON:  {"time":"2026-11-23T15:10:54.123Z","level":"info","event":"connection_accepted",
 *         "connection":7,"peer":"172.24.125.3:60392","message":"connection 7 from ..."}
 *
 * In JSON the message is the text, and each field is a number or a string. events.h is the
 * table of all events.
 *
 * Times are UTC: a scratch image has no time zone data. Every function preserves errno.
 * One log per process, for all threads; a line may tell whose it is: a worker's, a
 * client's. */
#ifndef ECHOLAB_LOG_H
#define ECHOLAB_LOG_H

#include <stdbool.h>

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
    LOG_ASKED, /* what somebody asked for by a signal: kept at every level, shown as info;
                * not for log_open() */
};

enum log_format {
    LOG_TEXT,
    LOG_JSON,
};

/* Names of the levels, up to LOG_ERROR, and formats in the order of the enums, NULL at the
 * end: what a configuration may say. */
extern const char *const log_level_names[];
extern const char *const log_format_names[];

/* The longest message of a line, in bytes; a longer one is cut at a whole character and
 * ends in "...". So is a field's string. */
#define LOG_LINE_MAX 1000

/* Send lines of at least `level` to the open descriptor `fd`, which stays the caller's.
 * Before this call, and after log_close(), lines are thrown away. */
void log_open(int fd, enum log_level level, enum log_format style);

/* Would a line of this level be kept? For callers whose arguments cost something. */
bool log_enabled(enum log_level level);

/* From now on the calling thread's lines begin with "worker N: ", and have a field
 * `worker`.
 */
void log_set_worker(int number);

/* The same with "[CLIENT id] " and a field `client`; NULL: none. The log keeps the pointer.
 */
void log_set_client(const char *id);

/* Log an event of events.h: log_event(EVENT_CONNECTION_ACCEPTED, id, peer). The arguments
 * are those of its text's conversions, as for format(), without %c and %x. */
#define log_event(...) log_line(__VA_ARGS__)
void log_line(enum log_level level, const char *event, ...)
    __attribute__((format(printf, 2, 3)));

/* Write as much of the buffer as the sink takes without blocking. */
void log_flush(void);

/* Write the rest, waiting at most `patience_ms` for a sink that is full, then forget it. */
void log_close(int patience_ms);

/* Does it hold a descriptor of its own, the terminal opened again? */
bool log_has_descriptor(void);

/* Lines dropped since log_open(). */
unsigned long log_dropped(void);

#endif
