#!/bin/sh
# Stands in for a compiler whose own C library is musl, as Alpine's is: it says so, and
# -static-pie makes a truly static file. (Debian's musl-gcc wraps the compiler for glibc, and
# its -static-pie makes a file that needs an interpreter.) Takes the compiler's arguments.
#
# Environment: RELR=yes: its <elf.h> knows packed relocations, as musl's does from 1.2.4 on. (What
# is linked so cannot run with an older musl.)
set -eu

lib=/usr/lib/x86_64-linux-musl
case " $* " in
*' -dumpmachine '*)
    echo x86_64-linux-musl
    exit
    ;;
esac
dir=
trap 'trap "" HUP INT TERM; [ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
dir=$(mktemp -d)
sed -e "s|^%{!shared: $lib/Scrt1.o}|%{static-pie:$lib/rcrt1.o;!shared:$lib/Scrt1.o}|" \
    -e 's|^-dynamic-linker \(\S*\)|%{static-pie:-static -pie --no-dynamic-linker -z text;:-dynamic-linker \1}|' \
    "$lib/musl-gcc.specs" >"$dir/specs"
if [ "${RELR-}" = yes ]; then
    printf '#include_next <elf.h>\n#undef DT_RELR\n#define DT_RELR 36\n' >"$dir/elf.h"
    set -- -I "$dir" "$@"
fi
gcc "$@" -specs="$dir/specs"
