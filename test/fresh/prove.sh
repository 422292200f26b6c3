#!/bin/sh
# Takes the place of prove in fresh roots: keeps what each test said, for judge.sh, and unless
# FULL=1 runs only the tests that short.list names.
#
#   prove.sh [OPTION...] TEST...       FRESH_TAP: the folder to keep it in
set -eu

here=$(dirname "$0")
# A folder for each call: the same test runs on several flavours.
PERL_TEST_HARNESS_DUMP_TAP=$(mktemp -d -p "$FRESH_TAP")
export PERL_TEST_HARNESS_DUMP_TAP

if [ "${FULL-}" != 1 ]; then
    count=0
    for argument; do
        shift
        case $argument in
        test/* | build/*)
            for test in $(find "$argument" -type f | sort | grep -xf "$here/short.list"); do
                set -- "$@" "$test"
                count=$((count + 1))
            done
            ;;
        *) set -- "$@" "$argument" ;;
        esac
    done
    [ "$count" -gt 0 ] || { echo "prove: short.list names no test of this kind" >&2; exit 1; }
fi
exec prove -Itest/lib --timer "$@"
