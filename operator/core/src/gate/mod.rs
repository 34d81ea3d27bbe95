//! The gate: is everything under it ready, and has it been for long enough?
//!
//! [`Facts`] is what watches have read, [`Readiness`] is what that means for one [`Target`], shared by all runs that have
//! it; what it means for a run is judged here, at a cost that no longer depends on the number of objects.

mod blocking;
mod builtin;
mod component;
mod custom;
mod facts;
mod inventory;
mod kind;
mod object;
mod readiness;
mod target;
mod unbroken;
mod webhook;
mod workload;

use crds::v1alpha1::{ComponentStatus, ConditionType, E2ETestStatus, GateReason, KubeflowStatus, find};
use jiff::Timestamp;

use crate::{
    clock::{after, spoken, stamp},
    ending::RunsEnd,
    validate::ValidGate,
};

pub use builtin::{ApiServiceStatus, ClaimSpec, DefinitionStatus};
pub use component::Component;
pub use custom::{CustomStatus, ProfileStatus};
pub use facts::{Facts, Followed, History, Reading, Source, Table};
pub use inventory::{InventoryMap, InventoryRow, Listed};
pub use kind::Reader;
pub use object::{Fact, Identity, Judged, Key, KindId, Meta, Object, Plain, Standing, Watched};
pub use readiness::Readiness;
pub use target::{Over, Pattern, Target};
pub use unbroken::{BLINK, Sighting, Unbroken};
pub use webhook::{EndpointSlice, WebhookConfiguration};
pub use workload::{BlockedPod, WorkloadSpec};

/// What is said while nothing is known yet.
const UNKNOWN: &str = "Kubeflow is being looked at";

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

/// What a judgement depends on beside what is seen.
#[derive(Clone, Copy)]
pub(crate) struct Course<'a> {
    /// The status so far.
    pub(crate) status: &'a E2ETestStatus,
    /// Whether a test has begun: the gate has been open then, and never closes again; a lapse is only recorded.
    pub(crate) tests_began: bool,
    /// When the run has to end.
    pub(crate) end: RunsEnd,
    pub(crate) now: Timestamp,
}

impl Course<'_> {
    /// When the gate gives up. Once it has been open, it was ready in time: what happens later is the run's own timeout's.
    fn deadline(&self, gate: &ValidGate) -> Option<Timestamp> {
        let start = self.status.start_time.as_ref().filter(|_| !self.tests_began && !was_open(self.status));
        start.map(|start| after(start.0, gate.timeout))
    }

    /// Whether the run is over by now.
    fn is_over(&self) -> bool {
        self.end.passed(self.now)
    }
}

/// Judges the gate.
pub(crate) fn judge(gate: Option<&ValidGate>, seen: Option<&Sighting>, course: Course<'_>) -> Judgement {
    let Course { status, tests_began, now, .. } = course;
    let Some(gate) = gate else {
        let message = "spec.kubeflow is left out: tests start without looking at Kubeflow".to_owned();
        return Judgement { open: true, reason: GateReason::NotRequested, message, shown: None, wake: None };
    };
    let deadline = course.deadline(gate);
    let Some(Sighting { readiness: seen, ready_since, perhaps_longer }) = seen else {
        return unknown(gate, deadline, course);
    };
    let stable_at = ready_since.map(|since| after(since, gate.stable_for));
    // Of a run that is over the first of the two decides, however late somebody looks.
    let in_time = |at: Timestamp| !course.is_over() || deadline.is_none_or(|deadline| at <= deadline);
    let stable = stable_at.is_some_and(|at| at <= now && in_time(at));
    // What was said is true until something else is seen. No test starts on it.
    let still_ready = ready_since.is_some() && says(status, GateReason::Ready);
    // Whoever was away cannot tell whether it was ready in time, and lets it prove itself while the run goes on.
    let is_proving = *perhaps_longer && !course.is_over();
    let give_up = deadline.filter(|_| !is_proving);
    let closed = if was_open(status) { GateReason::Lapsed } else { GateReason::Waiting };

    let (open, reason, message) = if stable || still_ready {
        (stable || tests_began, GateReason::Ready, format!("{} ready{}", all(seen.total), passed_over(seen)))
    } else if give_up.is_some_and(|at| at <= now) {
        let detail = what_blocks(seen).unwrap_or_else(|| not_stable(seen, gate));
        (false, GateReason::TimedOut, too_late(gate, &detail))
    } else if ready_since.is_some() {
        (tests_began, closed, not_stable(seen, gate))
    } else {
        let detail = what_blocks(seen).unwrap_or_else(|| "there is nothing to look at".to_owned());
        let (ready, total) = (seen.ready, seen.total);
        (tests_began, closed, format!("{ready} of {total} objects are ready: {detail}"))
    };
    let wake = if stable { None } else { stable_at.into_iter().chain(give_up).min() };
    Judgement { open, reason, message, shown: Some(shown(seen, status, *ready_since, now)), wake }
}

/// What to say before everything has been read: what has been said before. An operator that has just started must not
/// take back what is still true, nor give up before it has looked; that it cannot look is known within seconds. Only where
/// the run is over, too, nobody will look any more: the gate's deadline was the first that passed.
fn unknown(gate: &ValidGate, deadline: Option<Timestamp>, course: Course<'_>) -> Judgement {
    let Course { status, tests_began, end, .. } = course;
    let said = find(&status.conditions, ConditionType::KubeflowReady);
    let reason = said.and_then(|said| GateReason::from_name(&said.reason)).unwrap_or(GateReason::Waiting);
    let message = said.map_or_else(|| UNKNOWN.to_owned(), |said| said.message.clone());
    let (reason, message) = if course.is_over() && deadline.is_some_and(|deadline| deadline <= end.at) {
        (GateReason::TimedOut, too_late(gate, &message))
    } else {
        (reason, message)
    };
    Judgement { open: tests_began, reason, message, shown: status.kubeflow.clone(), wake: None }
}

/// What the status shows.
fn shown(
    seen: &Readiness,
    status: &E2ETestStatus,
    ready_since: Option<Timestamp>,
    now: Timestamp,
) -> KubeflowStatus {
    let known = status.kubeflow.as_ref().map(|kubeflow| kubeflow.components.as_slice()).unwrap_or_default();
    let component = |component: &Component| {
        let before = known.iter().find(|known| known.name == component.name);
        let is_ready = component.ready == component.total;
        ComponentStatus {
            name: component.name.clone(),
            ready: component.ready,
            total: component.total,
            blocking: component.blocking.clone(),
            first_ready_time: before
                .and_then(|before| before.first_ready_time.clone())
                .or_else(|| is_ready.then(|| stamp(now))),
        }
    };
    // The latest of what operators say: two that began to look at different times would else correct each other for ever.
    let said = status.kubeflow.as_ref().and_then(|kubeflow| kubeflow.ready_since.clone());
    let ready_since = ready_since.map(stamp).map(|own| said.filter(|said| said.0 > own.0).unwrap_or(own));
    KubeflowStatus {
        summary: format!("{}/{}", seen.ready, seen.total),
        components: component::shown(&seen.components).iter().map(component).collect(),
        ready_since,
    }
}

/// Whether the gate has been open before.
fn was_open(status: &E2ETestStatus) -> bool {
    says(status, GateReason::Ready) || says(status, GateReason::Lapsed)
}

/// Whether the status gives this reason.
fn says(status: &E2ETestStatus, reason: GateReason) -> bool {
    find(&status.conditions, ConditionType::KubeflowReady)
        .is_some_and(|condition| condition.reason == reason.as_str())
}

/// The sentence about a gate that gives up.
fn too_late(gate: &ValidGate, detail: &str) -> String {
    format!("not ready within {}: {detail}", spoken(gate.timeout))
}

/// All objects, with the verb.
fn all(total: i32) -> String {
    if total == 1 { "the one object is".to_owned() } else { format!("all {total} objects are") }
}

/// What does not count, so that nobody takes it for ready.
fn passed_over(seen: &Readiness) -> String {
    let Readiness { ignored, secrets, .. } = *seen;
    let ignored = (ignored > 0).then(|| format!("{ignored} ignored"));
    let plural = if secrets == 1 { "Secret" } else { "Secrets" };
    let secrets = (secrets > 0).then(|| format!("{secrets} {plural} not read"));
    let parts: Vec<String> = ignored.into_iter().chain(secrets).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// The sentence about readiness that has not lasted long enough yet.
fn not_stable(seen: &Readiness, gate: &ValidGate) -> String {
    let passed_over = passed_over(seen);
    format!("{} ready{passed_over}, and must stay so for {}", all(seen.total), spoken(gate.stable_for))
}

/// The most telling thing that is not ready, and how many more there are.
fn what_blocks(seen: &Readiness) -> Option<String> {
    let first = seen.components.iter().find_map(|component| component.blocking.clone())?;
    let said = match seen.total - seen.ready {
        ..=1 => first,
        more => format!("{first}; and {} more", more - 1),
    };
    Some(format!("{said}{}", passed_over(seen)))
}
