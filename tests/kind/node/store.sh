#!/bin/sh
# Runs inside a node's root, in namespaces of its own (see ../node-image.sh): has the node's own containerd take images
# into its store, so that the format is the one which that containerd will read. Layers stay packed.
#
#   store.sh ARCHIVE
set -eu
archive=$1
state=/run/store
mkdir -p "$state"
cat >"$state/config.toml" <<TOML
version = 2
root = "/var/lib/containerd"
state = "$state/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$state/socket"
TOML
ctr() { command ctr --address "$state/socket" --namespace k8s.io "$@"; }

# What containers of pods are given beforehand.
command ctr oci spec >/etc/containerd/cri-base.json

containerd --config "$state/config.toml" 2>"$state/log" &
containerd=$!
waited=0
until ctr version >/dev/null 2>&1; do
    waited=$((waited + 1))
    if [ "$waited" -gt 100 ] || ! kill -0 "$containerd" 2>/dev/null; then
        cat "$state/log" >&2
        echo "store.sh: containerd does not answer" >&2
        exit 1
    fi
    sleep 0.1
done
ctr images import --no-unpack --all-platforms "$archive" >&2
kill "$containerd"
wait "$containerd" || true
rm -rf "$state"
