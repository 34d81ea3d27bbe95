//! What the operator needs to judge a set of objects: the inventory that a gate names, and the right to read its kinds.

use std::collections::{BTreeMap, BTreeSet};

use crds::{
    gate_inventory::{GateInventory, GateObject, KEY},
    names::{SYSTEM_NAMESPACE, label},
};
use serde_json::json;

use crate::{
    object::{Identity, Object, ObjectError},
    resource::{ResourceError, Resources},
};

/// A group, and a kind or resource of it.
type Kind = (&'static str, &'static str);

/// Kinds that the operator never reads: a Secret that is missing shows in the pods that need it.
const NEVER_READ: Kind = ("", "Secret");

/// A judgement of the first looks at the second, too.
const ALSO_READ: [(Kind, Kind); 4] = [
    (
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
        ("discovery.k8s.io", "endpointslices"),
    ),
    (
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
        ("discovery.k8s.io", "endpointslices"),
    ),
    (("kubeflow.org", "Profile"), ("", "namespaces")),
    (("kubeflow.org", "Profile"), ("", "serviceaccounts")),
];

/// What a gate over a set of objects needs in the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GateManifests {
    /// The ConfigMap of the inventory, and the ClusterRole that lets the operator read its kinds.
    pub objects: Vec<Object>,
    /// Objects of kinds of which neither the set nor Kubernetes says how they are read: the role does not name them.
    pub unknown: Vec<Identity>,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum GateManifestsError {
    /// A CRD of the set does not serve what the set asks for.
    #[error(transparent)]
    Resource(#[from] ResourceError),
    /// The name makes no name of an object.
    #[error("--name: {0}")]
    Name(#[from] ObjectError),
}

/// The manifests for a gate over these objects, under this name.
///
/// # Errors
/// The set contradicts itself, or the name cannot be one.
pub fn gate_manifests(name: &str, objects: &[Object]) -> Result<GateManifests, GateManifestsError> {
    let resources = Resources::of(objects);
    let mut listed = Vec::with_capacity(objects.len());
    let mut read: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for identity in objects.iter().map(Object::identity) {
        let resource = resources.find(identity)?;
        let namespace =
            resource.as_ref().map_or(identity.namespace.as_deref(), |resource| resource.namespace(identity));
        listed.push(GateObject {
            api_version: identity.api_version(),
            kind: identity.kind.clone(),
            namespace: namespace.map(str::to_owned),
            name: identity.name.clone(),
        });
        if identity.is(NEVER_READ.0, NEVER_READ.1) {
            continue;
        }
        match resource {
            Some(resource) => drop(read.entry(identity.group.clone()).or_default().insert(resource.plural)),
            None => unknown.push(identity.clone()),
        }
        for (_, (group, plural)) in ALSO_READ.iter().filter(|((group, kind), _)| identity.is(group, kind)) {
            read.entry((*group).to_owned()).or_default().insert((*plural).to_owned());
        }
    }
    listed.sort();
    listed.dedup();
    let rules: Vec<_> = read
        .into_iter()
        .map(|(group, resources)| json!({"apiGroups": [group], "resources": resources, "verbs": ["list", "watch"]}))
        .collect();
    let labels = json!({label::MANAGED_BY: label::MANAGED_BY_VALUE});
    let text = serde_json::to_string(&GateInventory::new(listed)).unwrap_or_default();
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE, "labels": labels},
        "data": {KEY: text},
    });
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {
            "name": format!("kubeflow-e2e-inventory-{name}"),
            "labels": {label::MANAGED_BY: label::MANAGED_BY_VALUE, label::AGGREGATE_TO_OPERATOR: "true"},
        },
        "rules": rules,
    });
    Ok(GateManifests { objects: vec![Object::new(map)?, Object::new(role)?], unknown })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn object(api_version: &str, kind: &str, namespace: Option<&str>) -> Object {
        let mut manifest = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}});
        if let Some(namespace) = namespace {
            manifest["metadata"]["namespace"] = namespace.into();
        }
        Object::new(manifest).unwrap()
    }

    #[test]
    fn the_role_names_exactly_the_kinds_and_what_they_hang_on() {
        let set = [
            object("apps/v1", "Deployment", None),
            object("v1", "Secret", Some("kf")),
            object("v1", "ConfigMap", Some("kf")),
            object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", None),
            object("example.org/v1", "Thing", Some("kf")),
        ];
        let GateManifests { objects, unknown } = gate_manifests("mine", &set).unwrap();
        let [map, role] = objects.as_slice() else { panic!("{objects:?}") };
        assert_eq!(map.identity().to_string(), "ConfigMap kubeflow-e2e-system/mine");
        let inventory = GateInventory::parse(map.text("/data/inventory.json").unwrap()).unwrap();
        assert_eq!(inventory.objects.len(), 5);
        let deployment = inventory.objects.iter().find(|object| object.kind == "Deployment").unwrap();
        assert_eq!(deployment.namespace.as_deref(), Some("default"));
        assert_eq!(
            role.manifest()["metadata"]["labels"]["e2e.kubeflow.org/aggregate-to-operator"],
            Value::from("true")
        );
        let reads = |group: &str, resource: &str| json!({"apiGroups": [group], "resources": [resource], "verbs": ["list", "watch"]});
        assert_eq!(
            role.manifest()["rules"],
            json!([
                reads("", "configmaps"),
                reads("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
                reads("apps", "deployments"),
                reads("discovery.k8s.io", "endpointslices"),
            ])
        );
        assert_eq!(unknown.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Thing kf/a"]);
    }
}
