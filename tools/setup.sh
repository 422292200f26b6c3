#!/bin/sh
# Installs what the given groups need and this machine lacks, from Debian's packages.
# Each package is printed before it is installed; what is already there is left alone.
#
#   setup.sh GROUP...     groups: build check lint lab base fuzz cross vm bench fresh grade
#
# Environment: SETUP=no forbids every change: what is missing is printed instead (exit 1). V=1
# shows what apt-get says.
# Exit: 0 nothing is missing (any more); 1 something is missing and could not be had; 2 usage.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/steps.sh
. "$here/steps.sh"

groups='build check lint lab base fuzz cross vm bench fresh grade'
dockerd_log=/var/log/echolab-dockerd.log

fail()
{
    echo "setup: $*" >&2
    exit 1
}

log=
trap 'trap "" HUP INT TERM; step_clean; [ -z "$log" ] || rm -f "$log" "$log.code"' EXIT
trap 'exit 1' HUP INT TERM

# clang's own folder, whichever version this is.
clang_folder()
{
    clang -print-resource-dir 2>/dev/null || echo /nonexistent
}

# One line per need: group, what shows that it is there, the package. What shows it is a command
# if any package's will do, else the path of the file that is needed, which may have wildcards.
# Of packages separated by | the first that apt knows is taken.
needs()
{
    cat <<NEEDS
build gcc gcc
build /usr/include/stdio.h libc6-dev
build make make
build musl-gcc musl-tools
build /usr/include/ini.h libinih-dev
check prove perl
check strace strace
check ip iproute2
check iptables iptables
check pgrep procps
check busybox busybox-static
check mandoc mandoc
check mount mount
lint clang-format clang-format
lint clang-tidy clang-tidy
lint cppcheck cppcheck
lint shellcheck shellcheck
lint prove perl
lint yamllint yamllint
lint npm npm
lint /etc/ssl/certs/ca-certificates.crt ca-certificates
lab dockerd docker.io
lab docker docker-cli|docker.io
lab iptables iptables
lab /etc/ssl/certs/ca-certificates.crt ca-certificates
base mmdebstrap mmdebstrap
base mount mount
fuzz clang clang
fuzz $(clang_folder)/lib/*/libclang_rt.fuzzer*.a libclang-rt-dev
cross aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
cross qemu-aarch64 qemu-user
cross mmdebstrap mmdebstrap
cross mount mount
vm qemu-system-aarch64 qemu-system-arm
vm cpio cpio
bench /usr/include/uv.h libuv1-dev
bench /usr/include/event2/event.h libevent-dev
bench node nodejs
bench python3 python3
bench go golang-go
fresh mmdebstrap mmdebstrap
fresh mount mount
fresh slirp4netns slirp4netns
grade prove perl
NEEDS
}

is_there()
{
    case $1 in
    /*)
        for path in $1; do
            [ ! -e "$path" ] || return 0
        done
        return 1
        ;;
    *) command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] ;;
    esac
}

# The first of the packages that apt knows, or else the last.
choose_package() # PACKAGE|PACKAGE...
{
    rest=$1
    while [ "$rest" != "${rest#*|}" ] && ! apt-cache show "${rest%%|*}" >/dev/null 2>&1; do
        rest=${rest#*|}
    done
    echo "${rest%%|*}"
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
            is_there "$evidence" || choose_package "$package"
        done
    done | sort -u
}

# apt-get, as a step.
apt() # TEXT ARGUMENT...
{
    text=$1
    shift
    log=$(mktemp)
    step_log=$log
    step "$text" env DEBIAN_FRONTEND=noninteractive apt-get "$@" || { step_failed 20; fail "this failed: apt-get $*"; }
    rm -f "$log"
    log=
}

# With fresh lists, what is missing may have other names.
install_for() # GROUP...
{
    apt "setup: reading the lists of Debian's packages: about 5 s" update
    missing=$(missing_packages "$@")
    for package in $missing; do
        echo "setup: installing $package"
    done
    # shellcheck disable=SC2086 # a list of package names, to be split
    apt "setup: that takes about half a minute, with compilers one or two minutes" install -y --no-install-recommends $missing
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -z "$missing" ] || fail "installed, and what is needed of them is still missing: $missing"
}

may_install() # PACKAGES
{
    [ "${SETUP:-yes}" != no ] || fail "SETUP=no, and these packages are missing: $1"
    command -v apt-get >/dev/null 2>&1 ||
        fail "these are missing, and only Debian's apt-get is known here: $1"
    [ "$(id -u)" -eq 0 ] ||
        fail "missing: $1; install with: sudo apt-get install -y --no-install-recommends $1"
}

start_engine()
{
    if [ "$(id -u)" -ne 0 ]; then
        fail "no Docker Engine answers; start it with: sudo systemctl start docker" \
            "(or join the group docker)"
    fi
    if [ -d /run/systemd/system ]; then
        how='systemctl start docker'
        systemctl start docker
    else
        how="dockerd, its log is $dockerd_log"
        setsid dockerd >>"$dockerd_log" 2>&1 </dev/null &
    fi
    if ! step "setup: starting the Docker Engine ($how): a few seconds" wait_for_engine; then
        [ ! -f "$dockerd_log" ] || tail -n 5 "$dockerd_log" >&2
        fail "the Docker Engine did not answer within 60 s"
    fi
}

wait_for_engine()
{
    tries=0
    until engine_answers; do
        tries=$((tries + 1))
        [ "$tries" -le 60 ] || return
        sleep 1
    done
}

[ $# -gt 0 ] || { echo "usage: setup.sh GROUP... ($groups)" >&2; exit 2; }
for group; do
    case " $groups " in
    *" $group "*) ;;
    *)
        echo "setup: unknown group '$group'; allowed: $groups" >&2
        exit 2
        ;;
    esac
done

need_linux setup
missing=$(missing_packages "$@" | tr '\n' ' ')
if [ -n "$missing" ]; then
    may_install "$missing"
    install_for "$@"
fi
case " $* " in
*' lab '*)
    if ! engine_answers; then
        [ "${SETUP:-yes}" != no ] || fail "SETUP=no, and no Docker Engine answers"
        start_engine
    fi
    ;;
esac
