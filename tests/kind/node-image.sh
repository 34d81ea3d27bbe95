#!/usr/bin/env bash
# Makes a node image for kind from Debian packages and Go modules, without a container registry.
#
#   tests/kind/node-image.sh [KUBERNETES]
#
# prints the path of a docker archive, to be loaded with `docker load --input`; the image in it is called
# localhost/kfe2e-kind-node:VERSION, with Kubernetes' version.
#
# KUBERNETES     a line of Kubernetes that the embedded cluster has too, such as 1.36, whose programs are then taken from
#                where it keeps them in the cache (`kfe2e up --cluster embedded` fills that); or a folder with them, and
#                possibly with etcd, coredns and kubeadm; default: the newest line
# KFE2E_CACHE    default: $XDG_CACHE_HOME/kfe2e, else ~/.cache/kfe2e
#
# kind's own node images are published in a registry only. This one has the same parts in the same places: systemd,
# containerd and runc of Debian, Kubernetes, the images of its pods in containerd's store, and kind's own files, read
# from its Go module. What stands in for parts that are published as images only is in modules/ and node/.
#
# As in ../images/python.sh the result is named by a hash of what goes into it, made once and moved into place when
# complete. Debian's part is a layer of its own, which every version of Kubernetes shares.
# Needs root, mmdebstrap, go, gcc, python3 and zstd; packages come from this machine's own apt sources.
set -euo pipefail

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

here=$(cd "$(dirname "$0")" && pwd)
embedded=$here/../../bootstrap/embedded/modules
cache=${KFE2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kfe2e}
images=$cache/images
# The date of every file, as there: later than any package of the distribution.
export SOURCE_DATE_EPOCH=1767225600

[ "$(id -u)" = 0 ] || die "needs root to unpack Debian packages; run it with sudo"
for program in mmdebstrap go gcc python3 zstd unshare; do
    command -v "$program" >/dev/null || die "$program is missing; tests/packages.sh installs what Debian has"
done
# shellcheck source=../images/apt-sources.sh
. "$here/../images/apt-sources.sh"

# version_of SET MODULE: what the embedded cluster's module files, which its own tests hold to its versions, have.
version_of() { grep -oP -m 1 "^\s*(require )?\Q$2\E \Kv[0-9.]+" "$embedded/$1/go.mod"; }
folders=("$cache/assets/etcd-$(version_of etcd go.etcd.io/etcd/server/v3)"
    "$cache/assets/coredns-$(version_of coredns github.com/coredns/coredns)")
if [ -d "${1-}" ]; then
    folders=("$(cd "$1" && pwd)" "${folders[@]}")
else
    mapfile -t lines < <(cd "$embedded" && printf '%s\n' kubernetes-v*/go.mod | sed 's|/go.mod||' | sort --version-sort)
    line=${1:+kubernetes-v$1}
    line=${line:-${lines[-1]}}
    [ -d "$embedded/$line" ] || die "no folder and no line of Kubernetes: '$1'; there are ${lines[*]#kubernetes-v}"
    folders=("$cache/assets/kubernetes-$(version_of "$line" k8s.io/kubernetes)" "${folders[@]}")
fi
given=()
for folder in "${folders[@]}"; do
    [ -d "$folder" ] || die "$folder is missing; '${KFE2E:-kfe2e} up --cluster embedded' puts it there"
    given+=("$folder"/*)
done

# hash_of TEXT FILE...: the first 16 digits of a hash over a text, and over names and contents of files.
hash_of() { { echo "$suite $(dpkg --print-architecture) $1"; (cd "$here" && sha256sum "${@:2}"); } | sha256sum | cut -c1-16; }
base=$images/layers/kind-node-$(hash_of base node/base.sh node/debian.sh ../images/apt-sources.sh)
mapfile -t files < <(cd "$here" && find node modules -type f | LC_ALL=C sort)
# Kubernetes' programs by size and time of change: half a gigabyte would take longer to read than all else here.
stamp=$(stat --format '%n %s %Y' "${given[@]}")
result=$images/kind-node-$(hash_of "$stamp" node-image.sh "${files[@]}" ../images/apt-sources.sh ../../bootstrap/embedded/modules/coredns/go.{mod,sum})

mkdir -p "$images/layers"
exec 9>"$images/.kind-node.lock"
flock --wait 1800 9 || die "another node-image.sh has held $images/.kind-node.lock for 30 minutes; see what it waits for"
# What a killed run left; nobody else is at work here.
rm -rf "$images"/.making-kind-node.*
if [ -f "$result/node-image.tar" ]; then
    echo "$result/node-image.tar"
    exit
fi
scratch=$(mktemp -d "$images/.making-kind-node.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
# apt downloads as a user of its own, who must get through.
chmod 755 "$scratch"

make_node() {
    local root=$scratch/root tree=$scratch/tree programs=$scratch/programs kind version
    mkdir "$root" "$tree" "$programs"
    "$here/node/programs.sh" "$programs" "${folders[@]}"
    version=$(<"$programs/version")
    kind=$(cd "$here/modules/node" && go mod download sigs.k8s.io/kind && go list -m -f '{{.Dir}}' sigs.k8s.io/kind)

    tar -C "$root" -xf "$base/base.tar"
    "$here/node/components.sh" "$programs" "$root" "$root/images.tar"
    install -m 755 "$here/node/store.sh" "$root/store.sh"
    mkdir -p "$root/etc/containerd"
    # Its mounts and processes go with the namespaces, however this script ends.
    unshare --mount --pid --fork --kill-child --root="$root" --mount-proc /bin/sh /store.sh /images.tar 2>"$scratch/store.log" ||
        { cat "$scratch/store.log" >&2; die "containerd did not take the images of the node's pods"; }

    "$here/node/files.sh" "$programs" "$kind" "$tree"
    # The host's limits, not those of the machine that this was made on.
    python3 -c 'import json, sys
spec = json.load(sys.stdin); del spec["process"]["rlimits"]; json.dump(spec, sys.stdout)' \
        <"$root/etc/containerd/cri-base.json" >"$tree/etc/containerd/cri-base.json"
    mkdir -p "$tree/var/lib"
    mv "$root/var/lib/containerd" "$tree/var/lib/containerd"
    tar -C "$tree" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
        -cf "$scratch/node.tar" .

    mkdir "$scratch/result"
    python3 "$here/node/archives.py" node "localhost/kfe2e-kind-node:$version" "$scratch/result/node-image.tar" \
        "$base/base.tar" "$scratch/node.tar"
}

if [ ! -d "$base" ]; then
    say "making the node's Debian from $suite packages (about a minute, once)"
    mkdir "$scratch/base"
    TMPDIR=$scratch "$here/node/base.sh" "$scratch/base/base.tar" >"$images/kind-node.log" 2>&1 ||
        { tail -n 30 "$images/kind-node.log" >&2; die "Debian's layer could not be made; the whole log is $images/kind-node.log"; }
    mv "$scratch/base" "$base"
fi
say "making the node image"
make_node
rm -rf "$result"
mv "$scratch/result" "$result"
echo "$result/node-image.tar"
