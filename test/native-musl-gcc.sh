#!/bin/sh
# Stands in for a compiler whose own C library is musl, as Alpine's is: it says so, and
# -static-pie makes a truly static file. (Debian's musl-gcc wraps the compiler for glibc, and
# its -static-pie makes a file that needs an interpreter.) Takes the compiler's arguments.
set -eu

lib=/usr/lib/x86_64-linux-musl
case " $* " in
*' -dumpmachine '*)
    echo x86_64-linux-musl
    exit
    ;;
esac
specs=$(mktemp)
trap 'rm -f "$specs"' EXIT
sed -e "s|^%{!shared: $lib/Scrt1.o}|%{static-pie:$lib/rcrt1.o;!shared:$lib/Scrt1.o}|" \
    -e 's|^-dynamic-linker \(\S*\)|%{static-pie:-static -pie --no-dynamic-linker -z text;:-dynamic-linker \1}|' \
    "$lib/musl-gcc.specs" >"$specs"
gcc "$@" -specs="$specs"
