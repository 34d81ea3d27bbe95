#!/usr/bin/env bash
# Puts into an unpacked node what makes Debian a node of kind: Kubernetes' programs, the files of kind's own node
# images, and the manifests that kind applies from there.
#
#   node/files.sh PROGRAMS KIND TREE
#
# PROGRAMS   folder of ./programs.sh
# KIND       the source of kind's module, whose files are read and not kept in this repository
# TREE       the folder to fill
set -euo pipefail
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

programs=${1:?usage: files.sh PROGRAMS KIND TREE} kind=${2:?no KIND} tree=${3:?no TREE}
here=$(cd "$(dirname "$0")" && pwd)
[ -d "$kind/images/base/files" ] || die "$kind has no images/base/files: this version of kind keeps them elsewhere"
# replace FILE OLD NEW: exactly one line of a file, or it is another file than the one this was written for.
replace() {
    [ "$(grep -cE -- "$2" "$1")" = 1 ] || die "$1 has not exactly one line with '$2'"
    sed -Ei "s|$2|$3|" "$1"
}

install -D -m 755 -t "$tree/usr/bin" "$programs"/{kubeadm,kubelet,kubectl}
install -D -m 755 -t "$tree/usr/local/bin" "$here/crictl"

# Files of a module lose their modes.
cp -R --no-preserve=mode "$kind"/images/base/files/{etc,kind,usr} "$tree"
chmod 755 "$tree"/usr/local/bin/* "$tree"/kind/bin/*
cp "$programs/version" "$tree/kind/version"

# cgroup v1 still works; since 1.35 the kubelet refuses it unless told otherwise.
replace "$tree/etc/default/kubelet" '(KUBELET_EXTRA_ARGS=.*)' '\1 --fail-cgroupv1=false'
config=$tree/etc/containerd/config.toml
pause=$("$programs/kubeadm" config images list --kubernetes-version "$(<"$programs/version")" | grep '/pause:')
replace "$config" 'sandbox_image = .*' "sandbox_image = \"$pause\""
# Root of a virtual machine or a container may lack the right to make a process less likely to be killed.
replace "$config" 'restrict_oom_score_adj = false' 'restrict_oom_score_adj = true'

# manifest SOURCE CONSTANT OUT [VARIABLE IMAGE]...: a manifest from a constant of kind's source, with images of ours.
manifest() {
    local out=$tree/kind/manifests/$3 text
    text=$(sed -n "/^const $2 = \`\$/,/^\`\$/p" "$kind/pkg/build/nodeimage/$1" | sed '1d;$d')
    shift 3
    while [ $# -gt 0 ]; do
        text=${text//"\` + $1 + \`"/"$2"}
        shift 2
    done
    if [ -z "$text" ] || [[ $text == *\`* ]]; then die "$kind has not the manifest that was expected for ${out##*/}"; fi
    mkdir -p "${out%/*}"
    printf '%s\n' "$text" >"$out"
}
manifest const_cni.go defaultCNIManifest default-cni.yaml kindnetdImage localhost/kfe2e-kind-podnetwork:1
manifest const_storage.go defaultStorageManifest default-storage.yaml \
    storageProvisionerImage localhost/kfe2e-kind-local-path:1 storageHelperImage localhost/kfe2e-kind-local-path-helper:1
