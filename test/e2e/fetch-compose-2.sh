#!/bin/sh
# Puts a Compose 2.x beside the 1.29 of Debian 12, so that the lab is tested with both: takes
# Debian 13's package and unpacks it, without installing it, into build/compose-2/.
# Does nothing where that was done before or where "docker compose" is there already.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
target=$top/build/compose-2

if docker compose version >/dev/null 2>&1 || [ -x "$target/docker-compose" ]; then
    exit 0
fi
# shellcheck disable=SC2016 # the format is apt's
uri=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -n 1)
[ -n "$uri" ] || { echo "fetch-compose-2: apt knows no package source" >&2; exit 1; }
dir=
trap 'trap "" HUP INT TERM; [ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
dir=$(mktemp -d)
mkdir -p "$dir/lists/partial" "$target"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri trixie main" \
    >"$dir/sources.list"

# apt-get with a package list of its own: the system's stays as it is.
own_apt()
{
    apt-get -qq -o "Dir::Etc::sourcelist=$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$dir/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
        -o APT::Sandbox::User=root "$@"
}

own_apt update
(cd "$dir" && own_apt download docker-compose)
dpkg-deb -x "$dir"/docker-compose_*.deb "$dir/root"
cp "$dir/root/usr/libexec/docker/cli-plugins/docker-compose" "$target/docker-compose"
"$target/docker-compose" version
