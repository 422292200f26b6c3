#!/bin/sh
# Writes lab.yaml beside this script: base.yaml and N clients, which differ in their id only.
#
#   generate.sh N        N: 0 to 1000
#
# Exit: 0 written; 2 N is wrong; 1 it cannot be written. Then an older lab.yaml stays as it was.
set -eu

here=$(dirname "$0")
n=${1-}

case $n in
'' | *[!0-9]* | 0?* | ?????*) is_good=no ;;
*) [ "$n" -le 1000 ] && is_good=yes || is_good=no ;;
esac
if [ "$is_good" = no ]; then
    echo "compose: N='$n' is wrong; allowed: a whole number from 0 to 1000" >&2
    exit 2
fi

new=$(mktemp "$here/.lab.XXXXXX")
trap 'rm -f "$new"' EXIT
{
    echo "# Written by generate.sh from base.yaml: the server and $n clients. Do not edit."
    cat "$here/base.yaml"
    i=1
    while [ "$i" -le "$n" ]; do
        printf '\n  client%d:\n    <<: *client\n    environment: {CLI_ID: "%d"}\n' "$i" "$i"
        i=$((i + 1))
    done
} >"$new"
chmod 644 "$new"
mv "$new" "$here/lab.yaml"
trap - EXIT
echo "compose/lab.yaml: server and $n clients"
