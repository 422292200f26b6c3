#!/bin/sh
# What `make lint` checks: formats, static analysis, scripts, the graph of includes, manifests. Each check
# says what it is; the first one that fails ends it.
#
# Environment: STD: the compiler's flags for the language.
set -eu
cd "$(dirname "$0")/.."

check()
{
    echo "lint: $1"
    shift
    "$@"
}

# All sources, on all processors.
# shellcheck disable=SC2016 # expanded by the inner shell
tidy()
{
    printf '%s\n' src/*.c src/*/*.c |
        xargs -n 8 -P "$(nproc)" sh -c 'std=$0; clang-tidy --quiet "$@" -- $std -DECHOLAB_VERSION=\"lint\" -Isrc' "${STD-}"
}

rules()
{
    promtool check rules compose/prometheus/rules.yaml && promtool test rules compose/prometheus/rules_test.yaml
}

# shellcheck disable=SC2086 # flags, to be split
lint()
{
    check "include graph" tools/modules.pl
    check "clang-format" clang-format --dry-run --Werror src/*.c src/*/*.[ch] test/unit/*.[ch] test/unit/*/*.[ch] test/fuzz/*.[ch] test/classroom/*.c
    check "shellcheck" shellcheck tools/*.sh compose/*.sh deploy/*/*.sh test/*.sh test/*/*.sh test/*/*/*.sh .ci/run
    ! command -v promtool >/dev/null 2>&1 || check "promtool" rules # otherwise `make e2e` does it
    check "cppcheck" cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,performance,portability \
        --inline-suppr -Isrc -Ibuild/include -DECHOLAB_VERSION='"lint"' src
    check "clang-tidy" tidy
    for file in tools/*.pl tools/*/*.pm test/bench/*.pl test/examine/*.pl test/e2e/*/*.t test/fault/*.t test/fuzz/*.t test/lint/*.t test/manifests/*.t test/lib/*.pm; do
        perl -Itest/lib -Itools -wc "$file" || return 1
    done
    check "controls" prove -Itest/lib test/lint
    check "manifests" test/manifests/check.sh
}

lint
