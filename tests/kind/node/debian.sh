#!/usr/bin/env bash
# Called by mmdebstrap (see ../node-image.sh) with the root that it has filled: leaves what a node in a container needs.
set -euo pipefail
cd "${1:?usage: debian.sh ROOT}"

# Of containerd only the program and the shim that runs pods; of the network plugins those that the pods' network names.
rm -rf var/cache/* var/lib/apt var/log/* usr/share/bash-completion usr/bin/containerd-stress usr/bin/containerd-shim \
    usr/bin/containerd-shim-runc-v1
find usr/lib/cni -type f ! -name host-local ! -name loopback ! -name portmap ! -name ptp -delete
# The places where kind's service files and kubeadm look.
mkdir -p opt/cni usr/local/bin etc/kubernetes/manifests
ln -s /usr/lib/cni opt/cni/bin
ln -s /usr/bin/containerd usr/local/bin/containerd
ln -sf /usr/lib/systemd/systemd usr/sbin/init
# Each container gets an identity of its own.
: >etc/machine-id

# Services of a real machine: here they would touch the host's devices, or wait for what never comes.
rm -f usr/lib/systemd/system/{basic,local-fs,multi-user}.target.wants/* etc/systemd/system/*.wants/* \
    usr/lib/systemd/system/sockets.target.wants/*{udev,initctl}* \
    usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service
# Settings of the kernel for a whole machine; those that kind means for a node are in another folder.
rm -f usr/lib/sysctl.d/*
# The kernel's log is the host's.
echo ReadKMsg=no >>etc/systemd/journald.conf
# Formats of executables belong to the kernel, and so to the host.
ln -s /dev/null etc/systemd/system/systemd-binfmt.service
for unit in containerd kubelet undo-mount-hacks; do
    mkdir -p etc/systemd/system/multi-user.target.wants
    ln -s "/etc/systemd/system/$unit.service" "etc/systemd/system/multi-user.target.wants/$unit.service"
done
