#!/bin/sh
# Sends a message to an echo server and compares the reply, byte by byte, as it comes: a message
# of any length needs no space. Runs in the busybox sidecar of the lab; needs sh, nc,
# cmp, tee, wc and mkfifo.
#
#   netcat.sh            send and compare
#   netcat.sh check      only look at the environment
#
# Environment, all required but MESSAGE_FROM:
#   HOST, PORT       of the server
#   MESSAGE          the message; a newline is added
#   MESSAGE_FROM     stdin: send standard input, as it is, instead of MESSAGE
#   TIMEOUT_S        seconds to wait for the server, and in which some byte must move
# Exit: 0 every byte came back; 1 not, and one line says why: not resolved, refused, no answer in
# time, or the echo differs; 2 wrong usage.
set -eu

usage()
{
    echo "netcat: $1" >&2
    exit 2
}

# want_number NAME VALUE MOST
want_number()
{
    [ -n "$2" ] || usage "$1 is missing; allowed: 1 to $3"
    case $2 in
    *[!0-9]* | 0* | ??????*) is_good=no ;;
    *) [ "$2" -le "$3" ] && is_good=yes || is_good=no ;;
    esac
    [ "$is_good" = yes ] || usage "$1='$2' is wrong; allowed: 1 to $3"
}

want_host()
{
    [ -n "${HOST-}" ] || usage "HOST is missing; allowed: a name or an address"
    case $HOST in
    -* | *[!A-Za-z0-9.:%_-]*) usage "HOST='$HOST' is wrong; allowed: a name or an address" ;;
    *:*:*) ;;
    *:*) usage "HOST='$HOST' is wrong; allowed: a name or an address, its port in PORT" ;;
    esac
}

want_message()
{
    case ${MESSAGE_FROM-} in
    stdin) ;;
    '') [ -n "${MESSAGE-}" ] || usage "MESSAGE is missing or empty; allowed: any text" ;;
    *) usage "MESSAGE_FROM='$MESSAGE_FROM' is wrong; allowed: stdin, or nothing" ;;
    esac
}

message()
{
    if [ "${MESSAGE_FROM-}" = stdin ]; then
        cat
    else
        printf '%s\n' "$MESSAGE"
    fi
}

# Is there a connection to this port, or a try? If never, nc did not come beyond the name server.
look()
{
    [ ! -e reached ] || return 0
    ! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        grep -qi "^ *[0-9]*: [^ ]* [^ ]*:$(printf %04x "$PORT") " || : >reached
    [ -r /proc/net/tcp ] || : >reached
}

# Gives up where nc has read and written nothing for TIMEOUT_S seconds. (Of a process whose
# counts cannot be read that is its whole time.)
watch()
{
    before=
    quiet=0
    sleep 0.2
    look
    while [ "$quiet" -lt "$TIMEOUT_S" ]; do
        sleep 1
        look
        moved=$(cat "/proc/$nc/io" 2>/dev/null) || moved=
        [ "$moved" = "$before" ] && quiet=$((quiet + 1)) || quiet=0
        before=$moved
    done
    : >silent
    kill "$nc" 2>/dev/null || true
    sleep 2 # cmp ends by itself now
    kill "$comparison" 2>/dev/null || true
}

want_host
want_number PORT "${PORT-}" 65535
want_number TIMEOUT_S "${TIMEOUT_S-}" 3600
want_message
case ${1-} in
'') ;;
check) exit 0 ;;
*) usage "'$1' is wrong; allowed: check, or nothing" ;;
esac

dir=
jobs=
# shellcheck disable=SC2317,SC2329 # called by the trap
clean()
{
    trap '' HUP INT TERM
    # shellcheck disable=SC2086 # process ids, to be split
    [ -z "$jobs" ] || kill -KILL $jobs 2>/dev/null || true
    [ -z "$dir" ] || rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM
dir=$(mktemp -d)
exec 3<&0
cd "$dir"

#                          +--> sent --+
#   message --> tee --> nc |           +--> cmp
#                       nc +--> got ---+              (each --> wc, too)
mkfifo to_nc from_nc sent sent_bytes got got_bytes
wc -c <sent_bytes >sent_count &
jobs="$jobs $!" sent_wc=$!
wc -c <got_bytes >got_count &
jobs="$jobs $!" got_wc=$!
cmp sent got >difference 2>&1 &
jobs="$jobs $!" comparison=$!
nc -w "$TIMEOUT_S" "$HOST" "$PORT" <to_nc >from_nc 2>complaint &
jobs="$jobs $!" nc=$!
# What nc does not take any more must be in `sent` all the same, so no SIGPIPE for tee.
message <&3 | (trap '' PIPE; exec tee sent sent_bytes >to_nc 2>/dev/null) &
jobs="$jobs $!"
# A text is kept, to be shown; anything else is not fit for a terminal.
text=text
[ -z "${MESSAGE_FROM-}" ] || text=
tee got got_bytes ${text:+"$text"} <from_nc >/dev/null 2>&1 &
jobs="$jobs $!"
watch &
jobs="$jobs $!"

# The line that says why it failed.
explain()
{
    came=$(cat got_count)
    if [ -e silent ] && [ ! -s complaint ]; then echo 'timed out' >complaint; fi
    if grep -q 'timed out' complaint && [ ! -e reached ]; then echo 'bad address' >complaint; fi
    case $(cat complaint) in
    *'bad address'* | *resolve*)
        echo "$HOST is not resolved"
        case $HOST in *.* | *:*) ;; *) echo "; a container of this name may be stopped or disconnected" ;; esac
        ;;
    *refused*) echo "$HOST:$PORT refused the connection: nobody listens there" ;;
    *'timed out'*)
        if [ "$came" -gt 0 ]; then
            echo "$came byte$(plural "$came") came back, then none moved for $TIMEOUT_S s"
        else
            echo "no answer from $HOST:$PORT within $TIMEOUT_S s"
        fi
        ;;
    *?*) echo "$HOST:$PORT: $(sed -n '1s/^nc: //p' complaint)" ;;
    *)
        if [ "$is_same" = no ]; then
            echo "the echo differs: $(cat difference)"
        else
            echo "nc failed ($code)"
        fi
        ;;
    esac
}

plural() # NUMBER
{
    [ "$1" -eq 1 ] || echo s
}

# cmp is right only once both ends came; nc says 0 even when nothing came back.
is_same=yes
wait "$comparison" || is_same=no
[ "$is_same" = yes ] || kill "$nc" 2>/dev/null || true
code=0
wait "$nc" 2>/dev/null || code=$?
wait "$got_wc"
if [ "$is_same" = no ] || [ "$code" -ne 0 ]; then
    echo "netcat: $(explain | tr -d '\n')" >&2
    exit 1
fi
wait "$sent_wc"
sent=$(cat sent_count)
[ "$sent" -gt 0 ] || usage "the message is empty; allowed: one byte or more"
echo "netcat: sent $sent byte$(plural "$sent") to $HOST:$PORT, got $(cat got_count) back${text:+:}"
[ -z "$text" ] || cat text
echo "netcat: every byte came back"
