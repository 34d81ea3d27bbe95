//! Objects as the gate's watches read them: of each only what its judgement needs, so that nothing else is kept or even parsed.

use std::collections::BTreeMap;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    blocking::{Blocking, Severity},
    component::named,
    webhook::Webhook,
    workload::Workload,
};

/// A kind, in the version in which it is read.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KindId {
    /// API group; empty for Kubernetes' core.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind.
    pub kind: String,
}

impl KindId {
    /// A kind.
    pub fn new(group: &str, version: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    /// Whether it is of that group and kind, in any version.
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// Group and version as `apiVersion` has them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }
}

/// Where an object of a kind is.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    /// Namespace; `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl Key {
    /// An object in a namespace.
    pub fn namespaced(namespace: &str, name: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), name: name.to_owned() }
    }

    /// A cluster-scoped object.
    pub fn cluster(name: &str) -> Self {
        Self { namespace: None, name: name.to_owned() }
    }
}

/// The metadata that a judgement may need.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    #[serde(default)]
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) generation: Option<i64>,
    resource_version: Option<String>,
    deletion_timestamp: Option<String>,
}

/// Metadata that tells an object from others, and from itself at another time.
pub trait Identity {
    /// Where the object is.
    fn key(&self) -> Key;

    /// Its version, which is also the watch's position.
    fn version(&self) -> Option<&str>;
}

impl Identity for Meta {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn version(&self) -> Option<&str> {
        self.resource_version.as_deref()
    }
}

impl Meta {
    /// Whether it is on its way out.
    pub(super) const fn is_being_deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// What keeps an object from being judged by a status that speaks of an older generation.
    pub(super) fn unseen(&self, observed: Option<i64>) -> Option<String> {
        (observed.unwrap_or_default() < self.generation.unwrap_or_default())
            .then(|| "its newest spec has not been observed yet".to_owned())
    }
}

/// What is known of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The component that its labels name.
    pub(super) component: Option<String>,
    pub(super) state: State,
}

impl Fact {
    /// What is known of an object with this metadata, which is in that state unless it is on its way out.
    pub(super) fn new(kind: &KindId, meta: &Meta, state: impl FnOnce() -> State) -> Self {
        let state = if meta.is_being_deleted() {
            State::Blocked(Blocking::new(Severity::Dependent, "is being deleted"))
        } else {
            state()
        };
        Self { component: named(kind, meta.labels.as_ref()), state }
    }
}

/// How an object stands, as far as it can be told without looking at others.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// Nothing is missing.
    Ready,
    /// Something is, and the object itself says what.
    Blocked(Blocking),
    /// Its pods may say more.
    Workload(Workload),
    /// Ready when each of its webhooks is.
    Webhooks(Vec<Webhook>),
    /// Ready when its namespace and service account are there.
    Profile,
}

impl State {
    /// Ready, unless something blocks.
    pub(super) fn unless(severity: Severity, blocked: Option<impl Into<String>>) -> Self {
        blocked.map_or(Self::Ready, |why| Self::Blocked(Blocking::new(severity, why)))
    }
}

/// An object that a watch follows.
pub trait Watched: Clone + DeserializeOwned + Send + 'static {
    /// How its metadata is read.
    type Meta: Identity;

    /// What is kept of it.
    type Row: Clone + PartialEq + Send + 'static;

    /// Its metadata.
    fn meta(&self) -> &Self::Meta;

    /// What is kept of an object of that kind; `None` where nothing has to be.
    fn row(&self, kind: &KindId) -> Option<Self::Row>;
}

/// An object of which spec and status are read as far as `Spec` and `Status` go.
#[derive(Clone, Debug, Deserialize)]
#[serde(bound = "Spec: DeserializeOwned, Status: DeserializeOwned")]
pub struct Object<Spec, Status> {
    #[serde(default)]
    pub(super) metadata: Meta,
    pub(super) spec: Option<Spec>,
    pub(super) status: Option<Status>,
}

/// A status by which objects of a kind are judged.
pub trait Judged: Clone + DeserializeOwned + Send + 'static {
    /// What of the spec is needed beside it.
    type Spec: Clone + DeserializeOwned + Send + 'static;

    /// How an object stands that is not on its way out.
    #[doc(hidden)]
    fn blocked(kind: &KindId, object: &Object<Self::Spec, Self>) -> Standing;
}

/// The outcome of [`Judged::blocked`], opaque outside of this crate.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing(pub(super) State);

impl<Status: Judged> Watched for Object<Status::Spec, Status> {
    type Meta = Meta;
    type Row = Fact;

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn row(&self, kind: &KindId) -> Option<Fact> {
        Some(Fact::new(kind, &self.metadata, || Status::blocked(kind, self).0))
    }
}

/// An object that is ready once it is there.
#[derive(Clone, Debug, Deserialize)]
pub struct Plain {
    #[serde(default)]
    metadata: Meta,
}

impl Watched for Plain {
    type Meta = Meta;
    type Row = Fact;

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn row(&self, kind: &KindId) -> Option<Fact> {
        Some(Fact::new(kind, &self.metadata, || State::Ready))
    }
}

/// A condition, as loosely as custom resources write them.
#[derive(Clone, Debug, Default)]
pub(super) struct Condition {
    pub(super) type_: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
    pub(super) observed_generation: Option<i64>,
}

impl Condition {
    /// The conditions of a status; what is none is left out.
    pub(super) fn all(status: Option<&Value>) -> Vec<Self> {
        let list = status.and_then(|status| status.get("conditions")).and_then(Value::as_array);
        let text = |condition: &Value, field| condition.get(field).and_then(Value::as_str).map(str::to_owned);
        let read = |condition: &Value| {
            Some(Self {
                type_: text(condition, "type")?,
                status: text(condition, "status").unwrap_or_default(),
                reason: text(condition, "reason"),
                message: text(condition, "message"),
                observed_generation: condition.get("observedGeneration").and_then(Value::as_i64),
            })
        };
        list.into_iter().flatten().filter_map(read).collect()
    }

    /// `type is status: reason: message`.
    pub(super) fn sentence(&self) -> String {
        let status = if self.status.is_empty() { "set" } else { &self.status };
        let said = [self.reason.as_deref(), self.message.as_deref()].into_iter().flatten();
        let said = said.map(str::trim).filter(|part| !part.is_empty());
        let parts: Vec<&str> = said.collect();
        let head = format!("{} is {status}", self.type_);
        if parts.is_empty() { head } else { format!("{head}: {}", parts.join(": ")) }
    }
}
