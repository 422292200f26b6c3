#!/bin/sh
# Looks for skipped tests in what the tests said (TAP) and for each in skips.list.
#
#   judge.sh FOLDER
#
# Exit: 0 all of them are on the list; 1 one is not, or there are no tests.
set -eu

here=$(dirname "$0")
dir=
trap 'trap "" HUP INT TERM; [ -z "$dir" ] || rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM
dir=$(mktemp -d)

# TEST: WHY, once for each skipped test.
(cd "$1" && find . -type f) | sed 's#^\./##' | sort >"$dir/files"
while read -r file; do
    sed -n 's/^ *\(ok\|not ok\|1\.\.0\).*# *[Ss][Kk][Ii][Pp][a-z]* *//p' "$1/$file" | sed "s#^#${file#tmp.*/}: #"
done <"$dir/files" >"$dir/skipped"
grep -v '^#' "$here/skips.list" | cut -f 1 >"$dir/patterns"

[ -s "$dir/files" ] || { echo "judge: no test said anything" >&2; exit 1; }
if grep -vxf "$dir/patterns" "$dir/skipped" >"$dir/new"; then
    sed 's/^/judge: skipped, and not in skips.list: /' "$dir/new" >&2
    exit 1
fi
echo "judge: $(wc -l <"$dir/files") tests, $(wc -l <"$dir/skipped") skipped for the reasons in skips.list"
