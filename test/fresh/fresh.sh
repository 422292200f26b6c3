#!/bin/sh
# The commands of the README on a bare Debian: does the set-up install all that they need?
# Each command gets a root of its own, made by mmdebstrap with git and make in it, with its own
# mounts, processes, network, control groups and Docker Engine, and a clone of what is committed.
#
#   fresh.sh
#
# Environment:
#   FULL=1            all tests; default: one or more of each kind (short.list)
#   SUITE             Debian's suite; default: this machine's
#   WITHOUT=PACKAGE   take the package out of the table of tools/setup.sh: now it must fail
# Output: one line per step; what the commands said is in build/fresh/.
# Exit: 0 all is well; 1 a command failed or a test was skipped that skips.list does not name.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
name=echolab-fresh-$$

fail()
{
    echo "fresh: $*" >&2
    exit 1
}

# ---- control groups ----------------------------------------------------------------------

# Prints, for each hierarchy, the folder of our own control group. In version 2 it stands right
# below the root, because only there the parent may have processes.
control_groups()
{
    while IFS=: read -r _ controllers path; do
        case $controllers in
        '')
            at=$(findmnt -nfo TARGET -t cgroup2) && echo "$at/$name"
            ;;
        *)
            at=$(findmnt -nfo TARGET -t cgroup -O "$controllers") && echo "$at${path%/}/$name"
            ;;
        esac || true
    done </proc/self/cgroup
}

make_control_groups()
{
    for group in $groups; do
        mkdir "$group" || fail "cannot make the control group $group"
        # Version 1 lets no process in where these are empty.
        for file in cpuset.cpus cpuset.mems; do
            [ ! -f "$group/../$file" ] || [ ! -f "$group/../tasks" ] || cat "$group/../$file" >"$group/$file"
        done
    done
}

# Fails as long as a process is in one of them.
remove_control_groups()
{
    for group in $groups; do
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || return 1
    done
}

# ---- this machine ------------------------------------------------------------------------

# Whatever is started ends with us: every part gets SIGKILL when its parent is gone.
bound()
{
    setpriv --pdeathsig KILL "$@" </dev/null &
    pid=$!
}

end() # PID
{
    [ -z "$1" ] || kill -KILL "$1" 2>/dev/null || true
    [ -z "$1" ] || wait "$1" 2>/dev/null || true
}

# Run at every end. The folder goes when the last process that stands in it is gone.
clean_up()
{
    trap '' HUP INT TERM
    end "$pid"
    end "$slirp"
    tries=0
    until remove_control_groups; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || { echo "fresh: processes are left: $groups" >&2; break; }
        sleep 0.1
    done
    rm -rf "$dir"
}

make_bare_root()
{
    began=$(date +%s)
    bound unshare --mount --pid --mount-proc --fork --kill-child \
        env "TMPDIR=$dir" mmdebstrap --variant=apt --include=git,make "$suite" "$dir/bare" >"$logs/mmdebstrap" 2>&1
    wait "$pid" || { tail -n 20 "$logs/mmdebstrap" >&2; fail "mmdebstrap could not make a Debian root"; }
    pid=
    echo fresh >"$dir/bare/etc/hostname"
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost\n127.0.1.1 fresh\n' >"$dir/bare/etc/hosts"
    # The name server that slirp4netns plays.
    echo 'nameserver 10.0.2.3' >"$dir/bare/etc/resolv.conf"
    git clone -q --no-hardlinks "$top" "$dir/bare/root/echolab"
    echo "fresh: a bare Debian $suite: $(($(date +%s) - began)) s"
}

# Its way out of the namespace: a network in user space, which changes nothing on this machine.
start_network()
{
    tries=0
    while [ "$(readlink "/proc/$pid/ns/net")" = "$(readlink /proc/self/ns/net)" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || fail "no network namespace within 10 s"
        sleep 0.1
    done
    setpriv --pdeathsig KILL slirp4netns --configure --mtu=65520 --disable-host-loopback "$pid" tap0 \
        </dev/null >"$logs/slirp4netns" 2>&1 &
    slirp=$!
}

# Runs a part of inside.sh in a fresh root.
run_inside() # PART, SECONDS
{
    cp -a "$dir/bare" "$dir/root"
    make_control_groups
    bound unshare --net --uts --ipc "$here/fresh.sh" enter "$dir/root" "$2" "$name" "$1"
    start_network
    status=0
    wait "$pid" || status=$?
    pid=
    end "$slirp"
    slirp=
    cp -r "$dir/root/root/logs/." "$logs" 2>/dev/null || true
    [ "$status" -ne 137 ] || fail "$1: not done within $2 s"
    [ "$status" -eq 0 ] || exit 1
    remove_control_groups || fail "$1: processes are left"
    rm -rf "$dir/root"
}

# ---- the way in --------------------------------------------------------------------------

# In namespaces of its own but for processes: joins the control groups, then goes on as process 1.
enter() # ROOT, SECONDS, NAME, PART
{
    name=$3
    for group in $(control_groups); do
        echo 0 >"$group/cgroup.procs"
    done
    # Killing `timeout` ends unshare, and that ends process 1 and with it all others.
    exec timeout -s KILL "$2" setpriv --pdeathsig KILL \
        unshare --mount --pid --cgroup --fork --kill-child "$0" init "$1" "$4"
}

make_devices()
{
    mount -t tmpfs -o mode=755 tmpfs dev
    mkdir dev/pts dev/shm
    mknod -m 666 dev/null c 1 3
    mknod -m 666 dev/zero c 1 5
    mknod -m 666 dev/full c 1 7
    mknod -m 666 dev/random c 1 8
    mknod -m 666 dev/urandom c 1 9
    mknod -m 666 dev/tty c 5 0
    mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts dev/pts
    ln -s pts/ptmx dev/ptmx
    ln -s /proc/self/fd dev/fd
    ln -s /proc/self/fd/0 dev/stdin
    ln -s /proc/self/fd/1 dev/stdout
    ln -s /proc/self/fd/2 dev/stderr
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
}

mount_control_groups()
{
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        # Only a group without processes hands controllers on.
        mkdir sys/fs/cgroup/init
        echo 1 >sys/fs/cgroup/init/cgroup.procs
        sed 's/\([^ ][^ ]*\)/+\1/g' sys/fs/cgroup/cgroup.controllers >sys/fs/cgroup/cgroup.subtree_control
        return
    fi
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    while IFS=: read -r _ controllers _; do
        [ -n "$controllers" ] || continue
        mkdir "sys/fs/cgroup/${controllers#name=}"
        mount -t cgroup -o "$controllers" cgroup "sys/fs/cgroup/${controllers#name=}"
    done </proc/self/cgroup
}

# Process 1 of the fresh root.
init() # ROOT, PART
{
    cd "$1"
    mount --make-rprivate /
    mount --bind . .
    cd "$1"
    mount -t proc proc proc
    mount -t sysfs sysfs sys
    make_devices
    mount -t tmpfs -o mode=755 tmpfs run
    mount_control_groups
    echo fresh >proc/sys/kernel/hostname
    # A chroot is not enough: dockerd's health checks need the root of the mount namespace.
    mkdir -p old
    pivot_root . old
    chroot old umount -l /
    rmdir old
    cd /root/echolab
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        "FULL=${FULL-}" "WITHOUT=${WITHOUT-}" ${http_proxy:+"http_proxy=$http_proxy"} sh test/fresh/inside.sh "$2"
}

# ---- main --------------------------------------------------------------------------------

case ${1-} in
enter | init)
    "$@"
    ;;
'') ;;
*)
    echo "usage: fresh.sh" >&2
    exit 2
    ;;
esac

[ "$(id -u)" -eq 0 ] || fail "making a Debian root needs root: sudo make fresh"
"$top/tools/setup.sh" fresh
[ -c /dev/net/tun ] || fail "no /dev/net/tun, which slirp4netns needs; allowed: modprobe tun"
[ -z "$(git -C "$top" status --porcelain)" ] || echo "fresh: what is not committed is left out"

suite=${SUITE:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}
limit=1200
[ "${FULL-}" != 1 ] || limit=3600
groups=$(control_groups)
logs=$top/build/fresh
pid=
slirp=
rm -rf "$logs"
mkdir -p "$logs"
dir=$(mktemp -d -p "${TMPDIR:-/var/tmp}" "$name-XXXXXX")
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

make_bare_root
run_inside lab 1200
run_inside tests "$limit"
