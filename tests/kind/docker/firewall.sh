# shellcheck shell=bash
# shellcheck disable=SC2154  # folder: of stop_daemon in ./stop.sh
# Taking Docker's part out of the host's firewall, and nothing else. By nft, which lists also tables that `iptables-save`
# leaves out since somebody has put rules there that iptables does not know.

# removal TABLE BRIDGES: reads a listed table and prints what removes from it the rules that lead to a chain of Docker's,
# that name one of the bridges (in the form a|b), or by which a container reaches its own published port; and the chains.
removal() {
    awk -v table="ip $1" -v bridge="[io]ifname (!= )?\"($2)\"" '
        /^\tchain / { chain = $2 }
        /^\tchain DOCKER/ { chains[chain] }
        /^\t\t.* # handle [0-9]+$/ && chain !~ /^DOCKER/ {
            own_port = / masquerade / && match($0, /ip saddr [0-9.]+ ip daddr [0-9.]+ /)
            if (own_port) {
                split(substr($0, RSTART, RLENGTH), words, " ")
                own_port = words[3] == words[6]
            }
            if (own_port || / jump DOCKER/ || $0 ~ bridge) print "delete rule " table " " chain " handle " $NF
        }
        END {
            for (chain in chains) print "flush chain " table " " chain
            for (chain in chains) print "delete chain " table " " chain
        }'
}

clean_firewall() {
    local table listed bridges
    bridges=$(sort -u "$folder/before/own_bridges" | paste -sd '|')
    for table in nat filter raw mangle; do
        [[ "$(nft list tables)"$'\n' == *"table ip $table"$'\n'* ]] || continue
        # Warnings that the table is also managed by iptables go to the log.
        listed=$(nft --handle list table ip "$table" 2>>"$folder/dockerd.log") || die "the table $table cannot be listed"
        {
            removal "$table" "${bridges:-docker0}" <<<"$listed"
            # Docker lets nothing be forwarded but what it accepts itself.
            if [ "$table" = filter ] && [ "$(<"$folder/before/forward_policy")" != drop ] && [ "$(forward_policy)" = drop ]; then
                echo "chain ip filter FORWARD { policy accept; }"
            fi
        } | nft --file - || die "the firewall's table $table could not be cleaned"
        remove_empty_table "$table"
    done
}

# A table that was not there before and holds nothing any more: its chains are removed one by one, which the kernel
# refuses for one in which somebody else has a rule by now.
remove_empty_table() {
    local chain
    if grep -qx "table ip $1" "$folder/before/tables"; then return; fi
    while read -r chain; do
        iptables --wait 10 --table "$1" --delete-chain "$chain" 2>/dev/null || return 0
    done < <(nft list table ip "$1" 2>/dev/null | sed -nE 's/^\tchain ([^ ]+) \{/\1/p')
    nft delete table ip "$1"
}

# The policy of forwarding, or nothing where nothing is filtered.
forward_policy() {
    nft list chain ip filter FORWARD 2>/dev/null | grep -oP 'policy \K[a-z]+' || true
}
