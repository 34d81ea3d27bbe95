//! Whether a workload is rolled out: its controller has seen the newest spec, every replica is of it, and all are available.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{DaemonSetStatus, DeploymentStatus, ReplicaSetStatus, StatefulSetStatus},
        batch::v1::JobStatus,
        core::v1::Pod,
    },
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::core::{Selector, SelectorExt as _};
use serde::Deserialize;

use super::{
    blocking::Blocking,
    object::{Identity, Judged, Key, KindId, Meta, Object, Standing, State, Watched},
};
use crate::cause;

/// What is read of the spec of whatever makes pods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadSpec {
    replicas: Option<i32>,
    completions: Option<i32>,
    #[serde(default)]
    suspend: bool,
    selector: Option<LabelSelector>,
    update_strategy: Option<UpdateStrategy>,
}

/// How pods of an older spec are replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateStrategy {
    #[serde(rename = "type")]
    type_: Option<String>,
    rolling_update: Option<RollingUpdate>,
}

/// How pods are replaced by themselves.
#[derive(Clone, Debug, Default, Deserialize)]
struct RollingUpdate {
    partition: Option<i32>,
}

impl UpdateStrategy {
    /// Whether a pod is replaced only once a person has deleted it.
    fn is_by_hand(&self) -> bool {
        self.type_.as_deref() == Some("OnDelete")
    }

    /// How many replicas are kept as they are.
    fn kept(&self) -> i32 {
        self.rolling_update.as_ref().and_then(|rolling| rolling.partition).unwrap_or_default()
    }
}

/// What is kept of a workload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Workload {
    /// What keeps it from being rolled out, as far as its own status says.
    pub(super) blocked: Option<String>,
    /// Whether it is rolled out only because it asks for no pod.
    pub(super) idle: bool,
    /// Which pods are its, while one of them may say more.
    selector: Option<Selector>,
}

impl Workload {
    /// A workload that asks for so many pods.
    fn standing(desired: i32, blocked: Option<String>, selector: Option<&LabelSelector>) -> Standing {
        let selector = if blocked.is_some() { selector } else { None };
        let selector = selector.and_then(|selector| Selector::try_from(selector.clone()).ok());
        Standing(State::Workload(Self { idle: desired <= 0 && blocked.is_none(), blocked, selector }))
    }

    /// Whether a pod with these labels, in its namespace, is one of its.
    pub(super) fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.selector.as_ref().is_some_and(|selector| !selector.selects_all() && selector.matches(labels))
    }
}

/// Replicas as a workload's status counts them.
struct Counts {
    /// Replicas that the spec asks for.
    desired: i32,
    /// Replicas of the newest spec.
    updated: i32,
    /// Replicas of any spec.
    all: i32,
    /// Replicas that are available.
    available: i32,
}

impl Counts {
    /// A workload with these replicas. Why pods cannot be made says more than how many there are.
    fn standing(
        &self,
        meta: &Meta,
        observed_generation: Option<i64>,
        selector: Option<&LabelSelector>,
        failure: Option<String>,
    ) -> Standing {
        let missing = || self.missing().map(|missing| failure.unwrap_or(missing));
        Workload::standing(self.desired, meta.unseen(observed_generation).or_else(missing), selector)
    }

    /// What is missing; `None` when everything is there.
    fn missing(&self) -> Option<String> {
        let Self { desired, updated, all, available } = *self;
        if updated < desired {
            Some(format!("{updated} of {desired} replicas are of the newest spec"))
        } else if available < desired {
            Some(format!("{available} of {desired} replicas are available"))
        } else if all > updated {
            Some(format!("{} replicas of an older spec are still there", all - updated))
        } else {
            None
        }
    }
}

/// The message of a condition that says that pods cannot be made.
fn replica_failure<'a>(
    mut conditions: impl Iterator<Item = (&'a str, &'a str, Option<&'a String>)>,
) -> Option<String> {
    let failure = conditions.find(|(type_, status, _)| *type_ == "ReplicaFailure" && *status == "True");
    failure.and_then(|(.., message)| message.cloned())
}

impl Judged for DeploymentStatus {
    type Spec = WorkloadSpec;

    fn blocked(_: &KindId, object: &Object<WorkloadSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let counts = Counts {
            desired: spec.replicas.unwrap_or(1),
            updated: status.updated_replicas.unwrap_or_default(),
            all: status.replicas.unwrap_or_default(),
            available: status.available_replicas.unwrap_or_default(),
        };
        let conditions = status.conditions.iter().flatten();
        let failure = replica_failure(
            conditions.map(|condition| (&*condition.type_, &*condition.status, condition.message.as_ref())),
        );
        counts.standing(&object.metadata, status.observed_generation, spec.selector.as_ref(), failure)
    }
}

impl Judged for ReplicaSetStatus {
    type Spec = WorkloadSpec;

    fn blocked(_: &KindId, object: &Object<WorkloadSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let all = status.replicas;
        let counts = Counts {
            desired: spec.replicas.unwrap_or(1),
            updated: all,
            all,
            available: status.available_replicas.unwrap_or_default(),
        };
        let conditions = status.conditions.iter().flatten();
        let failure = replica_failure(
            conditions.map(|condition| (&*condition.type_, &*condition.status, condition.message.as_ref())),
        );
        counts.standing(&object.metadata, status.observed_generation, spec.selector.as_ref(), failure)
    }
}

impl Judged for StatefulSetStatus {
    type Spec = WorkloadSpec;

    fn blocked(_: &KindId, object: &Object<WorkloadSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let desired = spec.replicas.unwrap_or(1);
        let strategy = spec.update_strategy.unwrap_or_default();
        let (by_hand, kept) = (strategy.is_by_hand(), strategy.kept());
        let updated = status.updated_replicas.unwrap_or_default();
        // Replicas below the partition stay as they are, and with OnDelete all do until a person deletes them.
        let staged = by_hand || kept > 0;
        let counts = Counts {
            desired,
            updated: if by_hand { desired } else { updated.saturating_add(kept).min(desired) },
            all: if staged { 0 } else { status.replicas },
            available: status.available_replicas.unwrap_or_default(),
        };
        counts.standing(&object.metadata, status.observed_generation, spec.selector.as_ref(), None)
    }
}

impl Judged for DaemonSetStatus {
    type Spec = WorkloadSpec;

    fn blocked(_: &KindId, object: &Object<WorkloadSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let by_hand = spec.update_strategy.unwrap_or_default().is_by_hand();
        let desired = status.desired_number_scheduled;
        let counts = Counts {
            desired,
            updated: if by_hand { desired } else { status.updated_number_scheduled.unwrap_or_default() },
            all: 0,
            available: status.number_available.unwrap_or_default(),
        };
        counts.standing(&object.metadata, status.observed_generation, spec.selector.as_ref(), None)
    }
}

impl Judged for JobStatus {
    type Spec = WorkloadSpec;

    fn blocked(_: &KindId, object: &Object<WorkloadSpec, Self>) -> Standing {
        let (spec, status) = object.parts();
        let is = |type_: &str| {
            let mut all = status.conditions.iter().flatten();
            all.find(|condition| condition.type_ == type_ && condition.status == "True")
        };
        let blocked = if is("Complete").is_some() {
            None
        } else if let Some(failed) = is("Failed") {
            let reason = failed.reason.as_deref().unwrap_or("Failed");
            Some(cause::sentence(reason, failed.message.as_deref().unwrap_or_default()))
        } else if spec.suspend {
            Some("is suspended".to_owned())
        } else {
            let (done, wanted) = (status.succeeded.unwrap_or_default(), spec.completions.unwrap_or(1));
            Some(format!("{done} of {wanted} pods have completed"))
        };
        Workload::standing(1, blocked, spec.selector.as_ref())
    }
}

/// A pod that something keeps from being ready.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BlockedPod {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) why: Blocking,
}

impl Identity for ObjectMeta {
    fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone().unwrap_or_default() }
    }

    fn version(&self) -> Option<&str> {
        self.resource_version.as_deref()
    }
}

/// Pods are kept only while they have a cause to tell.
impl Watched for Pod {
    type Meta = ObjectMeta;
    type Row = BlockedPod;

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn row(&self, _: &KindId) -> Option<BlockedPod> {
        let why = cause::of(self)?.into();
        Some(BlockedPod { labels: self.metadata.labels.clone().unwrap_or_default(), why })
    }
}

impl<Spec: Clone + Default, Status: Clone + Default> Object<Spec, Status> {
    /// Spec and status; what is missing is empty.
    pub(super) fn parts(&self) -> (Spec, Status) {
        (self.spec.clone().unwrap_or_default(), self.status.clone().unwrap_or_default())
    }
}
