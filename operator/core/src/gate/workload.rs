//! Whether a workload is rolled out: its controller has seen the newest spec, every replica is of it, and all are available.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::apps::v1::{DaemonSet, Deployment, StatefulSet},
    apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta},
};
use kube::core::{Selector, SelectorExt as _};

/// The label that groups objects into components.
const PART_OF: &str = "app.kubernetes.io/part-of";

/// One workload of the gate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Workload {
    /// `Deployment`, `StatefulSet` or `DaemonSet`.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The component that it is part of.
    pub component: String,
    /// What keeps it from being rolled out, as far as its own status says.
    pub blocked: Option<String>,
    /// How many pods it asks for: its replicas, or the nodes on which a DaemonSet is to run.
    desired: i32,
    /// Which pods are its; `None` where its selector makes no sense.
    selector: Option<Selector>,
}

impl Workload {
    /// Whether a pod with these labels, in its namespace, is one of its.
    pub(crate) fn selects(&self, labels: Option<&BTreeMap<String, String>>) -> bool {
        let none = BTreeMap::new();
        self.selector
            .as_ref()
            .is_some_and(|selector| !selector.selects_all() && selector.matches(labels.unwrap_or(&none)))
    }

    /// Whether it is rolled out only because there is nothing to roll out.
    pub(crate) const fn is_idle(&self) -> bool {
        self.desired <= 0 && self.blocked.is_none()
    }

    /// What all kinds have in common.
    fn new(
        kind: &'static str,
        meta: &ObjectMeta,
        selector: &LabelSelector,
        desired: i32,
        blocked: Option<String>,
    ) -> Self {
        let namespace = meta.namespace.clone().unwrap_or_default();
        let component =
            meta.labels.as_ref().and_then(|labels| labels.get(PART_OF)).unwrap_or(&namespace).clone();
        let blocked =
            if meta.deletion_timestamp.is_some() { Some("is being deleted".into()) } else { blocked };
        Self {
            kind,
            namespace,
            name: meta.name.clone().unwrap_or_default(),
            component,
            blocked,
            desired,
            selector: Selector::try_from(selector.clone()).ok(),
        }
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

/// Whether the controller has not yet looked at the newest spec.
fn unseen(meta: &ObjectMeta, observed: Option<i64>) -> Option<String> {
    (observed.unwrap_or_default() < meta.generation.unwrap_or_default())
        .then(|| "its newest spec has not been observed yet".to_owned())
}

impl From<&Deployment> for Workload {
    fn from(deployment: &Deployment) -> Self {
        let spec = deployment.spec.clone().unwrap_or_default();
        let status = deployment.status.clone().unwrap_or_default();
        let desired = spec.replicas.unwrap_or(1);
        let counts = Counts {
            desired,
            updated: status.updated_replicas.unwrap_or_default(),
            all: status.replicas.unwrap_or_default(),
            available: status.available_replicas.unwrap_or_default(),
        };
        let failure = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")
            .and_then(|condition| condition.message.clone());
        let blocked = unseen(&deployment.metadata, status.observed_generation)
            .or_else(|| counts.missing().map(|missing| failure.unwrap_or(missing)));
        Self::new("Deployment", &deployment.metadata, &spec.selector, desired, blocked)
    }
}

impl From<&StatefulSet> for Workload {
    fn from(set: &StatefulSet) -> Self {
        let spec = set.spec.clone().unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let desired = spec.replicas.unwrap_or(1);
        let strategy = spec.update_strategy.unwrap_or_default();
        let by_hand = strategy.type_.as_deref() == Some("OnDelete");
        let kept_old = strategy.rolling_update.and_then(|rolling| rolling.partition).unwrap_or_default();
        let updated = status.updated_replicas.unwrap_or_default();
        // Replicas below the partition stay as they are, and with OnDelete all do until a person deletes them.
        let staged = by_hand || kept_old > 0;
        let counts = Counts {
            desired,
            updated: if by_hand { desired } else { updated.saturating_add(kept_old).min(desired) },
            all: if staged { 0 } else { status.replicas },
            available: status.available_replicas.unwrap_or_default(),
        };
        let blocked = unseen(&set.metadata, status.observed_generation).or_else(|| counts.missing());
        Self::new("StatefulSet", &set.metadata, &spec.selector, desired, blocked)
    }
}

impl From<&DaemonSet> for Workload {
    fn from(set: &DaemonSet) -> Self {
        let spec = set.spec.clone().unwrap_or_default();
        let status = set.status.clone().unwrap_or_default();
        let by_hand = spec.update_strategy.unwrap_or_default().type_.as_deref() == Some("OnDelete");
        let desired = status.desired_number_scheduled;
        let counts = Counts {
            desired,
            updated: if by_hand { desired } else { status.updated_number_scheduled.unwrap_or_default() },
            all: 0,
            available: status.number_available.unwrap_or_default(),
        };
        let blocked = unseen(&set.metadata, status.observed_generation).or_else(|| counts.missing());
        Self::new("DaemonSet", &set.metadata, &spec.selector, desired, blocked)
    }
}
