#!/usr/bin/env bash
# Assembles the Python images that tests run in, from Debian packages and PyPI, without a container registry.
#
#   KFE2E=path/to/kfe2e tests/images/python.sh [CACHE]
#
# prints one folder, an OCI image layout that holds both images:
#   localhost/kfe2e-test-python:dev   Python, ipykernel and the kfp SDK: what notebooks and scripts run in
#   localhost/kubeflow-mini:dev       the same, and the stand-ins of tests/kubeflow-mini
#
# Each folder is named by a hash of what goes into it, made once and moved into place when complete, so that an
# interrupted run leaves nothing that a later one would take for whole. Layers are kept apart from images: a change
# of a stand-in's source makes one small layer anew, not Python.
#
# CACHE    default: $KFE2E_CACHE, else $XDG_CACHE_HOME/kfe2e, else ~/.cache/kfe2e
# KFE2E    the kfe2e program, which writes the layout; default: kfe2e on the PATH
# Packages come from this machine's own apt sources and pip configuration. Needs root, mmdebstrap and tar.
set -euo pipefail

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
standins=$here/../kubeflow-mini/src
cache=${1:-${KFE2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kfe2e}}/images
kfe2e=${KFE2E:-kfe2e}
# A fixed time for every file of every layer: the same inputs give the same bytes. Later than any package of the
# distribution, since dates after it are cut down to it and dates before it are kept.
export SOURCE_DATE_EPOCH=1767225600

[ "$(id -u)" = 0 ] || die "needs root to unpack Debian packages; run it with sudo"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing; install it with: apt-get install mmdebstrap"
command -v "$kfe2e" >/dev/null || die "the kfe2e program is not at '$kfe2e'; build it and set KFE2E to its path"
# shellcheck source=apt-sources.sh
. "$here/apt-sources.sh"

# hash_of FILE...: the first 16 digits of a hash over names, contents and what else decides the result.
hash_of() { { echo "$suite $(dpkg --print-architecture)"; (cd "$here/.." && sha256sum "$@"); } | sha256sum | cut -c1-16; }

mkdir -p "$cache/layers"
# One builder at a time: two would do the same minutes of work twice.
exec 9>"$cache/.python.lock"
flock --wait 1800 9 || die "another python.sh has held $cache/.python.lock for 30 minutes; see what it waits for"
# What a killed run left; nobody else is at work here.
rm -rf "$cache"/.making.*
scratch=$(mktemp -d "$cache/.making.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# apt downloads as a user of its own, who must get through.
chmod 755 "$scratch"

mapfile -t programs < <(cd "$here/.." && find kubeflow-mini/src -name '*.py' ! -name 'test_*' | LC_ALL=C sort)
[ "${#programs[@]}" -gt 0 ] || die "no stand-ins in $standins"
python=$cache/layers/python-$(hash_of images/python.sh images/apt-sources.sh images/python-layers.sh images/requirements.txt)
standin=$cache/layers/kubeflow-mini-$(hash_of images/python.sh "${programs[@]}").tar
layout=$cache/python-$(printf '%s %s' "${python##*/}" "${standin##*/}" | sha256sum | cut -c1-16)

if [ ! -d "$python" ]; then
    say "making Python's layers from $suite packages and PyPI (about two minutes, once)"
    mkdir "$scratch/python"
    # Hooks run while the root has /dev, /proc and name resolution. The folder of hooks spares the image all of Perl,
    # which the package `usrmerge` would bring.
    TMPDIR=$scratch LAYERS=$scratch/python REQUIREMENTS=$here/requirements.txt mmdebstrap --quiet --variant=minbase \
        --include=python3,python3-venv,ca-certificates,procps --hook-dir=/usr/share/mmdebstrap/hooks/maybe-merged-usr \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --customize-hook="$here/python-layers.sh" \
        "$suite" "$scratch/python/base.tar" "${sources[@]}" >"$cache/python.log" 2>&1 ||
        { tail -n 30 "$cache/python.log" >&2; die "Python's layers could not be made; the whole log is $cache/python.log"; }
    mv "$scratch/python" "$python"
fi

if [ ! -f "$standin" ]; then
    say "making the stand-ins' layer"
    tar -C "$here/.." --transform='s,^kubeflow-mini/src,opt/kubeflow-mini,' --mode=u=rwX,go=rX --owner=0 --group=0 \
        --numeric-owner --sort=name --mtime="@$SOURCE_DATE_EPOCH" --format=gnu -cf "$scratch/standin.tar" "${programs[@]}"
    mv "$scratch/standin.tar" "$standin"
fi

if [ ! -d "$layout" ]; then
    say "writing the images' layout"
    # describe NAME PATH_ENTRIES CMD LAYER...: one image, for `kfe2e image write`.
    describe() {
        local layers
        layers=$(printf ', "%s"' "${@:4}")
        printf '{"name": "%s", "layers": [%s], "env": {%s}, "entrypoint": [], "cmd": %s, "user": "1000:1000", "workingDir": "/home/e2e"}\n' \
            "$1" "${layers#, }" "$2" "$3"
    }
    environment='"PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "HOME": "/home/e2e", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"'
    describe localhost/kfe2e-test-python:dev "$environment" '["python3"]' \
        "$python/base.tar" "$python/venv.tar" >"$scratch/test-python.json"
    describe localhost/kubeflow-mini:dev "$environment, \"PYTHONPATH\": \"/opt/kubeflow-mini\"" '["python3"]' \
        "$python/base.tar" "$python/venv.tar" "$standin" >"$scratch/kubeflow-mini.json"
    for spec in test-python kubeflow-mini; do
        "$kfe2e" image write --spec "$scratch/$spec.json" --out "$scratch/layout" >&2
    done
    mv "$scratch/layout" "$layout"
fi
echo "$layout"
