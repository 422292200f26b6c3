#!/bin/sh
# Builds the servers of peers/ that are to be compared with ours: the plain epoll loop always, the
# others where their library or their compiler is there; without, a line says so and the benchmark
# leaves it out.
#
#   build-peers.sh FOLDER [NAME...]     FOLDER: where the programs go; NAME: only these
#
# Environment: CC: the C compiler; default: gcc.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: build-peers.sh FOLDER [NAME...]" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
only=" $* "

wanted() # NAME
{
    case $only in
    "  " | *" $1 "*) echo "  LINK $1" ;;
    *) return 1 ;;
    esac
}

peer() # NAME COMMAND...
{
    wanted "$1" || return 0
    name=$1
    shift
    "$@" || echo "bench: no $name: it cannot be built here" >&2
}

if wanted epoll_echo; then # it needs nothing but the C library
    "${CC:-gcc}" -O2 -std=c11 -D_GNU_SOURCE -Wall -Wextra "$here/peers/epoll_echo.c" -o "$folder/epoll_echo"
fi
peer uv_echo "${CC:-gcc}" -O2 "$here/peers/uv_echo.c" -o "$folder/uv_echo" -luv
peer event_echo "${CC:-gcc}" -O2 "$here/peers/event_echo.c" -o "$folder/event_echo" -levent_core
export GOCACHE="$folder/go-cache"
cd "$here/peers"
peer go_echo go build -o "$folder/go_echo" go_echo.go
