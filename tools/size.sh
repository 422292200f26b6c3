#!/bin/sh
# How large the programs are, how many bytes of their budgets (CONTRIBUTING.md) are left, and
# which module takes how much.
#
#   size.sh FILE...      FILE: an executable, echo-server or echo-client; beside it, in size/, its
#                        twin that is linked without LTO, with its map, where there is one
#
# Environment: LEAST: fewer bytes left than that are a failure; default 256, so that another
# compiler of the same kind does not break the budget.
# Exit: 0; 1 too few bytes are left, or there is no such file; 2 usage.
set -eu

server_budget=$((72 * 1024))
client_budget=$((127 * 1024))

least=${LEAST:-256}
case $least in
'' | *[!0-9]*) echo "size: LEAST='$least' is no number; allowed: bytes" >&2 && exit 2 ;;
esac
[ $# -gt 0 ] || { echo "usage: size.sh FILE..." >&2; exit 2; }

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
    case ${file##*/} in
    echo-server) budget=$server_budget ;;
    echo-client) budget=$client_budget ;;
    *) echo "size: '$file' has no budget; allowed: echo-server, echo-client" >&2 && exit 2 ;;
    esac
    [ -f "$file" ] || { echo "size: there is no file '$file'" >&2; exit 1; }
    bytes=$(wc -c <"$file")
    left=$((budget - bytes))
    echo "$file: $bytes bytes, $left left of its budget of $budget"
    if [ "$left" -lt "$least" ]; then
        echo "size: $file has $left bytes left of its budget of $budget; allowed: $least or more" >&2
        code=1
    fi
    map=${file%/*}/size/${file##*/}.map
    [ ! -f "$map" ] || modules_of "$map"
done
exit "$code"
