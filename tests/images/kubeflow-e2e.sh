#!/usr/bin/env bash
# Writes the project's own image, operator and runner, into an OCI layout. Usage: tests/images/kubeflow-e2e.sh BINARIES LAYOUT
set -euo pipefail
binaries=${1:?usage: tests/images/kubeflow-e2e.sh BINARIES LAYOUT} layout=${2:?usage: tests/images/kubeflow-e2e.sh BINARIES LAYOUT}
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in operator runner; do
  # Debug information is of no use in a container that has no debugger, and takes time to load.
  strip -o "$work/$program" "$binaries/$program"
done
cat >"$work/image.json" <<JSON
{
  "name": "ghcr.io/kubeflow/kubeflow-e2e:$version",
  "minimalRoot": true,
  "layers": [{"programs": {"/operator": "operator", "/runner": "runner"}}],
  "entrypoint": ["/operator"],
  "user": "65532:65532"
}
JSON
"${KFE2E:-$binaries/kfe2e}" image write --spec "$work/image.json" --out "$layout"
