//! What somebody else keeps where something is about to be removed: instances of a CRD, workloads of a namespace.

use std::collections::BTreeSet;

use crds::inventory::InventoryObject;
use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams, PartialObjectMeta},
};

use crate::found;

/// Kinds that somebody deploys into a namespace, and that no controller of Kubernetes makes by itself.
const WORKLOADS: [(&str, &str); 3] =
    [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")];

/// How many instances are looked at; more of them than this are not made by hand.
const MOST: u32 = 500;

/// What is ours: it goes anyway.
pub(super) struct Ours {
    objects: BTreeSet<(String, String, String)>,
    namespaces: BTreeSet<String>,
}

impl Ours {
    /// All that an inventory says was made.
    pub(super) fn of(made: &[&InventoryObject]) -> Self {
        let place = |object: &&InventoryObject| {
            (object.kind.clone(), object.namespace.clone().unwrap_or_default(), object.name.clone())
        };
        let namespaces =
            made.iter().filter(|object| object.kind == "Namespace").map(|object| object.name.clone());
        Self { objects: made.iter().map(place).collect(), namespaces: namespaces.collect() }
    }

    /// Whether an object is somebody else's: not recorded, owned by nothing, not going, and not in a namespace of ours.
    fn is_foreign(&self, kind: &str, object: &PartialObjectMeta<DynamicObject>) -> bool {
        let namespace = object.namespace().unwrap_or_default();
        object.owner_references().is_empty()
            && object.metadata.deletion_timestamp.is_none()
            && !self.namespaces.contains(&namespace)
            && !self.objects.contains(&(kind.to_owned(), namespace, object.name_any()))
    }
}

/// What somebody else keeps in the object, if anything: a sentence's subject.
pub(super) async fn kept_in(
    client: &Client,
    object: &InventoryObject,
    ours: &Ours,
) -> kube::Result<Option<String>> {
    match object.kind.as_str() {
        "CustomResourceDefinition" => instance(client, &object.name, ours).await,
        "Namespace" => workload(client, &object.name, ours).await,
        _ => Ok(None),
    }
}

/// An instance of a CRD that is somebody else's.
async fn instance(client: &Client, name: &str, ours: &Ours) -> kube::Result<Option<String>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let Some(crd) = found(api.get(name).await)? else { return Ok(None) };
    let Some(version) = crd.spec.versions.iter().find(|version| version.served) else { return Ok(None) };
    let kind = crd.spec.names.kind.clone();
    let resource = ApiResource {
        group: crd.spec.group.clone(),
        version: version.name.clone(),
        api_version: format!("{}/{}", crd.spec.group, version.name),
        kind: kind.clone(),
        plural: crd.spec.names.plural.clone(),
    };
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let list = found(api.list_metadata(&ListParams::default().limit(MOST)).await)?;
    for object in list.iter().flatten().filter(|object| ours.is_foreign(&kind, object)) {
        if !is_going(client, object.namespace()).await? {
            return Ok(Some(place(&kind, object)));
        }
    }
    Ok(None)
}

/// A workload in a namespace that is somebody else's.
async fn workload(client: &Client, namespace: &str, ours: &Ours) -> kube::Result<Option<String>> {
    // In a namespace of ours, only what is recorded is ours.
    let here = Ours { objects: ours.objects.clone(), namespaces: BTreeSet::new() };
    for (kind, plural) in WORKLOADS {
        let resource = ApiResource {
            group: "apps".into(),
            version: "v1".into(),
            api_version: "apps/v1".into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let list = found(api.list_metadata(&ListParams::default().limit(MOST)).await)?;
        if let Some(object) = list.iter().flatten().find(|object| here.is_foreign(kind, object)) {
            return Ok(Some(place(kind, object)));
        }
    }
    Ok(None)
}

/// Whether a namespace is being removed, or gone: what is in it goes with it.
async fn is_going(client: &Client, namespace: Option<String>) -> kube::Result<bool> {
    let Some(name) = namespace else { return Ok(false) };
    let found = found(Api::<Namespace>::all(client.clone()).get(&name).await)?;
    Ok(found.is_none_or(|namespace| namespace.metadata.deletion_timestamp.is_some()))
}

fn place(kind: &str, object: &PartialObjectMeta<DynamicObject>) -> String {
    match object.namespace() {
        Some(namespace) => format!("{kind} {namespace}/{}", object.name_any()),
        None => format!("{kind} {}", object.name_any()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(metadata: &Value) -> PartialObjectMeta<DynamicObject> {
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    fn recorded(kind: &str, namespace: Option<&str>, name: &str) -> InventoryObject {
        InventoryObject {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: name.into(),
            uid: None,
            made: true,
        }
    }

    #[test]
    fn only_what_nobody_of_ours_made_or_owns_is_foreign() {
        let made = [recorded("Namespace", None, "ours"), recorded("Certificate", Some("team"), "recorded")];
        let ours = Ours::of(&made.iter().collect::<Vec<_>>());
        let owner = json!([{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1"}]);
        for (metadata, foreign) in [
            (json!({"name": "theirs", "namespace": "team"}), true),
            (json!({"name": "theirs"}), true),
            (json!({"name": "recorded", "namespace": "team"}), false),
            (json!({"name": "theirs", "namespace": "ours"}), false),
            (json!({"name": "owned", "namespace": "team", "ownerReferences": owner}), false),
            (
                json!({"name": "going", "namespace": "team", "deletionTimestamp": "2026-01-01T00:00:00Z"}),
                false,
            ),
        ] {
            assert_eq!(ours.is_foreign("Certificate", &object(&metadata)), foreign, "{metadata}");
        }
    }
}
