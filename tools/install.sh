#!/bin/sh
# Installs the programs, their manual pages, example configurations and licence texts, or
# removes them.
#
#   install.sh             copies them from build/, docs/ and config/
#   install.sh --remove    removes these files, and the folders that only they need
#
# Environment:
#   PREFIX     where they belong; default: /usr/local
#   DESTDIR    a folder that stands for /, to make a package from; default: none
#
# Programs have the mode 755, the other files 644. A folder that is missing is made as the
# umask says; one that is there stays as it is.
#
# Exit: 0 done; 1 a file cannot be written or removed; 2 usage.
set -eu

cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
doc=share/doc/echolab

# One line per file: mode, source, place under PREFIX.
files()
{
    cat <<FILES
755 build/echo-server bin/echo-server
755 build/echo-client bin/echo-client
644 build/man/echo-server.1 share/man/man1/echo-server.1
644 build/man/echo-client.1 share/man/man1/echo-client.1
644 config/server.ini $doc/server.ini
644 config/client.ini $doc/client.ini
644 LICENSE $doc/LICENSE
644 docs/licenses/musl.txt $doc/licenses/musl.txt
644 docs/licenses/inih.txt $doc/licenses/inih.txt
FILES
}

copy()
{
    files | while read -r mode source place; do
        target=${DESTDIR-}$prefix/$place
        mkdir -p "$(dirname "$target")"
        install -m "$mode" "$source" "$target"
        echo "install: $target"
    done
}

remove()
{
    files | while read -r _ _ place; do
        rm -f "${DESTDIR-}$prefix/$place"
    done
    for folder in "$doc/licenses" "$doc"; do
        target=${DESTDIR-}$prefix/$folder
        [ ! -d "$target" ] || rmdir "$target" 2>/dev/null || echo "install: $target has files of others and stays"
    done
}

case $prefix in
/*) ;;
*) echo "install: PREFIX='$prefix' is wrong; allowed: a path that begins with /" >&2; exit 2 ;;
esac
case "$#:${1-}" in
0:) copy ;;
1:--remove) remove ;;
*) echo "usage: install.sh [--remove]" >&2; exit 2 ;;
esac
