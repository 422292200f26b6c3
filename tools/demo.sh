#!/bin/sh
# The lab without Docker: the server and N clients as processes on loopback, each line with
# its program's name before it. Ctrl-C, SIGTERM and a terminal that closes stop all, gracefully.
#
#   demo.sh N            N: 0 to 1000
#
# The configuration is config/*.ini; the server listens on a free port. Environment variables
# count as always: CLI_LOOP_LAPSE=3s CLI_LOOP_PERIOD=1s demo.sh 5. LAPSE is CLI_LOOP_LAPSE.
# Exit: 0 if server and clients all ended with 0, otherwise 1; 2 wrong usage.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
n=${1-}

case $n in
'' | *[!0-9]* | 0?* | ?????*) is_good=no ;;
*) [ "$n" -le 1000 ] && is_good=yes || is_good=no ;;
esac
if [ "$is_good" = no ]; then
    echo "demo: N='$n' is wrong; allowed: a whole number from 0 to 1000" >&2
    exit 2
fi

if [ -n "${LAPSE-}" ]; then
    export CLI_LOOP_LAPSE="$LAPSE"
    "$top/build/echo-client" --check-config -c "$top/config/client.ini" >/dev/null || exit
fi
s=; [ "$n" -eq 1 ] || s=s

dir=
pids=
server=
code=0
is_interrupted=no
is_stopped=no

# A signal ends the clients; the server is stopped after them. A second signal would cut it.
# shellcheck disable=SC2317,SC2329 # called by the traps
stop()
{
    is_interrupted=yes
    is_stopped=yes
    for pid in ${pids:-$server}; do
        kill -TERM "$pid" 2>/dev/null || true
    done
}

# shellcheck disable=SC2317,SC2329 # called by the trap
clean()
{
    trap '' HUP INT TERM
    # shellcheck disable=SC2086 # process ids, to be split
    kill -TERM $pids $server 2>/dev/null || true
    [ -z "$dir" ] || rm -rf "$dir"
}
trap clean EXIT
trap stop INT TERM
# Nobody reads any more: a line that cannot be written must not end this early.
trap 'exec >/dev/null 2>&1; stop' HUP
dir=$(mktemp -d)

# Each line at once, with a name before it. Where sed cannot do that it is busybox's, whose awk
# can; Debian's awk would wait for more.
prefix()
{
    if sed -u '' </dev/null >/dev/null 2>&1; then
        exec sed -u "s/^/$1 | /"
    fi
    exec awk -v name="$1" '{ print name " | " $0; fflush() }'
}

# start NAME COMMAND...: run it in the background with NAME before each line; sets $pid.
start()
{
    name=$1
    shift
    mkfifo "$dir/$name"
    # This pipe ignores the terminal's signals, so that the program's last lines get through.
    (trap '' HUP INT TERM; prefix "$name" <"$dir/$name" | tee -a "$dir/log") &
    # Ctrl-C reaches this script only; it stops the programs in their order.
    setsid "$@" >"$dir/$name" 2>&1 &
    pid=$!
}

# finish PID NAME: wait for it, even if signals arrive meanwhile; note its failure. A `wait`
# that a signal interrupts returns more than 128; the next one returns the program's own code.
finish()
{
    while :; do
        is_interrupted=no
        status=0
        wait "$1" || status=$?
        if [ "$status" -le 128 ] || [ "$is_interrupted" = no ]; then
            break
        fi
    done
    [ "$status" -eq 0 ] || { echo "$2 ended with $status"; code=1; }
}

# A free port, and none for metrics: other labs and programs are on this machine, too.
SERVER_PORT=0 SERVER_ADMIN_ADDRESS=none start server "$top/build/echo-server" -c "$top/config/server.ini"
server=$pid
tries=0
until port=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$dir/log" 2>/dev/null) && [ -n "$port" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 100 ] || ! kill -0 "$server" 2>/dev/null; then
        echo "demo: the server did not start" >&2
        exit 1
    fi
    sleep 0.05
done

echo "demo: server at 127.0.0.1:$port and $n client$s; Ctrl-C ends them"
i=1
while [ "$i" -le "$n" ] && [ "$is_stopped" = no ]; do
    CLI_ID=$i CLI_SERVER_ADDRESS=127.0.0.1:$port CLI_ADMIN_ADDRESS=none \
        start "client$i" "$top/build/echo-client" -c "$top/config/client.ini"
    pids="$pids $pid"
    i=$((i + 1))
done

i=1
for pid in $pids; do
    # (A client that was just forked may have lost the signal.)
    [ "$is_stopped" = no ] || kill -TERM "$pid" 2>/dev/null || true
    finish "$pid" "client$i"
    i=$((i + 1))
done
kill -TERM "$server" 2>/dev/null || true
finish "$server" server
wait
[ "$code" -ne 0 ] || echo "demo: server and $n client$s ended well"
exit "$code"
