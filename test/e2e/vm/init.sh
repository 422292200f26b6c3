#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the virtual machine: runs the programs in their sandbox and tells how
# it went, a line "NAME: VALUE" each.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
ip link set lo up
export SERVER_SANDBOX=on CLI_SANDBOX=on

tell()
{
    echo "$1: $2"
}

# What a client came to: its exit code.
client()
{
    name=$1
    shift
    code=0
    echo-client "$@" >"/tmp/$name" 2>&1 || code=$?
    tell "$name" "$code"
}

# Until the server listens; bounded.
serve()
{
    echo-server --log-level debug "$@" >/tmp/log 2>/tmp/err &
    server=$!
    tries=0
    until grep -q 'listening on' /tmp/log || [ "$tries" -ge 100 ]; do
        tries=$((tries + 1))
        sleep 0.2
    done
}

stop()
{
    code=0
    kill -TERM "$server"
    wait "$server" || code=$?
    tell "$1" "$code"
    tell "$1 stderr" "$(cat /tmp/err)"
}

tell machine "$(uname -rm)"
serve --port 7001
tell sandbox "$(sed -n 's/.*DEBUG sandbox: //p' /tmp/log)"
tell filters "$(grep -h '^Seccomp:' /proc/"$server"/task/*/status | tr -d 'a-zA-Z:\t\n')"
client number --server-address 127.0.0.1:7001 --count 3 --loop-period 10ms
client zone --server-address '[fe80::1%lo]:7001' --once --timeout 1s
client ipv6 --server-address '[::1]:7001' --once
client name --server-address localhost:7001 --count 3 --loop-period 10ms
client unknown --server-address no.such.name:7001 --once --timeout 1s
client load --load localhost:7001 --duration 2s --threads 2
client sources --load 127.0.0.1:7001 --duration 1s --source 127.0.0.2,127.0.0.3
client schedule --load 127.0.0.1:7001 --duration 1s --rate 100 --reconnect
kill -STOP "$server"
sleep 1
kill -CONT "$server"
kill -USR1 "$server"
client 'after a stop' --server-address 127.0.0.1:7001 --once
stop server

serve --port 7002 --workers 3
tell 'filters of workers' "$(grep -h '^Seccomp:' /proc/"$server"/task/*/status | tr -d 'a-zA-Z:\t\n')"
client 'load on workers' --load 127.0.0.1:7002 --duration 2s --connections 200
stop workers
tell end 1
poweroff -f
