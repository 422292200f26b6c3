/* events: every line that the programs can log: its level, name, fields and text.
 *
 * EVENT() is a level and one string, which log.h takes apart at the newline in its middle.
 * Before it stand the event's name and those of its fields, one for each conversion of the
 * text behind it, in their order. A name that begins with "+" belongs to a field that the
 * text leaves out, one with "#" to a number that is a string here; "-" is a conversion that
 * is no field, and where no name is left the rest are none. So the compiler checks the
 * arguments of a line, and text and fields cannot drift apart. Numbers have their units in
 * their names.
 *
 * An event whose level depends on what was expected takes it as its argument.
 * docs/events.md has the same table for those who read logs. */
#ifndef ECHOLAB_EVENTS_H
#define ECHOLAB_EVENTS_H

#include <inttypes.h>

#include "base/format.h"

#define EVENT(level, names, text) level, names "\n" text

/* ---- of both programs ------------------------------------------------------------------
 */

#define EVENT_LOG_LINES_DROPPED                                                            \
    EVENT(LOG_WARN, "log_lines_dropped lines reason",                                      \
          "%lu log line" FORMAT_S " dropped: %s")
#define EVENT_SANDBOX_REFUSED                                                              \
    EVENT(LOG_ERROR, "sandbox_refused reason", "no sandbox: %s; allowed: sandbox = auto")
#define EVENT_SANDBOX_INCOMPLETE                                                           \
    EVENT(LOG_WARN, "sandbox_incomplete reason", "the sandbox is not complete: %s")
#define EVENT_SANDBOX_COMPLETE                                                             \
    EVENT(LOG_DEBUG, "sandbox_complete landlock_abi",                                      \
          "sandbox: no_new_privs, Landlock ABI %d, seccomp")
#define EVENT_SELF_PIPE_CLOSED EVENT(LOG_DEBUG, "self_pipe_closed", "self-pipe closed")

#define EVENT_ADMIN       EVENT(LOG_INFO, "admin address state", "admin address %s %s")
#define EVENT_POLL_FAILED EVENT(LOG_ERROR, "poll_failed reason", "cannot poll: %s")

/* ---- of the server ---------------------------------------------------------------------
 */

#define EVENT_START_FAILED EVENT(LOG_ERROR, "start_failed reason", "cannot start: %s")
#define EVENT_WORKER_START_FAILED                                                          \
    EVENT(LOG_ERROR, "worker_start_failed thread threads reason",                          \
          "cannot start worker thread %u of %u: %s")
#define EVENT_FILES_LIMIT_TOO_LOW                                                          \
    EVENT(LOG_ERROR, "files_limit_too_low files_limit files_needed",                       \
          "RLIMIT_NOFILE is %ju: too low; at least %ju are needed")
#define EVENT_MAX_CONNECTIONS_LOWERED                                                      \
    EVENT(LOG_WARN, "max_connections_lowered configured max_connections files_limit",      \
          "max_connections lowered from %" PRIu64 " to %zu: RLIMIT_NOFILE is %ju")
#define EVENT_NO_IPV6                                                                      \
    EVENT(LOG_WARN, "no_ipv6 reason", "%s; there is no IPv6 here, falling back to 0.0.0.0")
#define EVENT_LISTEN_FAILED EVENT(LOG_ERROR, "listen_failed reason", "%s")
#define EVENT_NO_HEALTH_CHECKS                                                             \
    EVENT(LOG_WARN, "no_health_checks reason", "no health checks: %s")
#define EVENT_NO_SIGNALS                                                                   \
    EVENT(LOG_WARN, "no_signals reason", "no signals for idle connections: %s")
#define EVENT_LISTENING EVENT(LOG_INFO, "listening address", "listening on %s")
#define EVENT_ACCEPT_FAILED                                                                \
    EVENT(LOG_WARN, "accept_failed reason connections",                                    \
          "cannot accept: %s; %zu connection" FORMAT_S ", trying again every 100ms")
#define EVENT_CONNECTION_ACCEPTED                                                          \
    EVENT(LOG_INFO, "connection_accepted connection peer",                                 \
          "connection %" PRIu32 " from %s accepted")
#define EVENT_CONNECTION_PROXIED                                                           \
    EVENT(LOG_INFO, "connection_proxied connection origin",                                \
          "connection %" PRIu32 " is from %s by its PROXY header")
#define EVENT_PROXY_HEADER_WRONG                                                           \
    EVENT(LOG_WARN, "proxy_header_wrong connection offset bytes data",                     \
          "connection %" PRIu32 ": wrong PROXY header at byte %zu of %zu: %s")
#define EVENT_CONNECTION_NO_MEMORY                                                         \
    EVENT(LOG_ERROR, "connection_no_memory connection",                                    \
          "connection %" PRIu32 " closed: no memory for it")
#define EVENT_MESSAGE_RECEIVED                                                             \
    EVENT(LOG_DEBUG, "message_received connection bytes data",                             \
          "connection %" PRIu32 " sent %zu byte" FORMAT_S ": %s")
#define EVENT_CONNECTION_CUT                                                               \
    EVENT(LOG_WARN, "connection_cut connection reason pending_bytes unacknowledged_bytes", \
          "connection %" PRIu32 " cut: %s, %zu byte" FORMAT_S                              \
          " pending, %zu not acknowledged")
#define EVENT_CONNECTION_CLOSED                                                            \
    EVENT(LOG_INFO, "connection_closed connection reason bytes",                           \
          "connection %" PRIu32 " closed: %s, %" PRIu64 " byte" FORMAT_S " echoed%s")
#define EVENT_COUNTERS EVENT(LOG_ASKED, "counters series #value", "counters: %.*s %.*s")
#define EVENT_WORKER_COUNTERS                                                              \
    EVENT(LOG_ASKED,                                                                       \
          "worker_counters connections taken received_bytes echoed_bytes "                 \
          "pending_bytes hot cold armed rounds wakeups overflows",                         \
          "counters: %zu connection" FORMAT_S " now, %" PRIu64 " taken, %" PRIu64          \
          " B in, %" PRIu64 " B echoed, %zu pending_memory, %zu hot, %zu cold, %" PRIu64   \
          " armed, rounds: %" PRIu64 ", wakeups: %" PRIu64 ", overflows: %" PRIu64)
#define EVENT_STOPPING                                                                     \
    EVENT(LOG_INFO, "stopping signal connections - - +drain_timeout_ns",                   \
          "%s: stopping, %zu connection" FORMAT_S " %s %s to end%" PRIu64)
#define EVENT_STOPPING_ALREADY                                                             \
    EVENT(LOG_INFO, "stopping_already signal", "%s again: stopping already")
#define EVENT_STOPPING_AT_ONCE                                                             \
    EVENT(LOG_WARN, "stopping_at_once signal connections",                                 \
          "%s again: cutting %zu connection" FORMAT_S)
#define EVENT_DRAIN_TIMEOUT                                                                \
    EVENT(LOG_WARN, "drain_timeout connections",                                           \
          "drain timeout: cutting %zu connection" FORMAT_S)
#define EVENT_LISTENER_CLOSED                                                              \
    EVENT(LOG_INFO, "listener_closed address", "listener on %s closed")
#define EVENT_STOPPED                                                                      \
    EVENT(LOG_INFO, "stopped connections bytes cut",                                       \
          "stopped: %" PRIu64 " connection" FORMAT_S ", %" PRIu64 " byte" FORMAT_S         \
          " echoed, %" PRIu64 " cut")

/* ---- of the client, its load and its examination ---------------------------------------
 */

#define EVENT_NO_MEMORY   EVENT(LOG_ERROR, "no_memory", "no memory")
#define EVENT_PIPE_FAILED EVENT(LOG_ERROR, "pipe_failed pipe reason", "cannot make %s: %s")
#define EVENT_INTERRUPTED EVENT(LOG_INFO, "interrupted signal", "%s: stopping")
#define EVENT_NOT_RESOLVED(level)                                                          \
    EVENT(level, "not_resolved target reason", "%s not resolved: %s%s")
#define EVENT_EXPECTATION(level) EVENT(level, "expectation verdict +expected", "%s%s")
#define EVENT_REPORT_FAILED                                                                \
    EVENT(LOG_ERROR, "report_failed reason", "cannot print the report: %s")

#define EVENT_SERVER_IDENTITY(level)                                                       \
    EVENT(level, "server_identity peer identity", "server %s is %s")
#define EVENT_SOCKET_CLOSED(level)                                                         \
    EVENT(level, "socket_closed peer", "connection to %s closed")
#define EVENT_MESSAGE_ECHOED                                                               \
    EVENT(LOG_INFO, "message_echoed reply +outcome +number +rtt_ns",                       \
          "Message from server: %s%s%" PRIu64 "%" PRIu64)
#define EVENT_MESSAGE_FAILED(level)                                                        \
    EVENT(level, "message_failed number target outcome reason",                            \
          "Message N\xc2\xb0%" PRIu64 " to %s %s: %s")
#define EVENT_SUMMARY                                                                      \
    EVENT(LOG_INFO, "summary sent echoed lost - - +rtt_min_ns +rtt_mean_ns +rtt_max_ns",   \
          "%" PRIu64 " sent, %" PRIu64 " echoed, %" PRIu64 " lost%s%s%" PRIu64 "%" PRIu64  \
          "%" PRIu64)
#define EVENT_TIMES                                                                        \
    EVENT(LOG_INFO, "times phase - +count +p50_ns +p99_ns +max_ns",                        \
          "%s: %s%" PRIu64 "%" PRIu64 "%" PRIu64 "%" PRIu64)

#define EVENT_SOURCE_FOREIGN                                                               \
    EVENT(LOG_ERROR, "source_foreign source",                                              \
          "--source: '%.*s' is no address of this machine; allowed: its own (ip address)")
#define EVENT_SOURCE_FAMILY                                                                \
    EVENT(LOG_ERROR, "source_family source target",                                        \
          "--source: '%s' has no address of the kind that %s has; allowed: IPv4 to IPv4, " \
          "IPv6 to IPv6")
#define EVENT_TOO_FEW_FILES                                                                \
    EVENT(LOG_ERROR, "too_few_files connections files_needed files_limit",                 \
          "%" PRIu64 " connections need %" PRIu64 " open files, the limit is %" PRIu64     \
          ": allowed: fewer, or a higher hard limit (ulimit -Hn, RLIMIT_NOFILE)")
#define EVENT_THREAD_START_FAILED                                                          \
    EVENT(LOG_ERROR, "thread_start_failed thread threads reason",                          \
          "cannot start thread %u of %" PRIu64 ": %s")
#define EVENT_THREAD_FAILED                                                                \
    EVENT(LOG_ERROR, "thread_failed reason", "a thread could not go on: %s")
#define EVENT_LOAD_FAULT(level)                                                            \
    EVENT(level, "load_fault connection peer number outcome - reason",                     \
          "connection %" PRIu32 " to %s, message %" PRIu64 ": %s%s%s")
#define EVENT_INTERVAL                                                                     \
    EVENT(LOG_DEBUG,                                                                       \
          "interval - sent echoed lost connections - - - errors +at_ns +p50_ns +p99_ns "   \
          "+max_ns",                                                                       \
          "from %s: %" PRIu64 " sent, %" PRIu64 " echoed, %" PRIu64 " lost, %" PRIu64      \
          " open, p50 %s, p99 %s, max %s, errors: %s%" PRIu64 "%" PRIu64 "%" PRIu64        \
          "%" PRIu64)
#define EVENT_LIMIT_BROKEN                                                                 \
    EVENT(LOG_ERROR, "limit_broken limit seen allowed", "--%s: %s; allowed: %s")
#define EVENT_NOTHING_ECHOED                                                               \
    EVENT(LOG_ERROR, "nothing_echoed", "no message was echoed, and none was lost")

#endif
