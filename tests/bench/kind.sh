#!/usr/bin/env bash
# `kfe2e up --cluster kind` against plain `kind create cluster --wait` of the same node image: the wall time of each process from
# its start until the node is Ready. What kfe2e waits for after that, DNS, is shown apart. Who begins alternates from round to round, and
# a median ratio above the goal is an error.
# Usage: KFE2E=path/to/kfe2e tests/bench/kind.sh [ROUNDS]
set -euo pipefail
shopt -s inherit_errexit
kfe2e=${KFE2E:?set KFE2E to the program} rounds=${1:-3}
here=$(cd "$(dirname "$0")" && pwd)
archive=$("$here/../kind/node-image.sh")
variables=$("$here/../kind/docker.sh")
if [ -n "$variables" ]; then eval "export $variables"; fi
kubeconfig=$(mktemp)
# The one that kfe2e brings goes first on the PATH, so that both use the same.
kind=$("$kfe2e" assets --kind)/kind
export PATH=${kind%/*}:$PATH
finish() {
  "$kfe2e" down --name bench >/dev/null 2>&1 || true
  "$kind" delete cluster --name bench-peer --kubeconfig "$kubeconfig" >/dev/null 2>&1 || true
  rm -f "$kubeconfig"
  if [ -n "$variables" ]; then
    "$here/../kind/docker.sh" stop
  elif [ -n "${image-}" ] && ! grep -qxF "$image" <<<"$before"; then
    docker image rm "$image" >/dev/null
  fi
}
trap finish EXIT
before=$(docker image ls --format '{{.Repository}}:{{.Tag}}')
image=$(docker load --quiet --input "$archive" | sed -n 's/^Loaded image: //p')

# ours: wall time of the process but for what it waits for once the node is ready, and that.
ours() {
  "$kfe2e" up --cluster kind --kind-image "$image" --name bench --output json | python3 -c '
import json, sys, time
begin, figures = float(sys.argv[1]), {}
for line in sys.stdin:
    event = json.loads(line)
    if event.get("event") == "stageFinished":
        figures = event["figures"]
wall, ready = time.time() - begin, figures["nodeReadySeconds"]
later = max(figures[name] for name in ("apiReadySeconds", "nodeReadySeconds", "dnsReadySeconds")) - ready
print(wall - later, later)' "$(date +%s.%N)"
  "$kfe2e" down --name bench 2>/dev/null
}

peers() {
  local begin
  begin=$(date +%s.%N)
  "$kind" create cluster --name bench-peer --image "$image" --kubeconfig "$kubeconfig" --wait 120s 2>/dev/null
  python3 -c 'import sys, time; print(time.time() - float(sys.argv[1]))' "$begin"
  "$kind" delete cluster --name bench-peer --kubeconfig "$kubeconfig" 2>/dev/null
}

# The first cluster reads from the disk what every later one finds in memory: it counts for neither.
ours >/dev/null
ratios=()
for ((round = 0; round < rounds; round++)); do
  if ((round % 2)); then
    peer=$(peers)
    measured=$(ours)
  else
    measured=$(ours)
    peer=$(peers)
  fi
  read -r ready later <<<"$measured"
  ratios+=("$(python3 -c 'import sys
ready, later, peer = map(float, sys.argv[1:])
print(f"kind: node ready {ready:.1f} s, plain kind {peer:.1f} s, ratio {ready / peer:.2f}; DNS {later:.1f} s later", file=sys.stderr)
print(ready / peer)' "$ready" "$later" "$peer")")
done
python3 -c 'import statistics, sys
median = statistics.median(map(float, sys.argv[1:]))
print(f"kind: median ratio {median:.2f} (goal 1.1)")
sys.exit(median > 1.1)' "${ratios[@]}"
