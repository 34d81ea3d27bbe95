#!/usr/bin/env bash
# The committed CRD is the one that the types generate.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$(uname -m)-unknown-linux-musl
committed=manifests/crd/e2etests.e2e.kubeflow.org.yaml
generated=$(cargo run --quiet --target "$target" --package crds --example crdgen)
diff -u "$committed" - <<<"$generated" || { echo "$committed differs from the types: run 'make manifests' and commit it" >&2; exit 1; }
