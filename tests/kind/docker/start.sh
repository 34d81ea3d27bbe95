# shellcheck shell=bash
# shellcheck disable=SC2154  # set by ../docker.sh, which sources this: folder, running, here
# Starting a daemon.

# What the daemon will change, as it is before. Kept until it is put back.
record_host() {
    local path new=$folder/before.new
    mkdir -p "$new"
    # Name and value of each, such as `kernel/panic 1`.
    (cd /proc/sys && for path in "${!settings[@]}"; do [ ! -e "$path" ] || echo "$path $(<"$path")"; done) >"$new/settings"
    cat /proc/sys/kernel/random/boot_id >"$new/boot"
    list_links >"$new/links"
    nft list tables >"$new/tables"
    forward_policy >"$new/forward_policy"
    for path in "${outside[@]}"; do [ -e "$path" ] || echo "$path"; done >"$new/absent"
    mv "$new" "$folder/before"
}

# lacks_capability NUMBER: whether root here cannot have one of the kernel's capabilities.
lacks_capability() {
    local bounding
    bounding=$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/self/status)
    ((!((0x$bounding >> $1) & 1)))
}

write_configuration() {
    local runtime=''
    # CAP_SYS_RESOURCE
    if lacks_capability 24; then
        runtime="
  \"runtimes\": {\"lacking\": {\"path\": \"$here/runtime.sh\"}},
  \"default-runtime\": \"lacking\","
    fi
    cat >"$folder/daemon.json" <<JSON
{$runtime
  "data-root": "$folder/data",
  "exec-root": "$folder/exec",
  "pidfile": "$folder/docker.pid",
  "hosts": ["unix://$folder/docker.sock"],
  "exec-opts": ["native.cgroupdriver=cgroupfs"],
  "cgroup-parent": "/$(group_of "$folder")",
  "deprecated-key-path": "$folder/key.json"
}
JSON
}

# The control group goes into one hierarchy: where there are several, any one tells which processes are in it.
enter_group() {
    local hierarchy=/sys/fs/cgroup group
    group=$(group_of "$folder")
    [ -f "$hierarchy/cgroup.controllers" ] || hierarchy=/sys/fs/cgroup/pids
    mkdir -p "$hierarchy/$group/daemon"
    echo "$BASHPID" >"$hierarchy/$group/daemon/cgroup.procs"
}

start_daemon() {
    local program
    for program in docker dockerd containerd runc iptables nft ip unshare; do
        command -v "$program" >/dev/null || die "$program is missing; tests/packages.sh installs what Debian has"
    done
    [[ $(iptables --version) == *nf_tables* ]] ||
        die "iptables here is not the one of nftables, so its rules could not be removed again; start Docker yourself"
    # A socket's path has at most 107 characters, and containerd's is the longest.
    ((${#folder} < 70)) || die "$folder is too long a path for the sockets in it; name another folder"
    record_host
    echo "$folder" >"$running"
    write_configuration
    (
        enter_group
        # Mounts of containers are seen by nobody else and go with the last of their processes. Those of the host are
        # still seen here, and containers can share theirs among each other.
        # shellcheck disable=SC2016  # the inner shell's
        exec setsid unshare --mount --propagation slave sh -c 'mount --make-rshared / && exec dockerd --config-file "$1"' \
            sh "$folder/daemon.json" </dev/null >"$folder/dockerd.log" 2>&1 9>&-
    ) &
    local daemon=$! tries=0
    until answers "$folder"; do
        tries=$((tries + 1))
        if ((tries > 300)) || ! kill -0 "$daemon" 2>/dev/null; then
            [ ! -f "$folder/dockerd.log" ] || tail -n 20 "$folder/dockerd.log" >&2
            stop_daemon "$folder"
            die "dockerd did not answer on $folder/docker.sock; what it said last is above"
        fi
        sleep 0.1
    done
}
