//! The configuration that `kind` gets: ours, or the user's with what Kubeflow needs where it says nothing. Pure.

use serde_json::{Value, json};

use crate::input::yaml;

/// What is asked for beside a configuration of the user's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wanted<'a> {
    /// Name of the cluster.
    pub(super) name: &'a str,
    /// Number of nodes.
    pub(super) nodes: u8,
    /// Whether the nodes' machine has cgroups of version 1.
    pub(super) cgroup_v1: bool,
}

/// What flags say that a configuration may say, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Name of the cluster.
    pub(super) name: &'a str,
    /// Number of nodes.
    pub(super) nodes: u8,
    /// Version of Kubernetes.
    pub(super) version: Option<&'a str>,
    /// Image of all nodes.
    pub(super) image: Option<&'a str>,
}

/// A configuration of the user's own.
///
/// # Errors
/// It is no YAML, or no `kind` configuration.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let given: Value = yaml::parse(text)?;
    if !given.is_object() {
        return Err("it is not a mapping of names to values".into());
    }
    match given.get("kind").and_then(Value::as_str) {
        Some("Cluster") => {}
        Some(other) => return Err(format!("its kind is {other}, and kind reads only Cluster")),
        None => return Err("it has no `kind: Cluster`".into()),
    }
    if given.get("apiVersion").and_then(Value::as_str).is_none() {
        return Err("it has no apiVersion, such as kind.x-k8s.io/v1alpha4".into());
    }
    // One that says nothing would be made without what tells that it is ours.
    if let Some(index) = nodes_of(&given).iter().position(|node| !node.is_object()) {
        return Err(format!(
            "entry {} of its nodes is not a mapping of names to values: say `role: worker`, or leave it out",
            index + 1
        ));
    }
    Ok(given)
}

/// What of the request contradicts the user's own configuration, if anything.
pub(super) fn contradiction(given: &Value, asked: &Asked<'_>) -> Option<String> {
    let Asked { name, nodes, version, image: wanted } = *asked;
    if let Some(other) = given.get("name").and_then(Value::as_str).filter(|other| *other != name) {
        return Some(format!("it names the cluster {other}, and --name is {name}: leave one of them out"));
    }
    let listed = nodes_of(given).len();
    // One node is what is asked for when nobody says a number.
    if listed > 0 && nodes != 1 && usize::from(nodes) != listed {
        return Some(format!("it lists {listed} nodes, and --nodes is {nodes}: leave one of them out"));
    }
    let image = images(given).find(|image| wanted != Some(*image));
    if let (Some(image), Some(wanted)) = (image, wanted) {
        return Some(format!(
            "it names the node image {image}, and --kind-image is {wanted}: leave one of them out"
        ));
    }
    if let (Some(image), Some(version)) = (image, version) {
        return Some(format!(
            "it names the node image {image}, and --kubernetes-version is {version}: leave one of them out"
        ));
    }
    None
}

/// The whole configuration.
///
/// Our patches come first: `kind` applies patches in their order, so one of the user's to the same field wins.
/// Tokens for service accounts need nothing: kubeadm has set the issuer and the signing key of the API server since
/// Kubernetes 1.20, which is older than anything that is supported here.
pub(super) fn complete(given: Option<&Value>, wanted: &Wanted<'_>) -> Value {
    let own = json!({ "kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4" });
    let mut config = given.unwrap_or(&own).clone();
    config["name"] = wanted.name.into();
    if nodes_of(&config).is_empty() {
        config["nodes"] = nodes(wanted.nodes);
    }
    let patches = config.get("kubeadmConfigPatches").and_then(Value::as_array).cloned().unwrap_or_default();
    config["kubeadmConfigPatches"] =
        [kubelet_patch(wanted.cgroup_v1).to_string().into()].into_iter().chain(patches).collect();
    config
}

/// The configuration with a mount of nothing at this place in each of its nodes; what is no list of nodes or of mounts is
/// left for `kind` to refuse.
pub(super) fn with_mount(mut config: Value, place: &str) -> Value {
    let nodes = config.get_mut("nodes").and_then(Value::as_array_mut);
    for node in nodes.into_iter().flatten().filter_map(Value::as_object_mut) {
        let mounts = node.entry("extraMounts").or_insert(Value::Null);
        if mounts.is_null() {
            *mounts = json!([]);
        }
        if let Some(mounts) = mounts.as_array_mut() {
            mounts.push(json!({ "hostPath": "/dev/null", "containerPath": place, "readOnly": true }));
        }
    }
    config
}

/// How many nodes a configuration lists.
pub(super) fn node_count(config: &Value) -> usize {
    nodes_of(config).len()
}

/// The images that a configuration names for its nodes.
pub(super) fn images(config: &Value) -> impl Iterator<Item = &str> {
    nodes_of(config).iter().filter_map(|node| node.get("image")?.as_str())
}

/// Whether a configuration says on which address of its host the API server listens.
pub(super) fn has_api_address(config: &Value) -> bool {
    let address = config.pointer("/networking/apiServerAddress").and_then(Value::as_str);
    address.is_some_and(|address| !address.is_empty())
}

/// The TCP ports of the host that a configuration claims, with the address to listen on. A port that `kind` or the
/// runtime picks is none.
pub(super) fn ports(config: &Value) -> Vec<(String, u16)> {
    let networking = config.get("networking");
    let api = networking.map(|networking| (networking, "apiServerAddress", "apiServerPort", "127.0.0.1"));
    let mapped =
        nodes_of(config).iter().filter_map(|node| node.get("extraPortMappings")?.as_array()).flatten();
    let tcp = |mapping: &&Value| mapping.get("protocol").and_then(Value::as_str).is_none_or(|it| it == "TCP");
    let mapped = mapped.filter(tcp).map(|mapping| (mapping, "listenAddress", "hostPort", "0.0.0.0"));
    api.into_iter()
        .chain(mapped)
        .filter_map(|(object, address, port, default)| {
            let port = u16::try_from(object.get(port)?.as_i64()?).ok().filter(|port| *port > 0)?;
            let address = object.get(address).and_then(Value::as_str).filter(|address| !address.is_empty());
            Some((address.unwrap_or(default).to_owned(), port))
        })
        .collect()
}

fn nodes_of(config: &Value) -> &[Value] {
    config.get("nodes").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// One control plane, and workers for the rest.
fn nodes(count: u8) -> Value {
    let role = |index| if index == 0 { "control-plane" } else { "worker" };
    (0..count.max(1)).map(|index| json!({ "role": role(index) })).collect()
}

/// What the kubelet of every node is told.
fn kubelet_patch(cgroup_v1: bool) -> Value {
    let mut patch = json!({
        "kind": "KubeletConfiguration",
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        // One slow image would hold up the dozens that Kubeflow pulls beside it.
        "serializeImagePulls": false,
    });
    if cgroup_v1 {
        // From 1.35 on the kubelet refuses such a machine unless it is told not to.
        patch["failCgroupV1"] = false.into();
    }
    patch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(nodes: u8, cgroup_v1: bool) -> Wanted<'static> {
        Wanted { name: "a", nodes, cgroup_v1 }
    }

    fn kubelet(config: &Value, index: usize) -> Value {
        serde_json::from_str(config["kubeadmConfigPatches"][index].as_str().unwrap()).unwrap()
    }

    /// What the Kubeflow manifests' documentation gives to kind, shortened.
    const KUBEFLOW: &str = "\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  image: kindest/node:v1.34.0
  kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    apiServer:
      extraArgs:
        \"service-account-issuer\": \"https://kubernetes.default.svc\"
- role: worker
  extraPortMappings:
  - {containerPort: 80, hostPort: 8080}
  - {containerPort: 53, hostPort: 53, protocol: UDP}
  - {containerPort: 81, hostPort: 8081, listenAddress: 127.0.0.1}
  - {containerPort: 82}
networking: {apiServerPort: 6443}
kubeadmConfigPatches:
- |
  kind: KubeletConfiguration
  serializeImagePulls: true
";

    #[test]
    fn our_own_has_the_nodes_and_what_kubeflow_needs() {
        let config = complete(None, &wanted(3, true));
        assert_eq!(config["name"], "a");
        let roles: Vec<_> =
            config["nodes"].as_array().unwrap().iter().map(|node| node["role"].clone()).collect();
        assert_eq!(roles, ["control-plane", "worker", "worker"]);
        assert_eq!(kubelet(&config, 0)["serializeImagePulls"], false);
        assert_eq!(kubelet(&config, 0)["failCgroupV1"], false);
        assert_eq!(kubelet(&complete(None, &wanted(1, false)), 0).get("failCgroupV1"), None);
        assert_eq!(node_count(&complete(None, &wanted(1, false))), 1);
    }

    #[test]
    fn a_configuration_of_the_users_is_kept_and_its_patches_come_last() {
        let given = parse(KUBEFLOW).unwrap();
        let config = complete(Some(&given), &wanted(1, false));
        assert_eq!(config["nodes"], given["nodes"]);
        assert_eq!(config["networking"], given["networking"]);
        assert_eq!(kubelet(&config, 0)["serializeImagePulls"], false);
        assert_eq!(config["kubeadmConfigPatches"][1], given["kubeadmConfigPatches"][0]);
        assert_eq!(config["kubeadmConfigPatches"].as_array().unwrap().len(), 2);
        assert_eq!(node_count(&config), 2);
        assert_eq!(images(&config).collect::<Vec<_>>(), ["kindest/node:v1.34.0"]);
    }

    #[test]
    fn every_node_gets_the_mount_beside_the_users_own() {
        let given = json!({"nodes": [{"role": "worker"}, {"extraMounts": [{"hostPath": "/a", "containerPath": "/b"}]},
            {"extraMounts": null}, {"extraMounts": "no list"}, "no node"]});
        let mounted = with_mount(given, "/kfe2e/m");
        let ours = json!({"hostPath": "/dev/null", "containerPath": "/kfe2e/m", "readOnly": true});
        let mounts: Vec<_> = (0..4).map(|node| mounted["nodes"][node]["extraMounts"].clone()).collect();
        let theirs = json!({"hostPath": "/a", "containerPath": "/b"});
        assert_eq!(mounts, [json!([ours]), json!([theirs, ours]), json!([ours]), json!("no list")]);
        assert_eq!(mounted["nodes"][4], "no node");
        let own = with_mount(complete(None, &wanted(2, false)), "/kfe2e/m");
        assert_eq!(own["nodes"][1]["extraMounts"], json!([ours]));
    }

    #[test]
    fn the_ports_that_it_claims_are_known() {
        let claimed = ports(&parse(KUBEFLOW).unwrap());
        let port = |address: &str, port| (address.to_owned(), port);
        assert_eq!(claimed, [port("127.0.0.1", 6443), port("0.0.0.0", 8080), port("127.0.0.1", 8081)]);
        assert_eq!(ports(&complete(None, &wanted(2, false))), []);
        assert_eq!(ports(&json!({"networking": {"apiServerPort": -1}})), []);
    }

    #[test]
    fn what_contradicts_the_request_is_named() {
        let given = parse(KUBEFLOW).unwrap();
        let named = parse("kind: Cluster\napiVersion: v\nname: b").unwrap();
        let a = Asked { name: "a", nodes: 1, version: None, image: None };
        let v34 = Some("kindest/node:v1.34.0");
        for (config, asked) in [
            (&given, a),
            (&given, Asked { nodes: 2, image: v34, ..a }),
            (&named, Asked { name: "b", nodes: 5, version: Some("1.36"), image: Some("i:1") }),
        ] {
            assert_eq!(contradiction(config, &asked), None);
        }
        for (config, asked, reason) in [
            (&named, a, "it names the cluster b, and --name is a"),
            (&given, Asked { nodes: 3, ..a }, "it lists 2 nodes, and --nodes is 3"),
            (
                &given,
                Asked { version: Some("1.36"), ..a },
                "it names the node image kindest/node:v1.34.0, and --kubernetes-version is 1.36",
            ),
            (
                &given,
                Asked { image: Some("i:1"), ..a },
                "it names the node image kindest/node:v1.34.0, and --kind-image is i:1",
            ),
        ] {
            assert!(contradiction(config, &asked).unwrap().starts_with(reason));
        }
    }

    #[test]
    fn what_is_no_configuration_of_kind_is_refused() {
        for (text, reason) in [
            ("kind: [", "line"),
            ("- a", "mapping"),
            ("", "mapping"),
            ("kind: Pod\napiVersion: v1", "its kind is Pod"),
            ("apiVersion: v1", "kind: Cluster"),
            ("kind: Cluster", "apiVersion"),
            ("kind: Cluster\napiVersion: v\nnodes: [null]", "entry 1 of its nodes is not a mapping"),
            ("kind: Cluster\napiVersion: v\nnodes:\n- role: worker\n- worker", "entry 2 of its nodes"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(reason), "{text}: {said}");
        }
    }
}
