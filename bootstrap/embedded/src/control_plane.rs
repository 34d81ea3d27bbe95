//! The command lines of etcd, the API server, the controller-manager and the scheduler: pure functions.

use crate::{
    address::{API_PORT, NODE_PODS, SERVICE_NETWORK, Subnet},
    config::{Component, Layout},
    pki::Pki,
};

/// Where etcd listens: on the loopback of the cluster's own network namespace, so no port can be taken.
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEER: &str = "http://127.0.0.1:2380";
/// Who issues service accounts' tokens.
const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A test's cluster is never recovered from its disk, so nothing is forced to it.
pub(crate) fn etcd(layout: &Layout) -> Vec<String> {
    vec![
        flag("data-dir", layout.etcd().display()),
        flag("listen-client-urls", ETCD),
        flag("advertise-client-urls", ETCD),
        flag("listen-peer-urls", ETCD_PEER),
        flag("initial-advertise-peer-urls", ETCD_PEER),
        flag("initial-cluster", format!("default={ETCD_PEER}")),
        flag("quota-backend-bytes", 8_u64 << 30),
        flag("log-level", "warn"),
        // A lone member elects itself: in a tenth of the usual time.
        flag("heartbeat-interval", 10),
        flag("election-timeout", 100),
        "--unsafe-no-fsync".to_owned(),
    ]
}

pub(crate) fn api_server(pki: &Pki, subnet: Subnet) -> Vec<String> {
    vec![
        flag("etcd-servers", ETCD),
        flag("bind-address", "0.0.0.0"),
        flag("advertise-address", subnet.node()),
        flag("secure-port", API_PORT),
        flag("client-ca-file", pki.path("ca.crt")),
        flag("tls-cert-file", pki.path("apiserver.crt")),
        flag("tls-private-key-file", pki.path("apiserver.key")),
        flag("service-account-issuer", ISSUER),
        flag("service-account-key-file", pki.path("service-accounts.pub")),
        flag("service-account-signing-key-file", pki.path("service-accounts.key")),
        flag("authorization-mode", "Node,RBAC"),
        flag("enable-admission-plugins", "NodeRestriction"),
        flag("allow-privileged", true),
        flag("service-cluster-ip-range", SERVICE_NETWORK),
        flag("kubelet-preferred-address-types", "InternalIP"),
        flag("kubelet-certificate-authority", pki.path("ca.crt")),
        flag("kubelet-client-certificate", pki.path("apiserver-kubelet-client.crt")),
        flag("kubelet-client-key", pki.path("apiserver-kubelet-client.key")),
        flag("requestheader-client-ca-file", pki.path("front-proxy-ca.crt")),
        flag("requestheader-allowed-names", "front-proxy"),
        flag("requestheader-username-headers", "X-Remote-User"),
        flag("requestheader-group-headers", "X-Remote-Group"),
        flag("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        flag("proxy-client-cert-file", pki.path("front-proxy.crt")),
        flag("proxy-client-key-file", pki.path("front-proxy.key")),
        // Aggregated API servers are reached by their pods' addresses, with or without a kube-proxy.
        flag("enable-aggregator-routing", true),
    ]
}

pub(crate) fn controller_manager(layout: &Layout, pki: &Pki) -> Vec<String> {
    let mut flags = as_client(layout, Component::ControllerManager);
    flags.extend([
        // It makes this folder, by default one of the host's.
        flag("flex-volume-plugin-dir", layout.volume_plugins().display()),
        flag("bind-address", "127.0.0.1"),
        flag("leader-elect", false),
        flag("use-service-account-credentials", true),
        flag("service-account-private-key-file", pki.path("service-accounts.key")),
        flag("root-ca-file", pki.path("ca.crt")),
        // Each of its controllers asks for a token of its own at the start: the usual limit of 20 calls a
        // second would make everything wait for that.
        flag("kube-api-qps", 500),
        flag("kube-api-burst", 1000),
        flag("cluster-signing-cert-file", pki.path("ca.crt")),
        flag("cluster-signing-key-file", pki.path("ca.key")),
    ]);
    flags
}

pub(crate) fn scheduler(layout: &Layout) -> Vec<String> {
    let mut flags = as_client(layout, Component::Scheduler);
    flags.extend([flag("bind-address", "127.0.0.1"), flag("leader-elect", false)]);
    flags
}

pub(crate) fn proxy(layout: &Layout) -> Vec<String> {
    vec![
        flag("kubeconfig", kubeconfig(layout, Component::Proxy)),
        flag("hostname-override", &layout.name),
        flag("proxy-mode", "nftables"),
        flag("cluster-cidr", NODE_PODS),
        // Limits of connection tracking are the whole host's: leave them alone.
        flag("conntrack-max-per-core", 0),
        flag("conntrack-tcp-timeout-established", "0s"),
        flag("conntrack-tcp-timeout-close-wait", "0s"),
    ]
}

/// The file with which a component reaches the API server.
pub(crate) fn kubeconfig(layout: &Layout, component: Component) -> String {
    let file = layout.config().join(format!("{}.kubeconfig", component.name()));
    file.to_string_lossy().into_owned()
}

fn as_client(layout: &Layout, component: Component) -> Vec<String> {
    let file = kubeconfig(layout, component);
    ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"]
        .map(|name| flag(name, &file))
        .to_vec()
}

fn flag(name: &str, value: impl std::fmt::Display) -> String {
    format!("--{name}={value}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterName, config::Roots};

    fn layout() -> Layout {
        Layout::new(&Roots::default(), &ClusterName::new("a").unwrap()).unwrap()
    }

    #[test]
    fn files_are_the_clusters_own() {
        let flags = controller_manager(&layout(), &Pki::at("/var/lib/kfe2e/a/pki"));
        assert!(flags.contains(&"--root-ca-file=/var/lib/kfe2e/a/pki/ca.crt".to_owned()));
        assert!(
            flags.contains(
                &"--kubeconfig=/var/lib/kfe2e/a/config/kube-controller-manager.kubeconfig".to_owned()
            )
        );
        assert!(etcd(&layout()).contains(&"--data-dir=/var/lib/kfe2e/a/etcd".to_owned()));
    }

    #[test]
    fn the_api_server_is_told_the_nodes_address() {
        let flags = api_server(&Pki::at("/pki"), Subnet(5));
        assert!(flags.contains(&"--advertise-address=10.77.5.2".to_owned()));
    }
}
