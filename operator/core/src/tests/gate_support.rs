//! What a gate's watches have read, built from minimal YAML through the very types that the watches read with.

use std::collections::BTreeMap;

use crds::names::SYSTEM_NAMESPACE;
use k8s_openapi::api::{
    apps::v1::{DaemonSetStatus, DeploymentStatus, ReplicaSetStatus, StatefulSetStatus},
    batch::v1::JobStatus,
    core::v1::{NamespaceStatus, PersistentVolumeClaimStatus, Pod, PodStatus},
};
use serde_json::{Value, json};

use super::support::yaml;
use crate::gate::{
    ApiServiceStatus, CustomStatus, DefinitionStatus, EndpointSlice, Facts, Followed, Identity as _,
    InventoryMap, Judged, Key, KindId, Object, Over, Plain, ProfileStatus, Reader, Readiness, Reading,
    Source, Target, WebhookConfiguration,
};

type By<Status> = Object<<Status as Judged>::Spec, Status>;

/// A gate with what its watches have read.
pub(super) struct Gated {
    pub(super) target: Target,
    pub(super) facts: Facts,
}

impl Gated {
    /// A gate over an inventory of these objects, which are all there is.
    pub(super) fn inventory(objects: &[Value]) -> Self {
        let mut gated = Self::without_objects(&inventory_of(objects));
        for object in objects {
            gated.put(object);
        }
        gated
    }

    /// A gate over an inventory with this text, in a cluster without objects.
    pub(super) fn without_objects(text: &str) -> Self {
        let target = Target { over: Over::Inventory("kubeflow".into()), ignore: Vec::new() };
        let mut gated = Self { target, facts: Facts::default() };
        gated.read(&Source::Inventories);
        gated.put_inventory(text);
        gated.settle();
        gated
    }

    /// A gate over these namespaces, of which nothing is there yet.
    pub(super) fn namespaces(names: &[&str]) -> Self {
        let names = names.iter().map(ToString::to_string).collect();
        let target = Target { over: Over::Namespaces(names), ignore: Vec::new() };
        let mut gated = Self { target, facts: Facts::default() };
        gated.settle();
        gated
    }

    /// All sources that the target needs have been read, and are empty.
    fn settle(&mut self) {
        for source in self.target.sources(&self.facts) {
            if source != Source::Inventories {
                self.read(&source);
            }
        }
    }

    /// A source has been read, and is empty.
    pub(super) fn read(&mut self, source: &Source) {
        let facts = &mut self.facts;
        match source {
            Source::Objects(kind) => Plain::table(facts, kind).replace(BTreeMap::new()),
            Source::Pods => Pod::table(facts, &source.kind()).replace(BTreeMap::new()),
            Source::Endpoints => EndpointSlice::table(facts, &source.kind()).replace(BTreeMap::new()),
            Source::Inventories => InventoryMap::table(facts, &source.kind()).replace(BTreeMap::new()),
        };
    }

    /// The inventory now has this text.
    pub(super) fn put_inventory(&mut self, text: &str) {
        let map = json!({"metadata": {"name": "kubeflow", "namespace": SYSTEM_NAMESPACE}, "data": {"inventory.json": text}});
        put::<InventoryMap>(&mut self.facts, &Source::Inventories.kind(), &map);
    }

    /// An object is there.
    pub(super) fn put(&mut self, object: &Value) {
        let kind = kind(object);
        let facts = &mut self.facts;
        match kind.reader() {
            Reader::Plain if kind.kind == "EndpointSlice" => put::<EndpointSlice>(facts, &kind, object),
            Reader::Plain => put::<Plain>(facts, &kind, object),
            Reader::Custom => put::<By<CustomStatus>>(facts, &kind, object),
            Reader::ApiService => put::<By<ApiServiceStatus>>(facts, &kind, object),
            Reader::Claim => put::<By<PersistentVolumeClaimStatus>>(facts, &kind, object),
            Reader::DaemonSet => put::<By<DaemonSetStatus>>(facts, &kind, object),
            Reader::Definition => put::<By<DefinitionStatus>>(facts, &kind, object),
            Reader::Deployment => put::<By<DeploymentStatus>>(facts, &kind, object),
            Reader::Job => put::<By<JobStatus>>(facts, &kind, object),
            Reader::Namespace => put::<By<NamespaceStatus>>(facts, &kind, object),
            Reader::Pod => {
                put::<Pod>(facts, &kind, object);
                put::<By<PodStatus>>(facts, &kind, object);
            }
            Reader::Profile => put::<By<ProfileStatus>>(facts, &kind, object),
            Reader::ReplicaSet => put::<By<ReplicaSetStatus>>(facts, &kind, object),
            Reader::StatefulSet => put::<By<StatefulSetStatus>>(facts, &kind, object),
            Reader::Webhooks => put::<WebhookConfiguration>(facts, &kind, object),
        }
    }

    /// An object is not there any more.
    pub(super) fn remove(&mut self, object: &Value) {
        Plain::table(&mut self.facts, &kind(object)).put(key(object), None);
    }

    /// A kind cannot be read.
    pub(super) fn fail(&mut self, object: &Value, reading: Reading) {
        Plain::table(&mut self.facts, &kind(object)).failed(reading);
    }

    /// How everything stands.
    pub(super) fn readiness(&self) -> Readiness {
        Readiness::of(&self.target, &self.facts).expect("everything has been read")
    }

    /// The most telling thing that is not ready.
    pub(super) fn blocking(&self) -> Option<String> {
        self.readiness().components.into_iter().find_map(|component| component.blocking)
    }
}

fn put<K: Followed>(facts: &mut Facts, kind: &KindId, object: &Value) {
    let object: K = serde_json::from_value(object.clone()).unwrap();
    let row = object.row(kind);
    K::table(facts, kind).put(object.meta().key(), row);
}

/// The kind of an object.
pub(super) fn kind(object: &Value) -> KindId {
    let api_version = object["apiVersion"].as_str().unwrap();
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    KindId::new(group, version, object["kind"].as_str().unwrap())
}

/// Where an object is.
pub(super) fn key(object: &Value) -> Key {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().unwrap();
    match metadata["namespace"].as_str() {
        Some(namespace) => Key::namespaced(namespace, name),
        None => Key::cluster(name),
    }
}

/// The text of an inventory of these objects.
pub(super) fn inventory_of(objects: &[Value]) -> String {
    let entry = |object: &Value| {
        let metadata = &object["metadata"];
        json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "namespace": metadata["namespace"], "name": metadata["name"]})
    };
    json!({"schemaVersion": 1, "objects": objects.iter().map(entry).collect::<Vec<_>>()}).to_string()
}

/// An object from YAML: `apiVersion kind` and the rest.
pub(super) fn object(api_version: &str, kind: &str, rest: &str) -> Value {
    let mut object: Value = yaml(rest);
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    object
}
