//! The gate: is everything under it rolled out, and has it been for long enough?
//!
//! Nothing is ever ready by emptiness: a namespace that is missing, cannot be read, or holds no workload that asks for a
//! pod counts as one object that is not ready.

mod component;
mod workload;

use crds::v1alpha1::{ComponentStatus, ConditionType, E2ETestStatus, GateReason, KubeflowStatus, find};
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::Time};

use crate::{
    clock::{after, spoken, stamp_up},
    validate::ValidGate,
};

pub use workload::Workload;

/// One namespace of the gate.
#[derive(Clone, Debug, PartialEq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// What was seen of it.
    pub seen: NamespaceSeen,
}

/// What was seen of a namespace.
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceSeen {
    /// It does not exist.
    Missing,
    /// It or its workloads cannot be read; the API server's sentence.
    Unreadable(String),
    /// It exists.
    Present {
        /// Its workloads.
        workloads: Vec<Workload>,
        /// Its pods, read only where a workload is not rolled out.
        pods: Vec<Pod>,
    },
}

/// What the gate says in this pass.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judgement {
    /// Whether tests may start.
    pub(crate) open: bool,
    /// Reason of the condition `KubeflowReady`.
    pub(crate) reason: GateReason,
    /// Message of that condition.
    pub(crate) message: String,
    /// What the status shows; nothing without a gate.
    pub(crate) shown: Option<KubeflowStatus>,
    /// When to look again even if nothing changes.
    pub(crate) wake: Option<Timestamp>,
}

/// Judges the gate. `tests_began` says that it has been open: it then never closes again, and a lapse is only recorded.
pub(crate) fn judge(
    gate: Option<&ValidGate>,
    seen: &[NamespaceFacts],
    status: &E2ETestStatus,
    tests_began: bool,
    now: Timestamp,
) -> Judgement {
    let Some(gate) = gate else {
        let message = "spec.kubeflow is left out: tests start without looking at Kubeflow".to_owned();
        return Judgement { open: true, reason: GateReason::NotRequested, message, shown: None, wake: None };
    };
    let known = status.kubeflow.as_ref().map(|kubeflow| kubeflow.components.as_slice()).unwrap_or_default();
    let components = component::components(seen, known);
    let (ready, total) = components
        .iter()
        .fold((0, 0), |(ready, total), component| (ready + component.ready, total + component.total));
    let all_ready = total > 0 && ready == total && seen.len() == gate.namespaces.len();
    let ready_since = all_ready.then(|| ready_since(status).unwrap_or_else(|| stamp_up(now)));
    let stable_at = ready_since.as_ref().map(|since| after(since.0, gate.stable_for));
    let stable = stable_at.is_some_and(|at| at <= now) || (all_ready && gate.stable_for.is_zero());
    let blocking = what_blocks(&components, total - ready);
    let give_up = status.start_time.as_ref().map(|start| after(start.0, gate.timeout));
    let was_open = was_open(status);

    let (open, reason, message) = if stable {
        (true, GateReason::Ready, format!("{} ready", all(total)))
    } else if !tests_began && give_up.is_some_and(|at| at <= now) {
        let detail = blocking.unwrap_or_else(|| not_stable(total, gate));
        (false, GateReason::TimedOut, format!("not ready within {}: {detail}", spoken(gate.timeout)))
    } else if all_ready {
        let reason = if was_open { GateReason::Lapsed } else { GateReason::Waiting };
        (tests_began, reason, not_stable(total, gate))
    } else {
        let reason = if was_open { GateReason::Lapsed } else { GateReason::Waiting };
        let detail = blocking.unwrap_or_else(|| "nothing has been seen yet".to_owned());
        (tests_began, reason, format!("{ready} of {total} objects are ready: {detail}"))
    };
    let wake =
        if stable { None } else { stable_at.into_iter().chain(give_up.filter(|_| !tests_began)).min() };
    let summary = format!("{ready}/{total}");
    let shown = KubeflowStatus { summary, components: component::shown(components), ready_since };
    Judgement { open, reason, message, shown: Some(shown), wake }
}

/// Since when everything has been ready, as an earlier pass wrote it down.
fn ready_since(status: &E2ETestStatus) -> Option<Time> {
    status.kubeflow.as_ref().and_then(|kubeflow| kubeflow.ready_since.clone())
}

/// Whether the gate has been open before.
fn was_open(status: &E2ETestStatus) -> bool {
    find(&status.conditions, ConditionType::KubeflowReady).is_some_and(|condition| {
        [GateReason::Ready, GateReason::Lapsed].iter().any(|reason| condition.reason == reason.as_str())
    })
}

/// All objects, with the verb.
fn all(total: i32) -> String {
    if total == 1 { "the one object is".to_owned() } else { format!("all {total} objects are") }
}

/// The sentence about readiness that has not lasted long enough yet.
fn not_stable(total: i32, gate: &ValidGate) -> String {
    format!("{} ready, and must stay so for {}", all(total), spoken(gate.stable_for))
}

/// The most telling thing that is not ready, and how many more there are.
fn what_blocks(components: &[ComponentStatus], not_ready: i32) -> Option<String> {
    let first = components.iter().find_map(|component| component.blocking.clone())?;
    Some(match not_ready {
        ..=1 => first,
        2 => format!("{first}; and 1 more"),
        more => format!("{first}; and {} more", more - 1),
    })
}
