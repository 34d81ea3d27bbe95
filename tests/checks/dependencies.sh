#!/usr/bin/env bash
# The rules that keep the crates apart: the API types and the decisions need no async runtime and no HTTP client,
# and every crate builds by what its own Cargo.toml asks for.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$(uname -m)-unknown-linux-musl

for crate in crds operator-core; do
  tree=$(cargo tree --quiet --package "$crate" --edges normal --target "$target" --prefix none --format '{p}')
  if found=$(grep -E '^(tokio|hyper|hyper-util|tower|tower-http|reqwest|async-std|smol|futures-executor) v' <<<"$tree"); then
    echo "$crate must stay free of async runtimes and HTTP clients, but pulls in: $found" >&2
    exit 1
  fi
done

allowed() { # CRATE MEMBER...: the members of the workspace that CRATE may depend on
  local crate=$1 member tree
  shift
  tree=$(cargo tree --quiet --package "$crate" --edges normal --target "$target" --prefix none --format '{p}')
  for member in $(grep -F "($PWD" <<<"$tree" | awk '{print $1}' | sort -u); do
    [[ " $crate $* " == *" $member "* ]] || { echo "$crate must not depend on $member" >&2; exit 1; }
  done
}
allowed crds
allowed operator-core crds
allowed operator crds operator-core
allowed runner crds
allowed bootstrap-image
allowed bootstrap-embedded bootstrap-image
allowed bootstrap-install crds
allowed bootstrap-report crds
allowed bootstrap crds bootstrap-image bootstrap-embedded bootstrap-install bootstrap-report

members=$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json,sys; print(*[p["name"] for p in json.load(sys.stdin)["packages"]])')
for member in $members; do
  cargo check --quiet --target "$target" --package "$member"
done
