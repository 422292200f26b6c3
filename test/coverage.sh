#!/bin/sh
# Runs the tests given (unit tests built with --coverage) and the process tests on build/cov, and
# tells for each source file which lines and branches ran. Fails below 95 % of the lines.
set -eu
cd "$(dirname "$0")/.."

least=95
find build/cov -name '*.gcda' -delete
prove -e '' "$@"
FAULT_CORE=1 ECHOLAB_BUILD=build/cov prove -Itest/lib test/e2e/process test/fault/checker.t test/fault/floods.t
# (Its dynamic linker makes system calls of other kinds, too.)
FAULT_CALLS='accept4|recvfrom|sendto|poll|shutdown|ioctl|setsockopt|pipe2' FAULT_CORE=1 ECHOLAB_BUILD=build/cov \
    prove -Itest/lib test/fault/inject.t
FAULT_CALLS='socket|setsockopt|connect|getsockopt|sendto|recvfrom|poll|shutdown|pipe2|timerfd_.*' FAULT_CORE=1 \
    ECHOLAB_BUILD=build/cov prove -Itest/lib test/fault/client_faults.t

# gcov writes where it runs, and looks for src/ from there.
mkdir -p build/cov/lines
ln -sfn ../../../src build/cov/lines/src
(cd build/cov/lines && find .. -name '*.gcda' -exec gcov --preserve-paths --branch-counts --branch-probabilities {} + >../gcov.log 2>&1)

# gcov.log: File 'src/x.c', then its lines and branches.
awk -v least="$least" '
    /^$/ { file = "" }
    /^File / { file = $2; gsub(/\047/, "", file); next }
    file !~ /^src\/.*\.c$/ { next }
    /^Lines executed/ {
        split($2, a, ":"); percent = a[2] + 0; lines = $4
        covered += percent * lines / 100; all += lines; line_of[file] = percent; n[file] = lines
    }
    /^Taken at least once/ { split($4, a, ":"); branch_of[file] = a[2] }
    END {
        printf "%-32s %6s %8s %9s\n", "file", "lines", "run", "branches"
        for (file in n) printf "%-32s %6d %7.1f%% %9s\n", file, n[file], line_of[file], branch_of[file] | "sort"
        close("sort")
        printf "%-32s %6d %7.1f%%\n", "all", all, 100 * covered / all
        if (100 * covered / all < least) { printf "less than %d %% of the lines ran\n", least; exit 1 }
    }' build/cov/gcov.log
echo "lines that did not run: grep -n '#####' build/cov/lines/*.gcov"
