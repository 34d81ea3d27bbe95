//! An attempt that has not started: what it waits for, and when there is no point in waiting any longer.

use std::time::Duration;

use crds::v1alpha1::{TestReason, TestStatus};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobCondition},
        core::v1::{ObjectReference, Pod},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Context, Ending, Judgement, ended, own_pod, repair, start_deadline};
use crate::{
    cause::{self, Cause, CauseKind, sentence},
    clock::{after, spoken, until},
    observed::{AttemptFacts, Warning},
};
use crds::names::pod::TEST_CONTAINER;

/// How soon to look again at an attempt that has not started: nothing that is watched changes when an event is written.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How late at most. Who waits for long is looked at less and less often, so that a thousand that wait for a node leave the
/// API server and the others alone.
const LOOK_AGAIN_AT_LAST: Duration = Duration::from_secs(30);

/// How often to try again what was refused: people repair rights, quotas and namespaces while they look.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What a Job waits for first.
pub(crate) const FOR_POD: &str = "waiting for the Job's pod to be created";

/// When to look again at an attempt that has not started: after as long as it has waited by now.
pub(super) fn look_again(now: Timestamp, entry: &TestStatus) -> Timestamp {
    let waited = entry.start_time.as_ref().map_or(Duration::ZERO, |start| until(start.0, now));
    after(now, waited.clamp(LOOK_AGAIN, LOOK_AGAIN_AT_LAST))
}

/// When to try again what was refused.
pub(super) fn try_again(now: Timestamp) -> Timestamp {
    after(now, TRY_AGAIN)
}

/// The object whose Warning events could say more: the Job while it has no pod, or its pod while that waits on its node.
/// Events are read for nothing else.
pub fn wants_warnings_of(facts: &AttemptFacts) -> Option<ObjectReference> {
    let job = facts.job.as_ref().filter(|job| finished(job).is_none())?;
    let Some(pod) = own_pod(job, &facts.pods) else { return Some(reference("Job", &job.metadata)) };
    let starting = cause::of(pod).is_none_or(|cause| cause.kind == CauseKind::Starting);
    let pending = pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Pending"));
    (pending && starting).then(|| reference("Pod", &pod.metadata))
}

/// A reference to an object.
fn reference(kind: &str, meta: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        kind: Some(kind.to_owned()),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Whether the test's container has started.
pub(super) fn has_started(pod: &Pod) -> bool {
    pod.status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten())
        .filter(|container| container.name == TEST_CONTAINER)
        .any(|container| {
            let state = container.state.as_ref();
            state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        })
}

/// How the Job ended, if it did.
pub(super) fn finished(job: &Job) -> Option<&JobCondition> {
    job.status.iter().flat_map(|status| status.conditions.iter().flatten()).find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })
}

/// A Job without a pod: none yet, none allowed, or none any more.
pub(super) fn without_pod(
    context: Context<'_>,
    entry: &TestStatus,
    job: &Job,
    facts: &AttemptFacts,
) -> Judgement {
    if let Some(condition) = finished(job) {
        return Judgement::Over(without_a_trace(job, condition));
    }
    let refusal = facts.warnings.iter().rev().find(|warning| warning.reason == "FailedCreate");
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let too_late = context.now >= start_deadline(context, entry);
    let repeated = entry.start_time.as_ref().is_some_and(|start| context.now >= after(start.0, REFUSED_FOR));
    let said = |message: &str| repair::with_advice(context, refused(message));
    match refusal {
        Some(Warning { message, .. }) if too_late || (repeated && refused_for_good(message)) => {
            Judgement::Over(Ending::because(TestReason::PodCreationRefused, said(message)))
        }
        Some(Warning { message, .. }) => Judgement::Waiting(said(message)),
        None if too_late => {
            let limit = spoken(context.test.start_timeout);
            let message = format!("Job {}/{name} had no pod within {limit}", context.run.namespace);
            Judgement::Over(Ending::because(TestReason::StartTimedOut, message))
        }
        None => Judgement::Waiting(FOR_POD.to_owned()),
    }
}

/// A Job that is over and whose pod is gone: what the pod said is lost.
fn without_a_trace(job: &Job, condition: &JobCondition) -> Ending {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let message = condition.message.as_deref().unwrap_or_default();
    let reason = condition.reason.as_deref().unwrap_or(&condition.type_);
    if condition.type_ == "Complete" {
        return Ending::because(TestReason::NoVerdict, format!("Job {name} is complete and its pod is gone"));
    }
    if reason == "DeadlineExceeded" {
        return Ending::because(TestReason::StartTimedOut, sentence(reason, message));
    }
    Ending::because(TestReason::JobVanished, format!("the pod of Job {name} was deleted before it ended"))
}

/// The refusal in the API server's words, without the prefix that says that it is one.
fn refused(message: &str) -> String {
    sentence("the pod is refused", message.trim_start_matches("Error creating: "))
}

/// How long refusals must go on before they count. The Job controller tries again after 1, 2 and 4 seconds; a webhook
/// that has only just started may deny what it takes a moment later (seen: its own reads answered with 429).
const REFUSED_FOR: Duration = Duration::from_secs(10);

/// Whether the same pod would be refused again: an admission webhook denied it, a policy forbids it, or it is invalid.
/// A quota may be freed, a service account made, and a webhook come back.
fn refused_for_good(message: &str) -> bool {
    ["denied the request", "violates PodSecurity", " is invalid: "].iter().any(|sign| message.contains(sign))
}

/// What a pod's Warning events say, which may be ahead of its status, and know of volumes, of which that says nothing.
fn from_warnings(warnings: &[Warning]) -> Option<Cause> {
    let pull = warnings.iter().rev().find(|warning| warning.message.starts_with("Failed to pull image"));
    let kind = if pull.is_some() { CauseKind::ImagePull } else { CauseKind::Starting };
    let Warning { reason, message } = pull.or_else(|| warnings.last())?;
    Some(Cause { kind, sentence: sentence(reason, message) })
}

/// A pod whose test has not started.
pub(super) fn for_start(
    context: Context<'_>,
    entry: &TestStatus,
    pod: &Pod,
    facts: &AttemptFacts,
) -> Judgement {
    if let Some(message) = ended::deleted(pod) {
        return Judgement::Waiting(message);
    }
    let unplaced = || Cause { kind: CauseKind::Starting, sentence: "waiting for a node".to_owned() };
    let told = cause::of(pod).unwrap_or_else(unplaced);
    let Cause { kind, sentence: detail } = match told.kind {
        CauseKind::Starting => from_warnings(&facts.warnings).unwrap_or(told),
        CauseKind::NotReady
        | CauseKind::Unschedulable
        | CauseKind::CannotCreate
        | CauseKind::Crashing
        | CauseKind::ImagePull
        | CauseKind::NoSuchImage => told,
    };
    let detail = repair::with_advice(context, detail);
    if kind == CauseKind::NoSuchImage {
        return Judgement::Over(Ending::because(TestReason::ImagePullFailed, detail));
    }
    if context.now < start_deadline(context, entry) {
        return Judgement::Waiting(detail);
    }
    let message = format!("not started within {}: {detail}", spoken(context.test.start_timeout));
    let reason = match kind {
        CauseKind::ImagePull | CauseKind::NoSuchImage => TestReason::ImagePullFailed,
        CauseKind::Unschedulable => TestReason::Unschedulable,
        CauseKind::Starting | CauseKind::NotReady | CauseKind::CannotCreate | CauseKind::Crashing => {
            TestReason::StartTimedOut
        }
    };
    Judgement::Over(Ending::because(reason, message))
}
