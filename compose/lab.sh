#!/bin/sh
# Starts, shows, tests and stops the lab of lab.yaml, beside this script.
#
#   lab.sh up | logs | ps | down
#   lab.sh netcat        checks the echo from inside the lab's network
#
# Environment:
#   COMPOSE              the Compose command; default: "docker compose" or docker-compose,
#                        whichever there is
#   PROJECT              name of the lab; default: echolab
#   HOST PORT MESSAGE TIMEOUT_S   of netcat; MESSAGE_FILE: take the message from a file
# Exit: Compose's code; of netcat: 0 the echo is exact, 1 it is not, 2 wrong usage.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

find_compose()
{
    if docker compose version >/dev/null 2>&1; then
        echo "docker compose"
    elif command -v docker-compose >/dev/null 2>&1; then
        echo docker-compose
    else
        echo "lab: there is no Compose: make setup" >&2
        exit 1
    fi
}

compose()
{
    # shellcheck disable=SC2086 # may be two words
    $COMPOSE -p "${PROJECT:-echolab}" -f "$here/lab.yaml" "$@"
}

netcat()
{
    if [ -n "${MESSAGE_FILE-}" ]; then
        [ -r "$MESSAGE_FILE" ] || { echo "netcat: cannot read '$MESSAGE_FILE'" >&2; exit 2; }
        export MESSAGE_FROM=stdin
    else
        MESSAGE_FILE=/dev/null
    fi
    BUSYBOX_IMAGE=$("$here/images.sh" busybox)
    export BUSYBOX_IMAGE HOST PORT MESSAGE TIMEOUT_S
    compose --profile test run --rm -T netcat <"$MESSAGE_FILE"
}

[ -n "${COMPOSE-}" ] || COMPOSE=$(find_compose)
[ -f "$here/lab.yaml" ] || { echo "lab: compose/lab.yaml is missing: make compose N=5" >&2; exit 1; }
case ${1-} in
up) compose up -d --remove-orphans ;;
logs) compose logs --no-color ;;
ps) compose ps ;;
netcat) netcat ;;
down) compose --profile test stop -t 5 && compose --profile test down -t 5 --remove-orphans ;;
*)
    echo "usage: lab.sh up | logs | ps | netcat | down" >&2
    exit 2
    ;;
esac
