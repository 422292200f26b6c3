#!/bin/sh
# Unpacks Debian's kernel for 64-bit ARM and a static busybox, without installing them.
#
#   fetch-kernel.sh FOLDER      makes FOLDER/vmlinuz and FOLDER/busybox, unless they are there
#
# Exit: 0 there; 1 they cannot be had; 2 usage.
set -eu

[ $# -eq 1 ] || { echo "usage: fetch-kernel.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -e "$folder/vmlinuz" ] || exit 0

# shellcheck disable=SC2016 # the format is apt's
uri=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
[ -n "$uri" ] || { echo "fetch-kernel: apt knows no package source" >&2; exit 1; }
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
dir=
trap 'trap "" HUP INT TERM; [ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
dir=$(mktemp -d)
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $suite main" >"$dir/sources.list"

# One of apt's commands for another machine, with lists of its own.
foreign()
{
    command=$1
    shift
    "$command" -q=2 -o APT::Architecture=arm64 -o APT::Architectures=arm64 \
        -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$dir/lists" -o Dir::State::status=/dev/null -o "Dir::Cache=$dir/cache" \
        -o APT::Sandbox::User=root "$@"
}

foreign apt-get update
kernel=$(foreign apt-cache depends linux-image-arm64 | sed -n 's/.*Depends: \(linux-image-.*arm64\).*/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "fetch-kernel: there is no linux-image-arm64" >&2; exit 1; }
(cd "$dir" && foreign apt-get download "$kernel" busybox-static)
for package in "$dir"/*.deb; do
    dpkg-deb -x "$package" "$dir/root"
done
cp "$dir/root/bin/busybox" "$folder/busybox"
cp "$dir"/root/boot/vmlinuz-* "$folder/.vmlinuz"
mv "$folder/.vmlinuz" "$folder/vmlinuz"
