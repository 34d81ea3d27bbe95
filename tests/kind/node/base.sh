#!/usr/bin/env bash
# Writes Debian's part of a node as a tar, from this machine's own apt sources. What stays of it is up to ./debian.sh.
#
#   node/base.sh OUT
set -euo pipefail
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

out=${1:?usage: base.sh OUT}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=../../images/apt-sources.sh
. "$here/../../images/apt-sources.sh"

# What Docker, kubeadm, the kubelet and kube-proxy expect of a machine. The package `usr-is-merged` and its folder of
# hooks spare the image all of Perl, which `usrmerge` would bring.
packages=systemd,containerd,runc,containernetworking-plugins,iptables,nftables,iproute2,conntrack,ethtool
packages+=,util-linux,mount,kmod,procps,hostname,ca-certificates,socat,tar,gzip,usr-is-merged
left_out=()
for path in share/{doc,man,locale,info,i18n,zoneinfo} lib/{'*/gconv',udev/hwdb.d}; do
    left_out+=(--dpkgopt="path-exclude=/usr/$path/*")
done
mmdebstrap --quiet --variant=essential --mode=root --include="$packages" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr --aptopt='Apt::Install-Recommends "false"' "${left_out[@]}" \
    --customize-hook="$here/debian.sh" "$suite" "$out" "${sources[@]}"
