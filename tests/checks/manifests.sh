#!/usr/bin/env bash
# What is generated from the types is as it was committed: the CRD, and the page that describes it.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$(uname -m)-unknown-linux-musl

same() { # EXAMPLE FILE
  local generated
  generated=$(cargo run --quiet --target "$target" --package crds --example "$1")
  diff -u "$2" - <<<"$generated" || { echo "$2 differs from the types: run 'make manifests' and commit it" >&2; exit 1; }
}
same crdgen manifests/crd/e2etests.e2e.kubeflow.org.yaml
same reference docs/reference/e2etest.md
