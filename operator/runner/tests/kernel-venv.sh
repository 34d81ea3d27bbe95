#!/usr/bin/env bash
# Prints the path of a Python environment with a real ipykernel, which the tests in this folder run
# against: `KFE2E_TEST_VENV=$(operator/runner/tests/kernel-venv.sh) cargo test -p runner`.
# It is built once; a build that was cut short is begun anew.
set -euo pipefail

wanted="ipykernel==7.4.0"
cache="${KFE2E_CACHE:-$HOME/.cache/kfe2e}"
venv="$cache/venv-ipykernel"
# Written last: what it names is installed whole.
marker="$venv/.installed"

is_ready() { [[ -f "$marker" && "$(cat "$marker")" == "$wanted" ]]; }

if ! is_ready; then
    mkdir -p "$cache"
    exec 9>"$cache/venv-ipykernel.lock"
    flock --timeout 600 9 || {
        echo "another build of $venv has not ended within 600 s: end it, or remove $cache/venv-ipykernel.lock" >&2
        exit 1
    }
    if ! is_ready; then
        rm -rf "$venv"
        python3 -m venv "$venv" || {
            echo "python3 cannot make a virtual environment in $venv: install python3 and python3-venv" >&2
            exit 1
        }
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wanted" >&2 || {
            echo "pip cannot install $wanted into $venv: see above; a wheelhouse can be named by PIP_FIND_LINKS" >&2
            exit 1
        }
        echo "$wanted" >"$marker"
    fi
fi
echo "$venv"
