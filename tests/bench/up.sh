#!/usr/bin/env bash
# A cluster's start against its floor in the same run: how long until the node is Ready, in times of the API server's own start.
# Usage: KFE2E=path/to/kfe2e tests/bench/up.sh [ROUNDS]
set -euo pipefail
kfe2e=${KFE2E:?set KFE2E to the program} rounds=${1:-3}
trap '"$kfe2e" down --name bench >/dev/null 2>&1' EXIT
for ((round = 0; round < rounds; round++)); do
  "$kfe2e" up --cluster embedded --name bench --output json | python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin]
figures = next(event["figures"] for event in events if event.get("event") == "stageFinished")
serving, ready = figures["servingSeconds"], figures["nodeReadySeconds"]
print(f"up: API serving {serving:.2f} s, node ready {ready:.2f} s, ratio {ready / serving:.2f}; images {figures['"'imageLoadSeconds'"']:.2f} s, DNS {figures['"'dnsReadySeconds'"']:.2f} s")'
  "$kfe2e" down --name bench 2>/dev/null
done
