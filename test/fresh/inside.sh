#!/bin/sh
# What runs in a fresh root, as process 1: see fresh.sh.
#
#   inside.sh lab | tests
set -eu

logs=/root/logs
FRESH_TAP=$logs/tap
export FULL FRESH_TAP
mkdir -p "$FRESH_TAP"

fail()
{
    echo "fresh: $*" >&2
    exit 1
}

wait_until() # SECONDS, COMMAND...
{
    tries=$(($1 * 2))
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || return 1
        sleep 0.5
    done
}

# Runs a command, its output in a file; says how long it took, or what went wrong.
step() # COMMAND...
{
    log=$logs/$(echo "$*" | tr -cs '[:alnum:]=\n' '-' | cut -c 1-40)
    began=$(date +%s)
    if ! "$@" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        fail "failed: $*"
    fi
    echo "fresh: $*: $(($(date +%s) - began)) s"
}

# ---- before ------------------------------------------------------------------------------

set_up_network()
{
    wait_until 10 test -e /sys/class/net/tap0 || fail "no network within 10 s"
    wait_until 20 getent hosts deb.debian.org || fail "no name server answers"
}

# What would be found missing must be missing now.
check_bare()
{
    for command in gcc clang docker strace ip iptables mount; do
        ! command -v "$command" >/dev/null || fail "the root is not bare: it has $command"
    done
}

# WITHOUT=PACKAGE: the control of all this.
remove_from_table()
{
    [ -n "${WITHOUT-}" ] || return 0
    grep -q " $WITHOUT\$" tools/setup.sh || fail "WITHOUT=$WITHOUT: tools/setup.sh has no such package"
    sed -i "/ $WITHOUT\$/d" tools/setup.sh
    echo "fresh: without $WITHOUT"
}

# ---- make up, make logs, make down -------------------------------------------------------

all_clients_talk()
{
    make logs >"$logs/conversation" 2>&1
    for client in 1 2 3 4 5; do
        grep -q "Message from server: \[CLIENT $client\]" "$logs/conversation" || return 1
    done
}

make_logs()
{
    wait_until 30 all_clients_talk
}

lab()
{
    step make up N=5
    step make_logs
    step make down
    [ -z "$(docker ps -aq)" ] || fail "make down left containers"
}

# ---- make test ---------------------------------------------------------------------------

# The judge must see what is wrong: a test that is skipped, a package that is not there.
control_skips()
{
    mkdir "$logs/control"
    printf '1..1\nok 1 # skip no such tool here\n' >"$logs/control/a.t"
    ! test/fresh/judge.sh "$logs/control"
}

control_packages()
{
    dpkg --remove --force-depends iptables "$(dpkg -S '*/libclang_rt.fuzzer-*.a' | sed -n '1s/:.*//p')" &&
        ! SETUP=no tools/setup.sh check fuzz 2>"$logs/control/setup" &&
        grep ' iptables libclang-rt-dev $' "$logs/control/setup"
}

tests()
{
    step make test PROVE=test/fresh/prove.sh
    step test/fresh/judge.sh "$FRESH_TAP"
    tail -n 1 "$log"
    step control_skips
    step control_packages
}

set_up_network
check_bare
remove_from_table
"$1"
