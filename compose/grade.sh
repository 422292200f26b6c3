#!/bin/sh
# A verdict about the image of an echo server: gets what stands beside it, then tools/grade.pl
# judges it. docs/grade.md describes it.
#
#   grade.sh
#
# Environment: SERVER_IMAGE: any echo server's; default: ours, which is built first. FAULT: a
# broken server's instead. CONFIG: FILE or FILE:/TARGET. CLIENT_IMAGE, BUSYBOX_IMAGE: others than ours.
# Exit: that of grade.pl.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
tools=$here/../tools

log=
trap 'trap "" HUP INT TERM; [ -z "$log" ] || rm -f "$log"' EXIT
trap 'exit 3' HUP INT TERM

# Builds an image, with lines only where that fails.
build() # server | client
{
    log=$(mktemp)
    "$tools/images.sh" "$1" >"$log" 2>&1 || { tail -n 5 "$log" >&2; exit 3; }
    rm -f "$log"
    log=
}

if [ -n "${FAULT-}" ]; then
    SERVER_IMAGE=$("$here/fault.sh") || exit
    build server
elif [ -z "${SERVER_IMAGE-}" ]; then
    build server
fi
SERVER_IMAGE=${SERVER_IMAGE:-echolab-server:latest}
if [ -z "${CLIENT_IMAGE-}" ]; then
    build client
fi
"$tools/setup.sh" grade
BUSYBOX_IMAGE=$("$tools/images.sh" busybox)
export BUSYBOX_IMAGE
exec "$tools/grade.pl" "$SERVER_IMAGE" "${CONFIG-}"
