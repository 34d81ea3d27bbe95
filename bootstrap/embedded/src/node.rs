//! The configuration of what runs pods: containerd, the pods' network, kubelet. Pure functions.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    KubernetesVersion,
    address::{DNS_SERVICE, NODE_PODS, Subnet},
    config::{Component, Layout},
    control_plane::kubeconfig,
    pki::Pki,
    system_images::PAUSE_IMAGE,
};

/// What decides about containerd's configuration on this host.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeFacts<'a> {
    /// Where the CNI plugins are.
    pub(crate) cni_plugins: &'a Path,
    /// Whether processes may be made less likely to be killed than they are: without that right, asking for
    /// it fails every container.
    pub(crate) may_lower_oom_score: bool,
}

/// containerd's configuration, in the form of its version 2, which later ones still read.
pub(crate) fn containerd(layout: &Layout, facts: &RuntimeFacts<'_>) -> String {
    let root = layout.containerd();
    format!(
        r#"version = 2
root = "{root}"
state = "{state}"
# Snapshotters that need tools or file systems which a test cluster does not use.
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = {restrict}
  tolerate_missing_hugetlb_controller = true
  netns_mounts_under_state_dir = true

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{cni}"
"#,
        root = root.display(),
        state = layout.containerd_state().display(),
        socket = layout.socket().display(),
        restrict = !facts.may_lower_oom_score,
        plugins = facts.cni_plugins.display(),
        cni = layout.cni().display(),
    )
}

/// The pods' network: a link from each pod to the node, which routes. Unlike a bridge this needs no kernel
/// module that shows bridged packets to the firewall for Services to work.
pub(crate) fn cni(layout: &Layout, mtu: u32) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "kfe2e",
        "plugins": [
            {
                "type": "ptp",
                "mtu": mtu,
                "ipam": {
                    "type": "host-local",
                    "dataDir": layout.run.join("addresses"),
                    "ranges": [[{ "subnet": NODE_PODS }]],
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            },
            { "type": "portmap", "capabilities": { "portMappings": true } },
        ],
    })
}

/// kubelet's configuration.
pub(crate) fn kubelet(version: KubernetesVersion, layout: &Layout, pki: &Pki, cgroup_v1: bool) -> Value {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": pki.path("ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "tlsCertFile": pki.path("kubelet.crt"),
        "tlsPrivateKeyFile": pki.path("kubelet.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", layout.name.tag()),
        "failSwapOn": false,
        "containerRuntimeEndpoint": format!("unix://{}", layout.socket().display()),
        "resolvConf": layout.config().join("resolv.conf"),
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "podLogsDir": layout.pod_logs(),
        "volumePluginDir": layout.volume_plugins(),
        // What a test needs must stay: images that were loaded cannot be pulled again, and a full disk is the
        // host's affair.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {
            "memory.available": "0%",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "serializeImagePulls": false,
        "maxPods": 250,
    });
    if cgroup_v1 && version.refuses_cgroup_v1() {
        config["failCgroupV1"] = Value::Bool(false);
    }
    config
}

/// kubelet's command line.
pub(crate) fn kubelet_flags(layout: &Layout, subnet: Subnet) -> Vec<String> {
    vec![
        format!("--config={}", layout.config().join("kubelet.json").display()),
        format!("--kubeconfig={}", kubeconfig(layout, Component::Kubelet)),
        format!("--root-dir={}", layout.kubelet().display()),
        format!("--hostname-override={}", layout.name),
        format!("--node-ip={}", subnet.node()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClusterName, config::Roots};

    fn layout() -> Layout {
        Layout::new(&Roots::default(), &ClusterName::new("a").unwrap()).unwrap()
    }

    #[test]
    fn the_runtime_is_told_what_the_host_can() {
        let facts = RuntimeFacts { cni_plugins: Path::new("/opt/cni/bin"), may_lower_oom_score: false };
        let text = containerd(&layout(), &facts);
        for line in [
            "restrict_oom_score_adj = true",
            "bin_dir = \"/opt/cni/bin\"",
            "state = \"/run/kfe2e/a/containerd\"",
            "address = \"/run/kfe2e/a/containerd.sock\"",
        ] {
            assert!(text.contains(line), "{line}");
        }
        let free = RuntimeFacts { may_lower_oom_score: true, ..facts };
        assert!(containerd(&layout(), &free).contains("restrict_oom_score_adj = false"));
    }

    #[test]
    fn every_kubelet_has_the_clusters_cgroup() {
        for version in KubernetesVersion::ALL {
            assert_eq!(kubelet(version, &layout(), &Pki::at("/pki"), true)["cgroupRoot"], "/kfe2e-a");
        }
    }

    #[test]
    fn only_a_kubelet_that_refuses_version_one_is_told_to_accept_it_and_only_there() {
        let told =
            |version, v1| kubelet(version, &layout(), &Pki::at("/pki"), v1).get("failCgroupV1").cloned();
        assert_eq!(told(KubernetesVersion::V1_36, true), Some(Value::Bool(false)));
        assert_eq!(told(KubernetesVersion::V1_36, false), None);
        assert_eq!(told(KubernetesVersion::V1_33, true), None);
    }

    #[test]
    fn addresses_of_pods_are_kept_with_the_cluster() {
        let config = cni(&layout(), 1400);
        assert_eq!(config["plugins"][0]["ipam"]["dataDir"], "/run/kfe2e/a/addresses");
        assert_eq!(config["plugins"][0]["mtu"], 1400);
    }
}
