//! Addresses: one /24 of the host's side per cluster, the same inner networks for all.

use std::{collections::BTreeSet, net::Ipv4Addr};

/// Where pods live. Every cluster has its own network namespace and leaves it under its node's address
/// alone, so that all of them can use the same.
pub(crate) const POD_NETWORK: &str = "10.244.0.0/16";
/// The one node's share of it.
pub(crate) const NODE_PODS: &str = "10.244.0.0/24";
/// Where Services live.
pub(crate) const SERVICE_NETWORK: &str = "10.96.0.0/16";
/// The Service of the API server: the first address.
pub(crate) const API_SERVICE: &str = "10.96.0.1";
/// The Service of the cluster's DNS.
pub(crate) const DNS_SERVICE: &str = "10.96.0.10";
/// The port of the API server on the node's address.
pub(crate) const API_PORT: u16 = 6443;

/// A cluster's network on the host: `10.77.N.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subnet(pub(crate) u8);

impl Subnet {
    /// The lowest number that nothing uses.
    pub(crate) fn free(used: &BTreeSet<u8>) -> Option<Self> {
        (1..=254).find(|n| !used.contains(n)).map(Self)
    }

    /// The host's end of the link, which the cluster reaches the host by.
    pub(crate) const fn host(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 1)
    }

    /// The node's end of the link, which the API server listens on.
    pub(crate) const fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.0, 2)
    }

    pub(crate) fn cidr(self) -> String {
        format!("10.77.{}.0/24", self.0)
    }

    pub(crate) fn endpoint(self) -> String {
        format!("https://{}:{API_PORT}", self.node())
    }
}

/// The numbers that a listing of addresses or routes shows as used.
pub(crate) fn used_in(listing: &str) -> BTreeSet<u8> {
    listing
        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
        .filter_map(|word| word.strip_prefix("10.77."))
        .filter_map(|rest| rest.split('.').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken() {
        assert_eq!(Subnet::free(&BTreeSet::new()), Some(Subnet(1)));
        assert_eq!(Subnet::free(&BTreeSet::from([1, 2, 4])), Some(Subnet(3)));
        assert_eq!(Subnet::free(&(1..=254).collect()), None);
    }

    #[test]
    fn used_numbers_are_read_from_addresses_and_routes() {
        let listing =
            "3: x inet 10.77.3.1/24 brd 10.77.3.255 scope global x\n10.77.9.0/24 via 192.0.2.1\n10.7.77.1";
        assert_eq!(used_in(listing), BTreeSet::from([3, 9]));
    }

    #[test]
    fn both_ends_follow_from_the_number() {
        let subnet = Subnet(7);
        assert_eq!(subnet.host().to_string(), "10.77.7.1");
        assert_eq!(subnet.endpoint(), "https://10.77.7.2:6443");
    }
}
