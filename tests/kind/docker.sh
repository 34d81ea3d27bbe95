#!/usr/bin/env bash
# Makes sure that a Docker answers, for tests with real kind clusters.
#
#   tests/kind/docker.sh [start] [FOLDER]     prints nothing where `docker` reaches a daemon already; else starts one of
#                                             its own and prints `DOCKER_HOST=unix://...`, to be set by the caller
#   tests/kind/docker.sh stop [FOLDER]        ends what was started with that FOLDER, and removes whatever it left;
#                                             nothing to do is no error
#
# FOLDER   everything of the daemon's: configuration, images, sockets, log; default: docker in $KFE2E_CACHE
#
# Such a daemon and all that it starts are in one control group and one mount namespace of their own, and what it will
# change on the host is written down before. So `stop` finds everything also where the daemon, or the test that started
# it, was killed; the next start does that first. Nothing is kept: loading an image again takes seconds, and a daemon
# that begins empty cannot bring back containers of a killed run.
# Starting needs root, dockerd, containerd, runc, iptables, nft, iproute2 and util-linux.
set -euo pipefail

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

action=start
case ${1-} in start | stop) action=$1 && shift ;; esac
[ $# -le 1 ] || die "usage: docker.sh [start|stop] [FOLDER]"
folder=${1:-${KFE2E_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kfe2e}/docker}
here=$(cd "$(dirname "$0")" && pwd)

if [ "$action" = start ]; then
    # Asked for the server's version, every release of the client fails where none answers.
    if timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then exit; fi
elif [ ! -d "$folder" ]; then
    exit
fi

[ "$(id -u)" = 0 ] || die "no Docker answers, and starting one needs root; run it with sudo"
folder=$(realpath --canonicalize-missing "$folder")
# One at a time on a machine: two daemons would share one firewall and one default bridge. The file names the folder of
# the one that was started last; a lock on the folder around it leaves nothing behind.
running=/run/kfe2e-docker
exec 9</run
flock --wait 120 9 || die "another docker.sh has locked /run for two minutes; see what it waits for"
# shellcheck source=docker/start.sh
. "$here/docker/start.sh"
# shellcheck source=docker/stop.sh
. "$here/docker/stop.sh"
# shellcheck source=docker/firewall.sh
. "$here/docker/firewall.sh"

answers() { timeout 20 docker --host "unix://$1/docker.sock" version --format '{{.Server.Version}}' >/dev/null 2>&1; }

if [ "$action" = start ] && ! answers "$folder"; then
    other=$(cat "$running" 2>/dev/null || true)
    if [ "$other" != "$folder" ] && [ -d "$other/before" ]; then
        if answers "$other"; then
            die "a Docker of $other is running; use it (DOCKER_HOST=unix://$other/docker.sock), or end it: $0 stop $other"
        fi
        stop_daemon "$other"
    fi
    stop_daemon "$folder"
    start_daemon
elif [ "$action" = stop ]; then
    stop_daemon "$folder"
fi
if [ "$action" = start ]; then echo "DOCKER_HOST=unix://$folder/docker.sock"; fi
