#!/usr/bin/env bash
# Installs what building and testing need and the machine lacks: packages of Debian or Ubuntu, and the static Rust target.
# Usage: tests/packages.sh TARGET [docker]     docker: what the tests with a real kind need too
set -euo pipefail
target=${1:?usage: tests/packages.sh TARGET [docker]}

missing=()
# By package, where only one brings what is needed.
for package in containernetworking-plugins iptables conntrack ipset nftables ethtool socat iproute2 \
  gcc make musl-tools mmdebstrap python3-venv python3-pip zstd; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
# By program, where others bring it too, which a package of the distribution would remove.
command -v containerd >/dev/null || missing+=(containerd)
command -v runc >/dev/null || missing+=(runc)
[[ ${2-} != docker ]] || command -v dockerd >/dev/null || missing+=(docker.io)
if ((${#missing[@]})); then
  sudo=()
  ((EUID == 0)) || sudo=(sudo)
  # No service starts because its package came.
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
    trap '"${sudo[@]}" rm -f "$policy"' EXIT
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

installed=$(rustup target list --installed)
grep -qx "$target" <<<"$installed" || rustup target add "$target"
