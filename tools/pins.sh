#!/bin/sh
# Renews tools/pins: pulls each image by its name and notes its digest.
#
#   pins.sh
#
# Exit: 0 renewed; 1 an image could not be pulled: then tools/pins stays as it was.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

new=
trap 'trap "" HUP INT TERM; [ -z "$new" ] || rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM
new=$(mktemp "$here/.pins.XXXXXX")
sed -n '/^#/p' "$here/pins" >"$new"
sed '/^#/d' "$here/pins" | while read -r variable pinned; do
    name=${pinned%@*}
    docker pull -q "$name" >/dev/null || { echo "pins: $name cannot be pulled" >&2; exit 1; }
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name" |
        sed -n 's/.*@\(sha256:[0-9a-f]\{64\}\)$/\1/p' | sed 1q)
    [ -n "$digest" ] || { echo "pins: $name has no digest" >&2; exit 1; }
    echo "$variable $name@$digest" >>"$new"
    [ "$pinned" = "$name@$digest" ] || echo "pins: $name is $digest now" >&2
done
chmod 644 "$new"
mv "$new" "$here/pins"
