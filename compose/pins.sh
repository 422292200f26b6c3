#!/bin/sh
# Renews compose/pins: pulls each image by its name and notes the digest that came.
#
#   pins.sh
#
# Exit: 0 renewed; 1 an image could not be pulled: then compose/pins stays as it was.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

new=$(mktemp "$here/.pins.XXXXXX")
trap 'rm -f "$new"' EXIT
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
trap - EXIT
