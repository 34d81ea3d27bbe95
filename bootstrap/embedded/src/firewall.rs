//! What the host's firewall needs so that a cluster reaches the outside, and its removal by name.
//!
//! Address translation is a table of the cluster's own. Forwarding is different: where a chain of the host
//! drops what nobody accepts (Docker sets such a policy), no other table can overrule it, so rules go into that
//! chain, tagged with the cluster's name.

use serde_json::Value;

use crate::{ClusterName, Error, address::Subnet, command::Tool, preflight::find_program};

/// A chain of the host that drops what nobody accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DroppingChain {
    family: String,
    table: String,
    chain: String,
}

/// A tagged rule in a chain of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TaggedRule {
    chain: DroppingChain,
    handle: u64,
}

/// Lets the cluster's packets out and their answers in.
pub(crate) fn open(cluster: &ClusterName, subnet: Subnet) -> Result<(), Error> {
    Tool::new("nft").args(["-f", "-"]).of(cluster).run_with(own_table(cluster, subnet))?;
    let chains = dropping_chains(&nft_json(&["list", "chains"])?);
    if !chains.is_empty() {
        Tool::new("nft").args(["-f", "-"]).of(cluster).run_with(accept_rules(cluster, &chains))?;
    }
    if legacy_drops()? {
        for rule in legacy_accept_rules(cluster) {
            Tool::new("iptables").args(rule).of(cluster).run()?;
        }
    }
    Ok(())
}

/// Removes the table and every tagged rule. Returns how many there were.
pub(crate) fn close(cluster: &ClusterName) -> Result<usize, Error> {
    let ruleset = nft_json(&["list", "ruleset"])?;
    let script = removal(cluster, &ruleset);
    if !script.is_empty() {
        Tool::new("nft").args(["-f", "-"]).of(cluster).run_with(script.join("\n"))?;
    }
    let legacy = legacy_rules(cluster)?;
    for rule in &legacy {
        let words = rule.replacen("-A ", "-D ", 1).replace('"', "");
        Tool::new("iptables").args(["-w"]).args(words.split_whitespace()).of(cluster).run()?;
    }
    Ok(script.len() + legacy.len())
}

/// What of the cluster is still in the firewall.
pub(crate) fn leftovers(cluster: &ClusterName) -> Result<Vec<String>, Error> {
    let ruleset = nft_json(&["list", "ruleset"])?;
    let mut left = Vec::new();
    if has_table(cluster, &ruleset) {
        left.push(format!("firewall table {}", cluster.tag()));
    }
    left.extend(tagged_rules(cluster, &ruleset).iter().map(|rule| {
        format!(
            "firewall rule {} in {} {} {}",
            rule.handle, rule.chain.family, rule.chain.table, rule.chain.chain
        )
    }));
    left.extend(legacy_rules(cluster)?.into_iter().map(|rule| format!("iptables rule {rule}")));
    Ok(left)
}

fn own_table(cluster: &ClusterName, subnet: Subnet) -> String {
    format!(
        "table ip {tag} {{\n\
         \x20 chain postrouting {{\n\
         \x20   type nat hook postrouting priority srcnat; policy accept;\n\
         \x20   ip saddr {cidr} oifname != \"{link}\" masquerade\n\
         \x20 }}\n\
         }}\n",
        tag = cluster.tag(),
        cidr = subnet.cidr(),
        link = cluster.link(),
    )
}

/// Everything out, and only answers in.
fn accept_rules(cluster: &ClusterName, chains: &[DroppingChain]) -> String {
    let (link, tag) = (cluster.link(), cluster.tag());
    let matches = [format!("iifname \"{link}\""), format!("oifname \"{link}\" ct state established,related")];
    let mut rules = Vec::new();
    for DroppingChain { family, table, chain } in chains {
        for packets in &matches {
            rules.push(format!("insert rule {family} {table} {chain} {packets} accept comment \"{tag}\"\n"));
        }
    }
    rules.concat()
}

fn removal(cluster: &ClusterName, ruleset: &Value) -> Vec<String> {
    let table = has_table(cluster, ruleset).then(|| format!("delete table ip {}", cluster.tag()));
    let rules = tagged_rules(cluster, ruleset).into_iter().map(|TaggedRule { chain, handle }| {
        format!("delete rule {} {} {} handle {handle}", chain.family, chain.table, chain.chain)
    });
    table.into_iter().chain(rules).collect()
}

fn objects<'a>(answer: &'a Value, kind: &'static str) -> impl Iterator<Item = &'a Value> {
    answer["nftables"].as_array().into_iter().flatten().filter_map(move |object| object.get(kind))
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn has_table(cluster: &ClusterName, ruleset: &Value) -> bool {
    objects(ruleset, "table").any(|table| table["family"] == "ip" && table["name"] == cluster.tag().as_str())
}

/// The chains that see forwarded packets and drop by policy.
fn dropping_chains(answer: &Value) -> Vec<DroppingChain> {
    objects(answer, "chain")
        .filter(|chain| chain["hook"] == "forward" && chain["policy"] == "drop")
        .filter(|chain| chain["family"] == "ip" || chain["family"] == "inet")
        .map(|chain| DroppingChain {
            family: text(chain, "family"),
            table: text(chain, "table"),
            chain: text(chain, "name"),
        })
        .collect()
}

fn tagged_rules(cluster: &ClusterName, ruleset: &Value) -> Vec<TaggedRule> {
    objects(ruleset, "rule")
        .filter(|rule| rule["comment"] == cluster.tag().as_str() && rule["table"] != cluster.tag().as_str())
        .filter_map(|rule| {
            let chain = DroppingChain {
                family: text(rule, "family"),
                table: text(rule, "table"),
                chain: text(rule, "chain"),
            };
            Some(TaggedRule { chain, handle: rule["handle"].as_u64()? })
        })
        .collect()
}

/// An answer of nft; a host without it has no rules of ours.
fn nft_json(words: &[&str]) -> Result<Value, Error> {
    if find_program("nft").is_none() {
        return Ok(Value::Null);
    }
    let answer = Tool::new("nft").arg("-j").args(words).run()?;
    serde_json::from_str(&answer)
        .map_err(|e| Error::program(format!("nft -j {}", words.join(" ")), e.to_string()))
}

/// Whether the older iptables, whose rules `nft` does not show, is in use and drops forwarded packets.
fn legacy_drops() -> Result<bool, Error> {
    if !uses_legacy()? {
        return Ok(false);
    }
    let policy = Tool::new("iptables").args(["-w", "-S", "FORWARD"]).run()?;
    Ok(policy.lines().any(|line| line == "-P FORWARD DROP"))
}

fn uses_legacy() -> Result<bool, Error> {
    Ok(find_program("iptables").is_some() && Tool::new("iptables").arg("--version").run()?.contains("legacy"))
}

fn legacy_rules(cluster: &ClusterName) -> Result<Vec<String>, Error> {
    if !uses_legacy()? {
        return Ok(Vec::new());
    }
    let tag = cluster.tag();
    let rules = Tool::new("iptables").args(["-w", "-S", "FORWARD"]).run()?;
    let tagged = |line: &&str| line.split_whitespace().any(|word| word.trim_matches('"') == tag);
    Ok(rules.lines().filter(tagged).map(str::to_owned).collect())
}

fn legacy_accept_rules(cluster: &ClusterName) -> [Vec<String>; 2] {
    let (link, tag) = (cluster.link(), cluster.tag());
    let rule = |packets: &[&str]| {
        let head = ["-w", "-I", "FORWARD"];
        let tail = ["-m", "comment", "--comment", &tag, "-j", "ACCEPT"];
        head.iter().chain(packets).chain(&tail).map(|word| (*word).to_owned()).collect()
    };
    [rule(&["-i", &link]), rule(&["-o", &link, "-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"])]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster() -> ClusterName {
        ClusterName::new("a").unwrap()
    }

    #[test]
    fn only_dropping_forward_chains_get_rules() {
        let chain = |name: &str, hook: &str, policy: &str, family: &str| json!({"chain": {"family": family, "table": "filter", "name": name, "hook": hook, "policy": policy}});
        let answer = json!({"nftables": [
            {"metainfo": {}},
            chain("FORWARD", "forward", "drop", "ip"),
            chain("INPUT", "input", "drop", "ip"),
            chain("six", "forward", "drop", "ip6"),
            chain("open", "forward", "accept", "inet"),
        ]});
        let chains = dropping_chains(&answer);
        assert_eq!(chains.len(), 1);
        assert_eq!(
            accept_rules(&cluster(), &chains),
            "insert rule ip filter FORWARD iifname \"kfe2e-a\" accept comment \"kfe2e-a\"\n\
             insert rule ip filter FORWARD oifname \"kfe2e-a\" ct state established,related accept comment \"kfe2e-a\"\n"
        );
    }

    #[test]
    fn removal_takes_the_own_table_and_the_tagged_rules_only() {
        let rule = |comment: &str, handle: u64| json!({"rule": {"family": "ip", "table": "filter", "chain": "FORWARD", "comment": comment, "handle": handle}});
        let ruleset = json!({"nftables": [
            {"table": {"family": "ip", "name": "kfe2e-a"}},
            {"table": {"family": "ip", "name": "kfe2e-ab"}},
            rule("kfe2e-a", 5),
            rule("kfe2e-ab", 6),
            rule("", 7),
        ]});
        assert_eq!(
            removal(&cluster(), &ruleset),
            ["delete table ip kfe2e-a", "delete rule ip filter FORWARD handle 5"]
        );
        assert!(removal(&cluster(), &json!({"nftables": []})).is_empty());
    }
}
