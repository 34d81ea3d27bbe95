#!/usr/bin/env bash
# Puts every program of a node image that Debian has not into one folder, and beside them the file `version`.
#
#   node/programs.sh OUT FOLDER...
#
# FOLDER...   where the embedded cluster keeps Kubernetes, etcd and CoreDNS; a kubeadm or CoreDNS there is taken as it
#             is where it fits, else built from its Go module
set -euo pipefail
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

out=${1:?usage: programs.sh OUT FOLDER...} folders=("${@:2}")
here=$(cd "$(dirname "$0")/.." && pwd)
embedded=$here/../../bootstrap/embedded/modules

# found PROGRAM: its path in the first folder that has it.
found() {
    local folder
    for folder in "${folders[@]}"; do
        if [ -x "$folder/$1" ]; then echo "$folder/$1" && return; fi
    done
    return 1
}
# build FOLDER OUTPUT PACKAGE [LINKER FLAG...]: a static program of the module in a folder.
build() {
    (cd "$1" && CGO_ENABLED=0 GOFLAGS=-mod=readonly go build -trimpath -ldflags "-s -w ${*:4}" -o "$2" "$3") ||
        die "could not build $3 (its module is in $1)"
}

for program in kube-apiserver kube-controller-manager kube-scheduler kube-proxy kubelet kubectl etcd; do
    path=$(found "$program") || die "no $program in ${folders[*]}"
    ln -s "$path" "$out/$program"
done
version=$("$out/kubelet" --version)
version=${version#Kubernetes }
echo "$version" >"$out/version"

number=${version#v1.}
if kubeadm=$(found kubeadm); then
    [ "$("$kubeadm" version -o short)" = "$version" ] || die "$kubeadm is not of Kubernetes $version"
    ln -s "$kubeadm" "$out/kubeadm"
else
    module=$here/modules/kubeadm-v1.${number%%.*}
    grep -qsF "k8s.io/kubernetes $version " "$module/go.mod" ||
        die "kubeadm $version cannot be built: $module/go.mod is not of that version; put a kubeadm beside the kubelet"
    flags=()
    # Without its version, which only the linker can give it, kubeadm prints a placeholder and refuses the cluster's.
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        flags+=("-X $package.gitVersion=$version" "-X $package.gitMajor=1" "-X $package.gitMinor=${number%%.*}")
        flags+=("-X $package.gitTreeState=clean")
    done
    build "$module" "$out/kubeadm" k8s.io/kubernetes/cmd/kubeadm "${flags[@]}"
fi
build "$here/modules/node" "$out/local-path-provisioner" github.com/rancher/local-path-provisioner
build "$here/modules/node" "$out/podnetwork" ./podnetwork

# The embedded cluster's CoreDNS may be one of fewer plugins than kubeadm's configuration of it names.
plugins=
if coredns=$(found coredns); then plugins=$("$coredns" -plugins); fi
if grep -q loop <<<"$plugins" && grep -q reload <<<"$plugins"; then
    ln -s "$coredns" "$out/coredns"
else
    mkdir "$out/coredns.source"
    cp "$embedded"/coredns/go.{mod,sum} "$here/modules/coredns/main.go" "$out/coredns.source"
    build "$out/coredns.source" "$out/coredns" .
fi

gcc -Os -static -s -o "$out/pause" "$here/node/pause.c"
