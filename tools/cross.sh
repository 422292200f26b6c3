#!/bin/sh
# Prepares a cross build for aarch64 on Debian: musl and inih for arm64, unpacked (not
# installed) from Debian's packages, and the compiler's specs that find them.
#
#   cross.sh FOLDER       makes FOLDER/root and FOLDER/musl-gcc.specs, unless they are there
#
# Exit: 0 both are there; 1 they could not be made; 2 usage.
set -eu

[ $# -eq 1 ] || { echo "usage: cross.sh FOLDER" >&2; exit 2; }
"$(dirname "$0")/setup.sh" build cross
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -e "$folder/musl-gcc.specs" ] || exit 0

suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
rm -rf "$folder/root"
mmdebstrap --architectures=arm64 --variant=extract --include=musl-dev,libinih-dev \
    "${suite:-bookworm}" "$folder/root" >"$folder/mmdebstrap.log" 2>&1 || {
    tail -n 5 "$folder/mmdebstrap.log" >&2
    echo "cross: musl for arm64 could not be fetched from Debian's packages" >&2
    exit 1
}
# The specs in the root name /usr; here they must name the root's own /usr.
trap 'trap "" HUP INT TERM; rm -f "$folder/.specs"' EXIT
trap 'exit 1' HUP INT TERM
sed "s|/usr/|$folder/root/usr/|g" "$folder/root/usr/lib/aarch64-linux-musl/musl-gcc.specs" >"$folder/.specs"
mv "$folder/.specs" "$folder/musl-gcc.specs"
