#!/bin/sh
# How large the programs are, how many bytes are left before a file grows by a page, and which
# module takes how much.
#
#   size.sh FILE...      FILE: an executable; beside it, in size/, its twin that is linked
#                        without LTO, with its map, where there is one
#
# A file grows in steps: what the kernel makes read-only after relocation (RELRO) ends on a page.
# Environment: LEAST: fewer bytes left than that are a failure; default 256, so that another
# compiler of the same kind does not take the step.
# Exit: 0; 1 too few bytes are left, or a file is no executable; 2 usage.
set -eu

least=${LEAST:-256}
case $least in
'' | *[!0-9]*) echo "size: LEAST='$least' is no number; allowed: bytes" >&2 && exit 2 ;;
esac
[ $# -gt 0 ] || { echo "usage: size.sh FILE..." >&2; exit 2; }

# The first segment ends where the code and the constants end; the second one begins so that
# its read-only part ends on a page. What lies between is free.
left_in() # FILE
{
    readelf -lW "$1" 2>/dev/null | awk '
        function hex(text,    value, i) {
            value = 0
            for (i = 3; i <= length(text); i++) {
                value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
            }
            return value
        }
        $1 == "LOAD" { start[n] = hex($2); end[n++] = hex($2) + hex($5) }
        END { if (n != 2) exit 1; print start[1] - end[0] }'
}

# The map names each input section: its name, address, size and file, on one line or on two.
modules_of() # MAP
{
    awk '
        /^Linker script and memory map/ { on = 1 }
        !on { next }
        /^ \.[a-z]/ && NF == 1 { wrapped = $1; next }
        /^ \.[a-z]/ { name = $1; size = $3; file = $4 }
        /^  +0x/ && wrapped != "" { name = wrapped; size = $2; file = $3 }
        !/^ / || name == "" || file == "" { wrapped = name = ""; next }
        { wrapped = "" }
        name ~ /^\.(text|rodata|data|tdata|init|fini|eh_frame)/ && size ~ /^0x/ {
            value = 0
            for (i = 3; i <= length(size); i++) value = value * 16 + index("0123456789abcdef", substr(size, i, 1)) - 1
            if (file ~ /libc\.a/) file = "musl"
            else if (file ~ /libinih\.a/) file = "inih"
            else if (file ~ /(crt[1in]|libgcc|crtbegin|crtend)/) file = "start-up code"
            sub(/^build\/[a-z0-9]+\//, "", file)
            sub(/\.o$/, "", file)
            bytes[file] += value
            name = ""
        }
        END { for (file in bytes) if (bytes[file] > 0) printf "%8d  %s\n", bytes[file], file }' "$1" | sort -rn
}

code=0
for file in "$@"; do
    left=$(left_in "$file") || { echo "size: $file is no executable of two segments" >&2; exit 1; }
    echo "$file: $(wc -c <"$file") bytes, $left left before the next page"
    if [ "$left" -lt "$least" ]; then
        echo "size: $file has $left bytes left before it grows by a page; allowed: $least or more" >&2
        code=1
    fi
    map=${file%/*}/size/${file##*/}.map
    [ ! -f "$map" ] || modules_of "$map"
done
exit "$code"
