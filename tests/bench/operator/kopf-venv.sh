#!/usr/bin/env bash
# Prints the path of a Python environment with kopf and a client, the peer of the operator's benchmark; made once, in the cache.
set -euo pipefail
kopf=1.45.2 client=36.1.0
venv=${KFE2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kfe2e}/venv-kopf-$kopf-$client
# Written last: an environment that it names is whole.
if [[ ! -f $venv/.installed ]]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "kopf==$kopf" "kubernetes_asyncio==$client" >&2
  touch "$venv/.installed"
fi
echo "$venv"
