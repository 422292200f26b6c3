#!/bin/sh
# Builds the images, or finds those of other makers: the sidecar's, Prometheus'.
#
#   images.sh server | client ...   build echolab-server:latest, echolab-client:latest; an image
#                        that SERVER_IMAGE or CLIENT_IMAGE names is taken as it is instead
#   images.sh server=NAME ...       build it under another name
#   images.sh busybox | prometheus   get the sidecar's image or Prometheus', print its name
#   images.sh clean      remove all images that were made here
#
# What the builder says is kept in build/images/*.log, and shown where it fails.
#
# Environment:
#   V=1               show all that the builder says
#   BASE, INSTALL     image to build on, and the shell's commands that install the toolchain
#                     there. Default: Alpine as pinned in tools/pins. Where it is neither
#                     present nor can be pulled, this script makes a Debian root with musl,
#                     which BASE=echolab-base:debian chooses, too; where that is here, it is
#                     taken at once.
#   BUSYBOX_IMAGE     image of the sidecar; default: as pinned, or Debian's busybox
#   PROMETHEUS_IMAGE  image of Prometheus; default: as pinned, or Debian's prometheus
#   FAULT             server: build the broken server of that name instead (test/classroom)
#   PLATFORM          build for another platform, like linux/arm64; needs buildx
#   SERVER_IMAGE, CLIENT_IMAGE   images to take: they are neither built nor tagged here
#   VERSION           for the images' labels
#   SOURCE_DATE_EPOCH the time of the image and its file; default: the commit's
#   CACHE=no          build every step again
#   SETUP=no          install nothing on this machine
#
# Exit: 0 done; 1 not; 2 wrong usage; 3 the toolchain cannot be installed on BASE: INSTALL
# failed, perhaps since the mirror of its packages is out of reach.
set -eu

[ "${CACHE-}" != no ] || no_cache=--no-cache
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
logs=$top/build/images
debian_base=echolab-base:debian
debian_busybox=echolab-busybox:debian
debian_prometheus=echolab-prometheus:debian
# All that are made here; stages and what a later build replaced have one of the labels.
made="echolab-server:latest echolab-client:latest $debian_busybox $debian_prometheus $debian_base"
faults=echolab-fault
labels='echolab.stage org.opencontainers.image.title=echo-server org.opencontainers.image.title=echo-client'
# shellcheck source=tools/steps.sh
. "$here/steps.sh"

fail()
{
    echo "images: $1" >&2
    exit "${2:-1}"
}

# What does not stay: a folder, a container.
dir=
container=
# shellcheck disable=SC2317,SC2329 # called by the trap
clean()
{
    trap '' HUP INT TERM
    step_clean
    [ -z "$container" ] || docker rm "$container" >/dev/null || true
    [ -z "$dir" ] || rm -rf "$dir"
}
trap clean EXIT
trap 'exit 1' HUP INT TERM

is_here() # IMAGE
{
    docker image inspect "$1" >/dev/null 2>&1
}

# Pulls an image, unless that failed before: the try is made once, until `make clean` or `make
# clean-images`. Returns 124 where its registry is out of reach.
pull() # IMAGE
{
    ! grep -qxF "$1" "$logs/not-pulled" 2>/dev/null || return 1
    mkdir -p "$logs"
    step_log=$logs/pull.log
    step "images: pulling $1: at most 30 s" timeout 30 docker pull "$1" && return
    status=$?
    if [ "$status" -eq 124 ]; then
        echo "images: it did not come within 30 s"
    else
        echo "images: it cannot be pulled$(sed -n '$s/^/: /p' "$step_log")"
        ! grep -qiE 'lookup|dial|timeout|unreachable|refused' "$step_log" || status=124
    fi
    echo "$1" >>"$logs/not-pulled"
    [ "$status" -ne 124 ] || echo "${1%@*}" >>"$logs/not-pulled"
    return "$status"
}

pin_of() # VARIABLE
{
    sed -n "s/^$1 //p" "$here/pins"
}

# Sets $found to the image that is pinned for VARIABLE: by its digest; where that is not here, the
# STAND_IN that is; by its name alone, with a message, where the digest cannot be had; nothing
# where the name cannot be had either.
find_pinned() # VARIABLE, STAND_IN
{
    pinned=$(pin_of "$1")
    name=${pinned%@*}
    status=0
    found=$pinned
    ! is_here "$pinned" || return 0
    if [ -n "$2" ] && is_here "$2"; then
        found=$2
        return
    fi
    pull "$pinned" || status=$?
    if [ "$status" -eq 0 ]; then
        return
    elif is_here "$name" || { [ "$status" -ne 124 ] && pull "$name"; }; then
        echo "images: ${pinned#*@} cannot be had: taking $name as it is now"
        found=$name
    else
        found=
    fi
}

# A Debian root with the toolchain inside. It is made from packages and needs no registry.
make_debian_base()
{
    ! is_here "$debian_base" || return 0
    "$here/setup.sh" base
    [ "$(id -u)" -eq 0 ] || fail "making a Debian root needs root: run this once with sudo"
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    dir=$(mktemp -d)
    mkdir -p "$logs"
    step_log=$logs/debian.log
    step "images: making a Debian root with a musl toolchain from about 60 MB of packages: about a minute, once" \
        mmdebstrap --variant=minbase --include=gcc,make,musl-tools,libinih-dev,busybox-static \
        "${suite:-bookworm}" "$dir/root.tar" ||
        { step_failed 5; fail "mmdebstrap could not make a Debian root"; }
    step "images: making the image $debian_base of it, 350 MB: about 10 s" docker import "$dir/root.tar" "$debian_base" ||
        { step_failed 5; fail "$debian_base cannot be imported"; }
    rm -rf "$dir"
    dir=
}

# Sets BASE and INSTALL, unless the user did.
choose_base()
{
    if [ "${BASE-}" = "$debian_base" ]; then
        make_debian_base
        INSTALL=${INSTALL:-true}
    fi
    [ -z "${BASE-}" ] || return 0
    stand_in=$debian_base
    [ -z "${PLATFORM-}" ] || stand_in=
    find_pinned BASE "$stand_in"
    BASE=$found
    alpine=$(pin_of BASE)
    if [ "$BASE" = "$debian_base" ]; then
        echo "images: building on a Debian root with musl, $debian_base, which is here (make clean-images removes it)"
        INSTALL=true
    elif [ -z "$BASE" ]; then
        [ -z "${PLATFORM-}" ] ||
            fail "${alpine%@*} cannot be pulled; allowed: with PLATFORM a BASE for that platform"
        echo "images: ${alpine%@*} is neither here nor can it be pulled: building on a Debian root with musl"
        make_debian_base
        BASE=$debian_base
        INSTALL=true
    fi
}

# (Without --force-rm the container of a step that failed would stay.)
docker_build()
{
    if [ -z "${PLATFORM-}" ]; then
        docker build --force-rm "$@"
    else
        docker buildx build --load --platform "$PLATFORM" "$@"
    fi
}

# Says why a build failed, where it was INSTALL.
explain() # LOG
{
    # (The line of the Dockerfile has a $ there.)
    grep -q 'INSTALL failed: [^$]' "$1" || return 0
    if grep -qiE 'try again later|network error|network (is )?unreachable|temporary (error|failure)|could not (connect|resolve)|failed to fetch|timed out' "$1"; then
        fail "$BASE is here, but the mirror of its packages is out of reach; allowed: another BASE and its INSTALL, or BASE=$debian_base, a Debian root with musl that is made here" 3
    fi
    fail "INSTALL failed on $BASE; allowed: commands that install make, a C compiler for musl, and inih" 3
}

check_platform()
{
    [ -z "${PLATFORM-}" ] || docker buildx version >/dev/null 2>&1 ||
        fail "PLATFORM='$PLATFORM' needs buildx, for which Debian 12 has no package; allowed: docker-buildx-plugin of Docker's own packages (docs.docker.com/engine/install/debian), or for the programs alone, without an image: make aarch64"
}

# Builds an image. Variables that are set become arguments; "set --" keeps them apart.
build() # DOCKERFILE, IMAGE
{
    dockerfile=$1
    image=$2
    name=${image##*/}
    name=${name%%:*}
    revision=${REVISION:-$(git -C "$top" rev-parse HEAD 2>/dev/null || echo unknown)}
    # A password in the clone's URL must not get into the image.
    source=$(git -C "$top" config --get remote.origin.url 2>/dev/null | sed 's#://[^/@]*@#://#')
    epoch=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || echo 0)}
    created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null) ||
        fail "SOURCE_DATE_EPOCH='$epoch' is no time; allowed: seconds since 1970"
    set -- --build-arg "VERSION=${VERSION:-unknown}" --build-arg "REVISION=$revision" \
        --build-arg "SOURCE=${source:-unknown}" --build-arg "SOURCE_DATE_EPOCH=$epoch" --build-arg "CREATED=$created"
    [ -z "${BASE-}" ] || set -- "$@" --build-arg "BASE=$BASE"
    [ -z "${INSTALL-}" ] || set -- "$@" --build-arg "INSTALL=$INSTALL"
    mkdir -p "$logs"
    step_log=$logs/$name.log
    # shellcheck disable=SC2086 # an option, or none
    step "images: building $image: about 20 s, or 2 s where it is built already" \
        docker_build ${no_cache-} -f "$top/$dockerfile" -t "$image" "$@" "$top" || {
        step_failed 40
        explain "$step_log"
        fail "$dockerfile cannot be built; all that the builder said is in build/images/$name.log"
    }
    keep_sbom "$name" -f "$top/$dockerfile" "$@"
}

# Copies the bill of materials and the licences out of the stage that made them, which is in
# the cache now.
keep_sbom() # NAME, ARGUMENT...
{
    folder=$logs/$1
    shift
    # This image has no name: it stays in the cache, like the other stages.
    image=$(docker_build -q --target sbom "$@" "$top" 2>"$step_log.sbom") || { cat "$step_log.sbom" >&2; fail "there is no bill of materials"; }
    rm -f "$step_log.sbom"
    container=$(docker create "$image" none)
    rm -rf "$folder"
    mkdir -p "$folder"
    docker cp "$container:/sbom/." "$folder"
    docker rm "$container" >/dev/null
    container=
    echo "images: build/images/$name has the bill of materials and the licences"
}

# A broken server, for class. It is no product: no labels of its own, no bill of materials.
build_fault()
{
    image=$("$top/compose/fault.sh") || exit
    set -- --build-arg "FAULT=$FAULT" --build-arg "BASE=$BASE"
    [ -z "${INSTALL-}" ] || set -- "$@" --build-arg "INSTALL=$INSTALL"
    mkdir -p "$logs"
    step_log=$logs/fault.log
    step "images: building $image: about 5 s" docker_build -t "$image" "$@" "$top/test/classroom" || {
        step_failed 10
        explain "$step_log"
        fail "test/classroom/Dockerfile cannot be built"
    }
    echo "images: $image is a broken server: $FAULT"
}

# An image that the user names is pulled if need be, but neither built nor tagged here.
take() # VARIABLE, IMAGE
{
    case $2 in
    [!A-Za-z0-9]* | *[!A-Za-z0-9._/:@-]*) fail "$1='$2' is no name of an image; allowed: name:tag, or name@sha256:digest" 2 ;;
    esac
    if ! is_here "$2"; then
        mkdir -p "$logs"
        step_log=$logs/pull.log
        step "images: pulling $2, as $1 says" docker pull "$2" ||
            { step_failed 1; fail "$1='$2' is neither here nor can it be pulled; allowed: an image that is here (docker images), or no $1"; }
    fi
}

# One of the two images: built, or taken.
get() # PROGRAM, NAME, VARIABLE, IMAGE
{
    if [ "$1" = server ] && [ -n "${FAULT-}" ]; then
        # A wrong FAULT is told before anything is built.
        "$top/compose/fault.sh" >/dev/null || exit
        check_platform
        choose_base
        build_fault
    elif [ -z "$2" ] && [ -n "$4" ]; then
        take "$3" "$4"
        echo "images: $4 is taken as it is ($3)"
    else
        check_platform
        choose_base
        build "Dockerfile.$1" "${2:-echolab-$1:latest}"
    fi
}

make_debian_busybox()
{
    ! is_here "$debian_busybox" || return 0
    make_debian_base
    mkdir -p "$logs"
    step_log=$logs/busybox.log
    step "images: making $debian_busybox of it: about 5 s" import_busybox || { step_failed 5; fail "$debian_busybox cannot be made"; }
}

import_busybox()
{
    # shellcheck disable=SC2016 # expanded inside the container
    docker run --rm --network none "$debian_base" sh -c '
        mkdir -p /root/image/bin && mkdir -m 1777 /root/image/tmp && cp /bin/busybox /root/image/bin/ &&
        for applet in $(busybox --list); do
            [ "$applet" = busybox ] || ln -s busybox "/root/image/bin/$applet"
        done && tar -C /root/image -c .' | docker import - "$debian_busybox"
}

# The package is unpacked, not installed: that would bring its web pages' libraries and start a
# service on this machine.
make_debian_prometheus()
{
    ! is_here "$debian_prometheus" || return 0
    command -v apt-get >/dev/null 2>&1 || fail "without a registry Prometheus comes from Debian's package; allowed: PROMETHEUS_IMAGE, an image that is here"
    dir=$(mktemp -d)
    mkdir -p "$logs"
    step_log=$logs/prometheus.log
    step "images: making $debian_prometheus, 100 MB, of Debian's package: about 20 s" import_prometheus ||
        { step_failed 5; fail "$debian_prometheus cannot be made"; }
    rm -rf "$dir"
    dir=
}

# Both programs, the libraries that they load, and a /tmp, which `promtool test rules` wants.
import_prometheus()
{
    download_prometheus && dpkg-deb -x "$dir"/prometheus_*.deb "$dir/unpacked" || return
    root=$dir/root
    mkdir -p "$root/bin" && mkdir -m 1777 "$root/tmp" && cp "$dir/unpacked/usr/bin/prometheus" "$dir/unpacked/usr/bin/promtool" "$root/bin" || return
    ldd "$root"/bin/* | sed -n 's/^[^/]*[ \t]\(\/[^ :]*\) (.*/\1/p' | sort -u | while read -r library; do
        mkdir -p "$root${library%/*}" && cp -L "$library" "$root$library" || return
    done || return
    tar -C "$root" -c . | docker import - "$debian_prometheus"
}

# (Where apt's lists are old, the package has another version by now.)
download_prometheus()
{
    set -- apt-get -q -o APT::Sandbox::User=root
    (cd "$dir" && "$@" download prometheus) && return
    [ "${SETUP-}" != no ] && [ "$(id -u)" -eq 0 ] || return
    "$@" update && (cd "$dir" && "$@" download prometheus)
}

# Sets $found to an image that is not ours.
find_other() # busybox | prometheus, VARIABLE, the user's IMAGE, STAND_IN
{
    found=$3
    if [ -n "$found" ]; then
        take "$2" "$found"
        return
    fi
    find_pinned "$2" "$4"
    if [ -z "$found" ]; then
        image=$(pin_of "$2")
        echo "images: ${image%@*} is neither here nor can it be pulled: taking Debian's $1"
        "make_debian_$1"
        found=$4
    fi
}

# What the user named, pulled or built elsewhere stays.
remove_made()
{
    dir=$(mktemp -d)
    for image in $made $(docker images --format '{{.Repository}}:{{.Tag}}' "$faults"); do
        is_here "$image" || continue
        docker rmi "$image" >"$dir/said" 2>&1 ||
            fail "$image cannot be removed: $(sed -n '$s/.*: //p' "$dir/said"); allowed: make down first"
        echo "images: $image is removed"
    done
    for label in $labels; do
        # One may be the parent of another.
        docker images -q --no-trunc --filter dangling=true --filter "label=$label" | sort -u |
            while read -r image; do
                # Of builds that failed or were interrupted.
                docker ps -aq --filter status=exited --filter status=created --filter "ancestor=$image" |
                    while read -r container; do docker rm "$container" >/dev/null 2>&1 || true; done
                docker rmi "$image" >/dev/null 2>&1 || true
            done
    done
    rm -f "$logs/not-pulled"
}

usage()
{
    echo "usage: images.sh server | client ... | busybox | prometheus | clean" >&2
    exit 2
}

need_linux images
[ $# -gt 0 ] || usage
for verb; do
    case $verb in
    server | client | server=?* | client=?* | busybox | prometheus | clean) ;;
    *) usage ;;
    esac
done
for verb; do
    name=
    case $verb in *=*) name=${verb#*=} ;; esac
    case $verb in
    server*) get server "$name" SERVER_IMAGE "${SERVER_IMAGE-}" ;;
    client*) get client "$name" CLIENT_IMAGE "${CLIENT_IMAGE-}" ;;
    busybox | prometheus)
        exec 3>&1 >&2
        case $verb in
        busybox) find_other busybox BUSYBOX_IMAGE "${BUSYBOX_IMAGE-}" "$debian_busybox" ;;
        prometheus) find_other prometheus PROMETHEUS_IMAGE "${PROMETHEUS_IMAGE-}" "$debian_prometheus" ;;
        esac
        echo "$found" >&3
        ;;
    clean) remove_made ;;
    esac
done
