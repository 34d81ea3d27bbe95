#!/usr/bin/env bash
# A notebook of 50 cells: our runner against nbclient, on the same kernel, in turn; medians and their ratio.
# Usage: tests/bench/notebook.sh RUNNER [ROUNDS]
set -euo pipefail
runner=${1:?usage: tests/bench/notebook.sh RUNNER [ROUNDS]} rounds=${2:-5}
cd "$(dirname "$0")/../.."
venv=$(operator/runner/tests/kernel-venv.sh)
peer=${KFE2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kfe2e}/venv-nbclient-0.11.0
if [[ ! -x $peer/bin/jupyter-execute ]]; then
  python3 -m venv "$peer"
  "$peer/bin/pip" install --quiet nbclient==0.11.0 ipykernel==7.4.0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$work/notebook.ipynb" <<'PYTHON'
import json, sys
cells = [{"cell_type": "code", "id": f"c{n}", "metadata": {}, "execution_count": None, "outputs": [], "source": f"print({n} ** 2)"} for n in range(50)]
kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
json.dump({"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernel}, "cells": cells}, open(sys.argv[1], "w"))
PYTHON
export HOME=$work
seconds() { # COMMAND...: wall seconds of one run
  local began=$EPOCHREALTIME
  "$@" >/dev/null 2>"$work/error" || { cat "$work/error" >&2; return 1; }
  echo "$EPOCHREALTIME $began" | awk '{printf "%.3f\n", $1 - $2}'
}
ours() { PATH="$venv/bin:$PATH" "$runner" notebook --source "$work/notebook.ipynb" --results "$work/results" --timeout 60 --termination-log "$work/verdict"; }
theirs() { PATH="$peer/bin:$PATH" jupyter-execute --output executed "$work/notebook.ipynb"; }
for ((round = 0; round < rounds; round++)); do
  seconds ours >>"$work/ours"
  seconds theirs >>"$work/theirs"
done
median() { sort -n "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }
awk -v ours="$(median "$work/ours")" -v theirs="$(median "$work/theirs")" -v rounds="$rounds" 'BEGIN {
  printf "notebook of 50 cells, median of %d: ours %.2f s, nbclient %.2f s, ratio %.2f (goal 0.60)\n", rounds, ours, theirs, ours / theirs
}'
