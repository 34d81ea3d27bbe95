//! Ending what still runs or could still start.

use crds::{names::annotation::ENDED, v1alpha1::TestReason, verdict::truncate};
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{Ending, MAX_MESSAGE, Outcome};
use crate::effect::{Effect, Target};

/// What has to be done so that the attempt does not go on; `None` where nothing has to be.
///
/// A pod on a node is given one second to live, which ends it gracefully and keeps its logs. A pod that no node has, or
/// one that does not exist yet, nobody would end: its Job is suspended, which takes it back.
/// What was decided goes with it: once the pod has ended nobody could tell any more what it was ended for.
pub(super) fn effect(job: &Job, pod: Option<&Pod>, ending: Option<&Ending>) -> Option<Effect> {
    let because = ending.and_then(|ending| match ending.outcome {
        Outcome::DidNotPass(reason) => Some(truncate(&format!("{reason}: {}", ending.message), MAX_MESSAGE)),
        Outcome::Passed | Outcome::CutShort | Outcome::NotRun => None,
    });
    match pod {
        Some(pod) if is_over(pod) => None,
        Some(pod) if is_on_a_node(pod) => {
            (!is_stopping(pod)).then(|| target(&pod.metadata, because).map(Effect::StopPod)).flatten()
        }
        _ => (!is_settled(job)).then(|| target(&job.metadata, because).map(Effect::SuspendJob)).flatten(),
    }
}

/// Whether the scheduler gave the pod to a node.
pub(super) fn is_on_a_node(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
}

/// Whether the pod has ended.
fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Whether the pod has been told to end.
fn is_stopping(pod: &Pod) -> bool {
    let deadline = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    deadline == Some(1) || pod.metadata.deletion_timestamp.is_some()
}

/// Whether the Job will make no pod any more.
fn is_settled(job: &Job) -> bool {
    job.metadata.deletion_timestamp.is_some()
        || job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true))
        || super::waiting::finished(job).is_some()
}

/// Why an earlier pass ended the attempt, if it was not able to say so in the status.
pub(super) fn decided(job: &Job, pod: Option<&Pod>) -> Option<Ending> {
    let noted = |meta: &ObjectMeta| meta.annotations.as_ref()?.get(ENDED).cloned();
    let note = pod.and_then(|pod| noted(&pod.metadata)).or_else(|| noted(&job.metadata))?;
    let (reason, message) = note.split_once(": ")?;
    Some(Ending::because(TestReason::from_name(reason)?, message))
}

/// The object that carries this metadata.
fn target(meta: &ObjectMeta, because: Option<String>) -> Option<Target> {
    let (namespace, name, uid) = (meta.namespace.clone()?, meta.name.clone()?, meta.uid.clone()?);
    Some(Target { namespace, name, uid, because })
}
