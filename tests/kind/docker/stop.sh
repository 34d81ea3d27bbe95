# shellcheck shell=bash
# shellcheck disable=SC2154  # set by ../docker.sh, which sources this: running
# Ending a daemon, however far it came, and putting back what it changed on the host. Each step can be repeated, so that
# a stop that was itself killed is finished by the next.

# What dockerd and its containerd make outside of their folders.
# shellcheck disable=SC2034  # read by ./start.sh
outside=(/etc/docker /opt/containerd /run/docker /run/containerd /var/lib/docker)

# Settings of the host's kernel, below /proc/sys, and what they are changed to: by dockerd, so that containers reach the
# outside, and by systemd and the kubelet of a node, whose root is the host's.
forwarding=(net/ipv4/ip_forward net/ipv6/conf/all/forwarding net/ipv6/conf/default/forwarding)
declare -A settings=(
    [net/ipv4/ip_forward]=1 [net/ipv6/conf/all/forwarding]=1 [net/ipv6/conf/default/forwarding]=1
    [fs/file-max]=9223372036854775807
    [kernel/keys/root_maxbytes]=25000000 [kernel/keys/root_maxkeys]=1000000
    [kernel/panic]=10 [kernel/panic_on_oops]=1 [vm/overcommit_memory]=1 [vm/panic_on_oom]=0
)

# The control group of a folder's daemon: processes in it are that daemon's, whatever their numbers.
group_of() { echo "docker-of-kfe2e-$(sha256sum <<<"$1" | cut -c1-8)"; }

# list_links [SELECTION]: names of the host's links.
list_links() { ip -oneline link show "$@" | sed -nE 's/^[0-9]+: ([^:@]+).*/\1/p'; }

# Every process in the daemon's control group: containers, shims, containerd and the daemon itself.
processes() { find /sys/fs/cgroup -path "*/$group/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -nu || true; }

# await SECONDS WHAT COMMAND...: until the command succeeds.
await() {
    local tries=$(($1 * 10))
    until "${@:3}"; do
        tries=$((tries - 1))
        ((tries > 0)) || die "$2 within $1 seconds"
        sleep 0.1
    done
}

# stop_daemon FOLDER: nothing to stop is no error.
stop_daemon() {
    local folder=$1 group
    group=$(group_of "$folder")
    [ -d "$folder" ] || return 0
    if [ ! -d "$folder/before" ]; then
        # Killed before anything was changed, or not a folder of a daemon at all.
        [ -z "$(ls -A "$folder")" ] || [ -d "$folder/before.new" ] ||
            die "$folder has other files in it; name an empty folder, or one that does not exist"
        remove_folder
        return
    fi
    end_processes
    remove_groups
    remove_links
    clean_firewall
    restore_settings
    restore_paths
    remove_folder
    if [ "$(cat "$running" 2>/dev/null)" = "$folder" ]; then rm "$running"; fi
}

none_is_left() {
    local left
    mapfile -t left < <(processes)
    [ "${#left[@]}" -gt 0 ] || return 0
    # One that is gone meanwhile is no failure: the next round sees who is left.
    kill -KILL "${left[@]}" 2>/dev/null || true
    return 1
}

# Nothing of the daemon is to outlive it, so that it is not asked to end its containers one after the other: what it
# would tidy up itself is what is removed below for a daemon that was killed. A number of a process that ended long ago
# cannot be meant: only who is in the daemon's own control group is.
end_processes() { await 30 "processes of $folder did not end" none_is_left; }

groups_are_gone() {
    find /sys/fs/cgroup -depth -type d \( -name "$group" -o -path "*/$group/*" \) -exec rmdir {} + 2>/dev/null || true
    [ -z "$(find /sys/fs/cgroup -type d -name "$group" -print -quit 2>/dev/null)" ]
}

remove_groups() {
    await 10 "the control group $group could not be removed" groups_are_gone
}

# Bridges of the daemon's networks: the default one, and those whose network's number its own database has.
own_bridges() {
    local link
    while read -r link; do
        case $link in
        docker0) ;;
        br-????????????) grep -qsaF "${link#br-}" "$folder/data/network/files/local-kv.db" || continue ;;
        *) continue ;;
        esac
        grep -qxF "$link" "$folder/before/links" || echo "$link"
    done < <(list_links)
}

# Containers' ends are listed too: a connection that was cut off can keep a container's network for minutes.
remove_links() {
    local link
    own_bridges >>"$folder/before/own_bridges"
    while read -r link; do
        list_links master "$link" 2>/dev/null || true
        echo "$link"
    done <"$folder/before/own_bridges" >"$folder/before/own_links"
    while read -r link; do
        # An end that goes by itself meanwhile is as good.
        ip link delete "$link" 2>/dev/null || [ ! -e "/sys/class/net/$link" ] || die "the link $link cannot be removed"
    done <"$folder/before/own_links"
}

# Whether somebody else has come meanwhile who has a network of its own.
others_came() { list_links | grep -vxFf "$folder/before/links" >/dev/null; }

restore_settings() {
    local path value shared=
    # Settings do not outlive the boot that they were made in.
    [ "$(<"$folder/before/boot")" = "$(</proc/sys/kernel/random/boot_id)" ] || return 0
    # They need forwarding too.
    if others_came; then
        shared=${forwarding[*]}
        say "leaving forwarding as it is: another network came meanwhile"
    fi
    while read -r path value; do
        # Another value means that somebody set it after us: then it is not ours any more to put back.
        if [[ " $shared " != *" $path "* ]] && [ "$(<"/proc/sys/$path")" = "${settings[$path]}" ]; then
            echo "$value" >"/proc/sys/$path"
        fi
    done <"$folder/before/settings"
}

restore_paths() {
    local path
    while read -r path; do
        # Where others run containers too, the folder that is empty here is the place of a mount in their namespace.
        if [[ $path == */containerd ]] && others_came; then continue; fi
        # Only what holds no file: another program may use it by now.
        [ ! -d "$path" ] || find "$path" -depth -type d -exec rmdir {} + 2>/dev/null || true
    done <"$folder/before/absent"
}

remove_folder() {
    if grep -qF " $folder/" /proc/self/mountinfo; then die "something is still mounted below $folder; see /proc/self/mountinfo"; fi
    # The record goes last, and first gets the name of one that is not complete: a stop that is killed here is finished
    # by the next.
    if [ -d "$folder/before" ]; then mv "$folder/before" "$folder/before.new"; fi
    find "$folder" -mindepth 1 -maxdepth 1 ! -name before.new -exec rm -rf {} +
    rm -rf "$folder"
}
