#!/usr/bin/env bash
# Writes the images of everything that runs as pods of a node, as one OCI archive.
#
#   node/components.sh PROGRAMS ROOT OUT
#
# PROGRAMS   folder of ./programs.sh
# ROOT       the node's unpacked Debian, from which come the few programs that are not static
# OUT        the archive; its names are those that kubeadm of this version asks for
set -euo pipefail
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

programs=${1:?usage: components.sh PROGRAMS ROOT OUT} root=${2:?no ROOT} out=${3:?no OUT}
here=$(cd "$(dirname "$0")" && pwd)
scratch=$out.parts
mkdir "$scratch"

# pack NAME: the folder NAME as a layer.
pack() {
    tar -C "$scratch/$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=gnu \
        -cf "$scratch/$1.tar" .
}
# single PROGRAM PLACE: a layer of one program.
single() {
    install -D -m 755 "$programs/$1" "$scratch/$1/$2/$1"
    pack "$1"
}

# One layer for the three images that need more than their own program: firewall, routes, and a shell with what
# local-path-provisioner's scripts call. Each with the libraries that it is linked to.
tools() {
    local tree=$scratch/tools file needed
    mkdir -p "$tree/usr/sbin" "$tree/tmp"
    chmod 1777 "$tree/tmp"
    needed=(/usr/sbin/nft /usr/sbin/xtables-nft-multi /usr/bin/ip /usr/bin/dash /usr/bin/mkdir /usr/bin/rm /usr/bin/cat)
    for file in "$root"/usr/lib/*/xtables/*.so; do needed+=("${file#"$root"}"); done
    # shellcheck disable=SC2016  # the inner shell's
    mapfile -t libraries < <(chroot "$root" sh -c 'for f; do ldd "$f"; done' sh "${needed[@]}" |
        grep -oE '/[^ ]+\.so[^ ]*' | sort -u)
    [ "${#libraries[@]}" -gt 5 ] || die "no libraries of ${needed[*]} found in $root"
    # Links become the files that they lead to, so that nothing of the root's layout is needed.
    (cd "$root" && cp -L --parents "${needed[@]/#/.}" "${libraries[@]/#/.}" "$tree")
    for file in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
        ln -s xtables-nft-multi "$tree/usr/sbin/$file"
    done
    ln -s dash "$tree/usr/bin/sh"
    ln -s usr/bin "$tree/bin"
    pack tools
}

tools
for program in kube-apiserver kube-controller-manager kube-scheduler kube-proxy etcd local-path-provisioner podnetwork; do
    single "$program" usr/local/bin
done
single coredns .
single pause .

# The version of an image of kubeadm's, by the last part of its name.
mapfile -t names < <("$programs/kubeadm" config images list --kubernetes-version "$(<"$programs/version")")
name_of() {
    local name
    for name in "${names[@]}"; do
        case $name in */"$1":*) echo "$name" && return ;; esac
    done
    die "kubeadm names no image of $1: ${names[*]}"
}
describe() { printf '%s\t%s\t%s\n' "$1" "$2" "${*:3}"; }
{
    for program in kube-apiserver kube-controller-manager kube-scheduler etcd; do
        describe "$(name_of "$program")" "" "$program.tar"
    done
    describe "$(name_of kube-proxy)" "" tools.tar kube-proxy.tar
    describe "$(name_of coredns)" /coredns coredns.tar
    describe "$(name_of pause)" /pause pause.tar
    describe localhost/kfe2e-kind-podnetwork:1 podnetwork tools.tar podnetwork.tar
    describe localhost/kfe2e-kind-local-path:1 local-path-provisioner tools.tar local-path-provisioner.tar
    describe localhost/kfe2e-kind-local-path-helper:1 "" tools.tar
} >"$scratch/images.tsv"
python3 "$here/archives.py" images "$scratch/images.tsv" "$out"
rm -rf "$scratch"
