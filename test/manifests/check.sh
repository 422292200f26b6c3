#!/bin/sh
# What can be checked of the manifests for Kubernetes without a cluster.
#
#   check.sh
#
# Exit: 0 all is well; 1 not.
set -eu
cd "$(dirname "$0")/../.."

test/manifests/tools.sh
yamllint --strict --config-file test/manifests/yamllint.yaml deploy/kubernetes config/kustomization.yaml
prove -Itest/lib -j2 test/manifests
