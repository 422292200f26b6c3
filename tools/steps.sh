# shellcheck shell=sh
# Long steps of the scripts that read this file (`. steps.sh`): each says what it does and about
# how long that takes, that it goes on, and how long it took.
#
#   step TEXT COMMAND...   prints TEXT and runs the command, whose output goes to the file
#                          $step_log, and with V=1 also to where it would without this; otherwise
#                          its last line is shown every few seconds. Returns the command's code.
#   step_failed LINES      shows the end of $step_log, unless V=1 showed it
#   step_clean             for the caller's trap: ends what step started
#   need_linux NAME        exit 1, in the name of a script, where date and timeout are not Linux's

step_log=/dev/null
step_watcher=

# How long it has taken so far, and the command's last line: on a terminal one line that changes.
step_watch()
{
    step_pause=5
    [ ! -t 1 ] || step_pause=1
    while sleep "$step_pause" >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
        step_says=$(tail -n 1 "$step_log" 2>/dev/null | LC_ALL=C tr -cd '[:print:]' | cut -c 1-64)
        if [ -t 1 ]; then
            printf '\r\033[K  %s s%s' "$(($(date +%s) - step_began))" "${step_says:+: $step_says}"
        else
            echo "  $(($(date +%s) - step_began)) s${step_says:+: $step_says}"
        fi
    done
}

step_clean()
{
    # (A shell that was just forked may lose any other signal.)
    [ -z "$step_watcher" ] || kill -KILL "$step_watcher" 2>/dev/null || true
    [ -z "$step_watcher" ] || wait "$step_watcher" 2>/dev/null || true
    [ -z "$step_watcher" ] || [ ! -t 1 ] || printf '\r\033[K'
    step_watcher=
}

step() # TEXT COMMAND...
{
    echo "$1"
    shift
    step_began=$(date +%s)
    step_code=0
    if [ "${V-}" = 1 ]; then
        echo 0 >"$step_log.code"
        { "$@" 2>&1 </dev/null || echo $? >"$step_log.code"; } | tee "$step_log"
        step_code=$(cat "$step_log.code")
        rm -f "$step_log.code"
    else
        : >"$step_log"
        step_watch &
        step_watcher=$!
        "$@" >"$step_log" 2>&1 </dev/null || step_code=$?
        step_clean
    fi
    [ "$step_code" -ne 0 ] || echo "  done in $(($(date +%s) - step_began)) s"
    return "$step_code"
}

step_failed() # LINES
{
    [ "${V-}" = 1 ] || tail -n "$1" "$step_log" >&2
}

need_linux() # NAME
{
    if [ "$(date -u -d @0 +%s 2>/dev/null)" != 0 ]; then
        step_lacks='date here has no -d'
    elif ! command -v timeout >/dev/null 2>&1; then
        step_lacks='timeout is missing here'
    else
        return 0
    fi
    echo "$1: $step_lacks ($(uname -s)): echolab runs on Linux, with GNU's or busybox's tools; allowed: a Linux machine, virtual or not" >&2
    exit 1
}
