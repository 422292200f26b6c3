#!/bin/sh
# Installs what the given groups need and this machine lacks, from Debian's packages.
# Each package is printed before it is installed; what is already there is left alone.
#
#   setup.sh GROUP...     groups: build check lint lab base fuzz cross vm bench
#
# Environment: SETUP=no forbids every change: what is missing is printed instead (exit 1).
# Exit: 0 nothing is missing (any more); 1 something is missing and could not be had; 2 usage.
set -eu

dockerd_log=/var/log/echolab-dockerd.log

fail()
{
    echo "setup: $*" >&2
    exit 1
}

# One line per need: group, what shows that it is there (a command or a path), the package.
needs()
{
    cat <<'NEEDS'
build gcc gcc
build /usr/include/stdio.h libc6-dev
build make make
build musl-gcc musl-tools
build /usr/include/ini.h libinih-dev
check prove perl
check strace strace
check ip iproute2
check pgrep procps
check busybox busybox-static
lint clang-format clang-format
lint clang-tidy clang-tidy
lint cppcheck cppcheck
lint shellcheck shellcheck
lab dockerd docker.io
lab iptables iptables
base mmdebstrap mmdebstrap
fuzz clang clang
cross aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
cross qemu-aarch64 qemu-user
cross mmdebstrap mmdebstrap
vm qemu-system-aarch64 qemu-system-arm
vm cpio cpio
bench /usr/include/uv.h libuv1-dev
bench /usr/include/event2/event.h libevent-dev
bench node nodejs
bench python3 python3
bench go golang-go
NEEDS
}

is_there()
{
    case $1 in
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
    esac
}

has_compose()
{
    docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null 2>&1
}

engine_answers()
{
    docker info >/dev/null 2>&1
}

missing_packages()
{
    for group in "$@"; do
        # A Docker Engine that answers is enough, wherever it runs.
        if [ "$group" = lab ]; then
            has_compose || echo docker-compose
            if engine_answers; then
                continue
            fi
        fi
        needs | while read -r need_group evidence package; do
            [ "$need_group" = "$group" ] || continue
            is_there "$evidence" || echo "$package"
        done
    done | sort -u
}

install_packages()
{
    command -v apt-get >/dev/null 2>&1 ||
        fail "these are missing, and only Debian's apt-get is known here: $*"
    if [ "$(id -u)" -ne 0 ]; then
        fail "missing: $*; install with: sudo apt-get install -y --no-install-recommends $*"
    fi
    for package in "$@"; do
        echo "setup: installing $package"
    done
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install: $*"
    fi
    rm -f "$log"
}

start_engine()
{
    if [ "$(id -u)" -ne 0 ]; then
        fail "no Docker Engine answers; start it with: sudo systemctl start docker" \
            "(or join the group docker)"
    fi
    if [ -d /run/systemd/system ]; then
        echo "setup: starting the Docker Engine (systemctl start docker)"
        systemctl start docker
    else
        echo "setup: starting the Docker Engine (dockerd, its log is $dockerd_log)"
        setsid dockerd >>"$dockerd_log" 2>&1 </dev/null &
    fi
    tries=0
    until engine_answers; do
        tries=$((tries + 1))
        if [ "$tries" -gt 60 ]; then
            [ ! -f "$dockerd_log" ] || tail -n 5 "$dockerd_log" >&2
            fail "the Docker Engine did not answer within 60 s"
        fi
        sleep 1
    done
}

[ $# -gt 0 ] || { echo "usage: setup.sh GROUP... (build check lint lab base fuzz cross vm bench)" >&2; exit 2; }
for group in "$@"; do
    case $group in
    build | check | lint | lab | base | fuzz | cross | vm | bench) ;;
    *)
        echo "setup: unknown group '$group'; allowed: build check lint lab base fuzz cross vm bench" >&2
        exit 2
        ;;
    esac
done

missing=$(missing_packages "$@" | tr '\n' ' ')
if [ -n "$missing" ]; then
    [ "${SETUP:-yes}" != no ] || fail "SETUP=no, and these packages are missing: $missing"
    # shellcheck disable=SC2086 # a list of package names, to be split
    install_packages $missing
fi
case " $* " in
*' lab '*)
    if ! engine_answers; then
        [ "${SETUP:-yes}" != no ] || fail "SETUP=no, and no Docker Engine answers"
        start_engine
    fi
    ;;
esac
