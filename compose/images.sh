#!/bin/sh
# Builds the images, or finds the netcat sidecar's.
#
#   images.sh server | client    build echolab-server:latest or echolab-client:latest
#   images.sh busybox            make sure that the sidecar's image is there; prints its name
#
# Environment:
#   BASE, INSTALL     image to build on, and the command that installs the toolchain there.
#                     Default: Alpine as pinned in compose/pins; where it is neither present
#                     nor can be pulled, a Debian root with musl that is made here.
#   BUSYBOX_IMAGE     image of the sidecar; default: as pinned, with the same way out
#   PLATFORM          build for another platform, like linux/arm64: needs buildx
#   SERVER_IMAGE, CLIENT_IMAGE   names for the results
#   VERSION           for the images' labels
#   SOURCE_DATE_EPOCH the time of the image and its file; default: the commit's
#   CACHE=no          build every step again
#   SETUP=no          install nothing on this machine
set -eu

[ "${CACHE-}" != no ] || no_cache=--no-cache
here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
debian_base=echolab-base:debian
debian_busybox=echolab-busybox:debian

fail()
{
    echo "images: $1" >&2
    exit 1
}

# Is the image here, or can it be had? Half a minute is enough to know: 124 says that it was
# not enough.
get()
{
    docker image inspect "$1" >/dev/null 2>&1 ||
        timeout 30 docker pull -q "$1" >/dev/null 2>&1
}

pin_of() # VARIABLE
{
    sed -n "s/^$1 //p" "$here/pins"
}

# The image that is pinned for VARIABLE: by its digest; with a word by its name alone, where
# that digest cannot be had; nothing where neither can.
find_pinned() # VARIABLE
{
    pinned=$(pin_of "$1")
    name=${pinned%@*}
    status=0
    get "$pinned" || status=$?
    if [ "$status" -eq 0 ]; then
        echo "$pinned"
    elif docker image inspect "$name" >/dev/null 2>&1 || { [ "$status" -ne 124 ] && get "$name"; }; then
        echo "images: ${pinned#*@} cannot be had: taking $name as it is now" >&2
        echo "$name"
    fi
}

# A Debian root with the toolchain inside: made from packages, needs no image registry.
make_debian_base()
{
    if docker image inspect "$debian_base" >/dev/null 2>&1; then
        return
    fi
    "$here/setup.sh" base >&2
    [ "$(id -u)" -eq 0 ] || fail "making a Debian root needs root: run this once with sudo"
    suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    mmdebstrap --variant=minbase --include=gcc,make,musl-tools,libinih-dev,busybox-static \
        "${suite:-bookworm}" "$dir/root.tar" >"$dir/log" 2>&1 ||
        { tail -n 5 "$dir/log" >&2; fail "mmdebstrap could not make a Debian root"; }
    docker import "$dir/root.tar" "$debian_base" >/dev/null
    rm -rf "$dir"
    trap - EXIT
}

# Sets BASE and INSTALL where the user did not.
choose_base()
{
    [ -z "${BASE-}" ] || return 0
    BASE=$(find_pinned BASE)
    [ -z "$BASE" ] || return 0
    alpine=$(pin_of BASE)
    [ -z "${PLATFORM-}" ] ||
        fail "${alpine%@*} cannot be pulled; allowed: with PLATFORM a BASE for that platform"
    echo "images: ${alpine%@*} is neither here nor can it be pulled: building on a Debian root with musl"
    make_debian_base
    BASE=$debian_base
    INSTALL=true
}

docker_build()
{
    if [ -z "${PLATFORM-}" ]; then
        docker build "$@"
    else
        docker buildx build --load --platform "$PLATFORM" "$@"
    fi
}

check_platform()
{
    [ -z "${PLATFORM-}" ] || docker buildx version >/dev/null 2>&1 ||
        fail "PLATFORM='$PLATFORM' needs buildx; allowed: install it (docker-buildx), or make aarch64"
}

# Arguments for docker build that stand for what is set; "set --" keeps them apart.
build()
{
    dockerfile=$1
    image=$2
    revision=$(git -C "$top" rev-parse HEAD 2>/dev/null || echo unknown)
    # Whoever clones with a password in the URL must not find it in the image.
    source=$(git -C "$top" config --get remote.origin.url 2>/dev/null | sed 's#://[^/@]*@#://#')
    epoch=${SOURCE_DATE_EPOCH:-$(git -C "$top" log -1 --format=%ct 2>/dev/null || echo 0)}
    created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null) ||
        fail "SOURCE_DATE_EPOCH='$epoch' is no time; allowed: seconds since 1970"
    set -- --build-arg "VERSION=${VERSION:-unknown}" --build-arg "REVISION=$revision" \
        --build-arg "SOURCE=${source:-unknown}" --build-arg "SOURCE_DATE_EPOCH=$epoch" --build-arg "CREATED=$created"
    [ -z "${BASE-}" ] || set -- "$@" --build-arg "BASE=$BASE"
    [ -z "${INSTALL-}" ] || set -- "$@" --build-arg "INSTALL=$INSTALL"
    # shellcheck disable=SC2086 # an option, or none
    docker_build ${no_cache-} -f "$top/$dockerfile" -t "$image" "$@" "$top"
    keep_sbom "${image%%:*}" -f "$top/$dockerfile" "$@"
}

# What goes beside an image, from the stage that made it, which is in the cache now.
keep_sbom()
{
    name=${1##*/}
    shift
    folder=$top/build/images/$name
    # Without a name: it stays in the cache, as the other stages do.
    image=$(docker_build -q --target sbom "$@" "$top")
    container=$(docker create "$image" none)
    rm -rf "$folder"
    mkdir -p "$folder"
    docker cp "$container:/sbom/." "$folder"
    docker rm "$container" >/dev/null
    echo "images: build/images/$name has the bill of materials and the licences"
}

make_debian_busybox()
{
    if docker image inspect "$debian_busybox" >/dev/null 2>&1; then
        return
    fi
    make_debian_base
    # shellcheck disable=SC2016 # expanded inside the container
    docker run --rm --network none "$debian_base" sh -c '
        mkdir -p /root/image/bin && mkdir -m 1777 /root/image/tmp && cp /bin/busybox /root/image/bin/ &&
        for applet in $(busybox --list); do
            [ "$applet" = busybox ] || ln -s busybox "/root/image/bin/$applet"
        done && tar -C /root/image -c .' | docker import - "$debian_busybox" >/dev/null
}

find_busybox()
{
    image=${BUSYBOX_IMAGE:-$(find_pinned BUSYBOX_IMAGE)}
    if [ -z "$image" ]; then
        image=$(pin_of BUSYBOX_IMAGE)
        echo "images: ${image%@*} is neither here nor can it be pulled: taking Debian's busybox" >&2
        make_debian_busybox
        image=$debian_busybox
    fi
    echo "$image"
}

case ${1-} in
server)
    check_platform
    choose_base
    build Dockerfile.server "${SERVER_IMAGE:-echolab-server:latest}"
    ;;
client)
    check_platform
    choose_base
    build Dockerfile.client "${CLIENT_IMAGE:-echolab-client:latest}"
    ;;
busybox) find_busybox ;;
*)
    echo "usage: images.sh server | client | busybox" >&2
    exit 2
    ;;
esac
