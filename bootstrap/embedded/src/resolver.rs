//! The name servers that pods ask for names outside the cluster: the host's, as far as they can be reached
//! from another network namespace.

use std::{fs, net::IpAddr, path::Path};

/// Where systemd keeps the servers that its own local one forwards to.
const SYSTEMD_UPSTREAMS: &str = "/run/systemd/resolve/resolv.conf";

/// The resolver settings of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) servers: Vec<String>,
    pub(crate) search: Vec<String>,
}

impl Resolver {
    /// Reads the host's settings. Where the host asks only itself, what it forwards to is asked instead, and
    /// where that is unknown nobody: a name outside the cluster is then unknown at once, not after a time-out.
    pub(crate) fn of_host(resolv_conf: &Path) -> Self {
        [resolv_conf, Path::new(SYSTEMD_UPSTREAMS)]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .map(|text| Self::parse(&text))
            .find(|resolver| !resolver.servers.is_empty())
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("nameserver"), Some(server)) if reachable(server) => {
                    resolver.servers.push(server.to_owned());
                }
                (Some("search" | "domain"), Some(first)) => {
                    resolver.search = std::iter::once(first).chain(words).map(str::to_owned).collect();
                }
                _ => {}
            }
        }
        resolver
    }

    /// The cluster's own `resolv.conf`.
    pub(crate) fn render(&self) -> String {
        let servers = self.servers.iter().map(|server| format!("nameserver {server}\n"));
        let search = (!self.search.is_empty()).then(|| format!("search {}\n", self.search.join(" ")));
        servers.chain(search).collect()
    }
}

/// A server on the host's own loopback is somebody else's loopback in the cluster, and the cluster's network
/// is IPv4 only.
fn reachable(server: &str) -> bool {
    server
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_ipv4() && !address.is_loopback() && !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reachable_servers_and_search_domains_are_kept() {
        let host = "# note\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1\nsearch a.example b.example\noptions edns0\n";
        assert_eq!(Resolver::parse(host).render(), "nameserver 192.0.2.53\nsearch a.example b.example\n");
    }

    #[test]
    fn a_host_without_reachable_server_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Resolver::parse("nameserver 127.0.0.53\n").servers.is_empty());
        let own = dir.path().join("resolv.conf");
        fs::write(&own, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(Resolver::of_host(&own).servers, ["192.0.2.1"]);
    }
}
