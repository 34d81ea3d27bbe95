#!/usr/bin/env bash
# Installs what building and testing need and the machine lacks: packages of Debian or Ubuntu, and the static Rust target.
# Usage: tests/packages.sh TARGET
set -euo pipefail
target=${1:?usage: tests/packages.sh TARGET}

packages=(
  # the embedded cluster
  containerd runc containernetworking-plugins iptables conntrack ipset nftables ethtool socat iproute2
  # building static programs, and the Python image of the tests
  gcc make musl-tools mmdebstrap python3-venv python3-pip
)
missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  sudo=()
  ((EUID == 0)) || sudo=(sudo)
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

installed=$(rustup target list --installed)
grep -qx "$target" <<<"$installed" || rustup target add "$target"
