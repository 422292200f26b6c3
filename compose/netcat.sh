#!/bin/sh
# Sends a message to an echo server and compares what comes back, byte by byte. Runs in the
# busybox sidecar of the lab; needs sh, nc, cmp, sha256sum and wc.
#
# Environment, all required but MESSAGE_FROM:
#   HOST, PORT       of the server
#   MESSAGE          what to send; a newline is added
#   MESSAGE_FROM     stdin: send what comes on standard input, as it is, instead of MESSAGE
#   TIMEOUT_S        seconds to wait for the server
# Exit: 0 every byte came back; 1 not; 2 wrong usage.
set -eu

usage()
{
    echo "netcat: $1" >&2
    exit 2
}

[ -n "${HOST-}" ] || usage "HOST is missing; allowed: a name or an address"
[ -n "${PORT-}" ] || usage "PORT is missing; allowed: 1 to 65535"
[ -n "${TIMEOUT_S-}" ] || usage "TIMEOUT_S is missing; allowed: whole seconds"
case $PORT$TIMEOUT_S in
*[!0-9]*) usage "PORT='$PORT' or TIMEOUT_S='$TIMEOUT_S' is no whole number" ;;
esac
if [ "$PORT" -lt 1 ] || [ "$PORT" -gt 65535 ]; then
    usage "PORT='$PORT' is wrong; allowed: 1 to 65535"
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
case ${MESSAGE_FROM-} in
stdin) cat >"$dir/sent" ;;
'')
    [ -n "${MESSAGE+set}" ] || usage "MESSAGE is missing; allowed: any text"
    printf '%s\n' "$MESSAGE" >"$dir/sent"
    ;;
*) usage "MESSAGE_FROM='$MESSAGE_FROM' is wrong; allowed: stdin, or nothing" ;;
esac

# nc exits with 0 even when nothing came back: only the bytes tell.
nc -w "$TIMEOUT_S" "$HOST" "$PORT" <"$dir/sent" >"$dir/got" || echo "netcat: nc failed ($?)"
echo "netcat: sent $(wc -c <"$dir/sent") bytes to $HOST:$PORT, got $(wc -c <"$dir/got") back:"
if [ -n "${MESSAGE_FROM-}" ]; then
    sha256sum <"$dir/got" # may be anything: not fit for a terminal
else
    cat "$dir/got"
fi
if cmp "$dir/sent" "$dir/got"; then
    echo "netcat: every byte came back"
else
    echo "netcat: the echo differs" >&2
    exit 1
fi
