#!/bin/sh
# Writes build/kubernetes/kustomization.yaml: the lab of deploy/kubernetes with other numbers and images.
# Then: kubectl apply -k build/kubernetes
#
#   overlay.sh [OVERLAY]     OVERLAY: base (default), load, drill or 1.25
#
# Environment, all optional:
#   R, N            servers (1 to 1000) and clients (0 to 1000) instead of 3 and 5
#   REGISTRY        where the nodes find the images: REGISTRY/echolab-server:latest, …-client:latest
#   SERVER_IMAGE, CLIENT_IMAGE   an image by its whole name, with a tag or a digest
# Exit: 0 written; 1 it cannot be written; 2 a value is wrong. After a failure an older one is as it was.
set -eu

top=$(cd "$(dirname "$0")/../.." && pwd)
to=$top/build/kubernetes

refuse() # NAME VALUE ALLOWED
{
    echo "overlay: $1='$(printf '%s' "$2" | tr '\n' ' ')' is wrong; allowed: $3" >&2
    exit 2
}

check_number() # NAME VALUE LEAST
{
    case $2 in '' | *[!0-9]* | 0?* | ?????*) refuse "$1" "$2" "a whole number from $3 to 1000" ;; esac
    if [ "$2" -lt "$3" ] || [ "$2" -gt 1000 ]; then refuse "$1" "$2" "a whole number from $3 to 1000"; fi
}

fits() # TEXT PATTERN
{
    [ "$(printf '%s\n' "$1" | wc -l)" -eq 1 ] && printf '%s\n' "$1" | grep -qE "^$2$"
}

name='([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*'
check_image() # NAME VALUE
{
    fits "$2" "$name(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[0-9a-f]{64})?" ||
        refuse "$1" "$2" "an image like registry.example/echo:1 or registry.example/echo@sha256:…"
}

# An image of Kustomize's list: the name in the manifests, and what takes its place.
image() # NAME IMAGE
{
    digest=
    tag=
    name=$2
    case $name in *@*) digest=${name#*@} name=${name%@*} ;; esac
    case ${name##*/} in *:*) tag=${name##*:} name=${name%:*} ;; esac
    printf '  - {name: %s, newName: "%s"' "$1" "$name"
    if [ -n "$digest" ]; then
        printf ', digest: "%s"}\n' "$digest"
    else
        printf ', newTag: "%s"}\n' "${tag:-latest}"
    fi
}

[ $# -le 1 ] || { echo "usage: overlay.sh [base|load|drill|1.25]" >&2; exit 2; }
case ${1-base} in
base) from=base ;;
load | drill | 1.25) from=overlays/$1 ;;
*) refuse OVERLAY "$1" "base, load, drill, 1.25" ;;
esac
check_number R "${R-3}" 1
check_number N "${N-5}" 0
if [ -n "${REGISTRY-}" ]; then
    fits "$REGISTRY" "$name" || refuse REGISTRY "$REGISTRY" "a registry, and a path there, like registry.example:5000/lab"
fi
server=${SERVER_IMAGE:-${REGISTRY:+$REGISTRY/}echolab-server:latest}
client=${CLIENT_IMAGE:-${REGISTRY:+$REGISTRY/}echolab-client:latest}
check_image SERVER_IMAGE "$server"
check_image CLIENT_IMAGE "$client"

new=
trap 'trap "" HUP INT TERM; [ -z "$new" ] || rm -f "$new"' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p "$to"
new=$(mktemp "$to/.kustomization.XXXXXX")
{
    cat <<END
# Written by deploy/kubernetes/overlay.sh. Do not edit.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../../deploy/kubernetes/$from]
replicas:
  - {name: server, count: ${R-3}}
patches:
  - target: {kind: Job, name: client}
    patch: |-
      - {op: replace, path: /spec/completions, value: ${N-5}}
      - {op: replace, path: /spec/parallelism, value: ${N-5}}
images:
END
    image echolab-server "$server"
    image echolab-client "$client"
} >"$new"
chmod 644 "$new"
mv "$new" "$to/kustomization.yaml"
echo "build/kubernetes: ${R-3} servers ($server), ${N-5} clients ($client); kubectl apply -k build/kubernetes"
