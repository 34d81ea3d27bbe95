//! The objects that a new cluster is given: its DNS and its default storage.

use crate::{address::DNS_SERVICE, resolver::Resolver, system_images::coredns_image};

const COREDNS: &str = include_str!("../manifests/coredns.yaml");
const STORAGE: &str = include_str!("../manifests/storage.yaml");

/// All manifests, filled in.
pub(crate) fn manifests(resolver: &Resolver) -> String {
    let forward = if resolver.servers.is_empty() { "" } else { "forward . /etc/resolv.conf" };
    let dns = COREDNS
        .replace("@IMAGE@", &coredns_image())
        .replace("@ADDRESS@", DNS_SERVICE)
        .replace("@FORWARD@", forward);
    format!("{dns}---\n{STORAGE}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_filled_in_and_nobody_is_asked_where_nobody_can_be() {
        let closed = manifests(&Resolver::default());
        assert!(closed.contains("clusterIP: \"10.96.0.10\"") && !closed.contains("forward ."));
        // Only the comment at the top still names the placeholders.
        assert!(!closed.lines().filter(|line| !line.starts_with('#')).any(|line| line.contains('@')));
        let open = Resolver { servers: vec!["192.0.2.1".into()], ..Resolver::default() };
        assert!(manifests(&open).contains("forward . /etc/resolv.conf"));
    }
}
