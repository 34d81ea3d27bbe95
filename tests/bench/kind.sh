#!/usr/bin/env bash
# `kfe2e up --cluster kind` against plain `kind create cluster --wait` of the same node image, alternating: until the node is Ready, in
# times of the peer. What kfe2e waits for beyond that, DNS, is shown apart.
# Usage: KFE2E=path/to/kfe2e tests/bench/kind.sh [ROUNDS]
set -euo pipefail
kfe2e=${KFE2E:?set KFE2E to the program} rounds=${1:-3}
here=$(cd "$(dirname "$0")" && pwd)
cache=${KFE2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kfe2e}
archive=$("$here/../kind/node-image.sh")
variables=$("$here/../kind/docker.sh")
if [ -n "$variables" ]; then eval "export $variables"; fi
kubeconfig=$(mktemp)
kind=$cache/assets/kind-v0.33.0/kind
finish() {
  "$kfe2e" down --name bench >/dev/null 2>&1 || true
  "$kind" delete cluster --name bench-peer --kubeconfig "$kubeconfig" >/dev/null 2>&1 || true
  rm -f "$kubeconfig"
  if [ -n "$variables" ]; then "$here/../kind/docker.sh" stop; fi
}
trap finish EXIT
image=$(docker load --quiet --input "$archive" | sed -n 's/^Loaded image: //p')
ratios=()
for ((round = 0; round < rounds; round++)); do
  figures=$("$kfe2e" up --cluster kind --kind-image "$image" --name bench --output json | python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin]
figures = next(event["figures"] for event in events if event.get("event") == "stageFinished")
print(figures["nodeReadySeconds"], figures["dnsReadySeconds"])')
  "$kfe2e" down --name bench 2>/dev/null
  begin=$(date +%s.%N)
  "$kind" create cluster --name bench-peer --image "$image" --kubeconfig "$kubeconfig" --wait 120s 2>/dev/null
  peer=$(python3 -c "import time; print(time.time() - $begin)")
  "$kind" delete cluster --name bench-peer --kubeconfig "$kubeconfig" 2>/dev/null
  read -r ready dns <<<"$figures"
  python3 -c "print(f'kind: node ready {$ready:.1f} s, plain kind {$peer:.1f} s, ratio {$ready / $peer:.2f}; DNS {$dns - $ready:.1f} s later')"
  ratios+=("$(python3 -c "print($ready / $peer)")")
done
python3 -c "import statistics, sys; print(f'kind: median ratio {statistics.median(map(float, sys.argv[1:])):.2f} (goal 1.1)')" "${ratios[@]}"
