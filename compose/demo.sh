#!/bin/sh
# The lab without Docker: the server and N clients as processes on loopback, each line with
# its program's name before it. Ctrl-C stops all, gracefully.
#
#   demo.sh N            N: 0 to 1000
#
# The configuration is config/*.ini; the server's port is one that is free. Environment
# variables as always: CLI_LOOP_LAPSE=3s CLI_LOOP_PERIOD=1s demo.sh 5
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

dir=$(mktemp -d)
pids=
server=
code=0
is_interrupted=no

# A signal ends the clients, and their end the server: a second signal would cut it.
# shellcheck disable=SC2317 # called by the traps
stop()
{
    is_interrupted=yes
    for pid in ${pids:-$server}; do
        kill -TERM "$pid" 2>/dev/null || true
    done
}
trap stop INT TERM
trap 'kill -TERM $pids $server 2>/dev/null || true; rm -rf "$dir"' EXIT

# start NAME COMMAND...: run it in the background with NAME before each line; sets $pid.
start()
{
    name=$1
    shift
    mkfifo "$dir/$name"
    # Signals from the terminal are for the programs; their last lines must still get through.
    (trap '' INT TERM; exec sed -u "s/^/$name | /" <"$dir/$name" | tee -a "$dir/log") &
    # Ctrl-C reaches this script only, which knows the order to stop in.
    setsid "$@" >"$dir/$name" 2>&1 &
    pid=$!
}

# finish PID NAME: wait for it, even if a signal comes meanwhile; note its failure. An
# interrupted `wait` returns more than 128, and the next one the program's own code.
finish()
{
    is_interrupted=no
    status=0
    wait "$1" || status=$?
    if [ "$status" -gt 128 ] && [ "$is_interrupted" = yes ]; then
        status=0
        wait "$1" || status=$?
    fi
    [ "$status" -eq 0 ] || { echo "$2 ended with $status"; code=1; }
}

SERVER_PORT=0 start server "$top/build/echo-server" -c "$top/config/server.ini"
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

i=1
while [ "$i" -le "$n" ]; do
    CLI_ID=$i CLI_SERVER_ADDRESS=127.0.0.1:$port \
        start "client$i" "$top/build/echo-client" -c "$top/config/client.ini"
    pids="$pids $pid"
    i=$((i + 1))
done

i=1
for pid in $pids; do
    finish "$pid" "client$i"
    i=$((i + 1))
done
kill -TERM "$server" 2>/dev/null || true
finish "$server" server
wait
[ "$code" -ne 0 ] || echo "demo: server and $n clients ended well"
exit "$code"
