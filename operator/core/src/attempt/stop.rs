//! Ending what still runs or could still start.

use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use crate::effect::{Effect, Target};

/// What has to be done so that the attempt does not go on; `None` where nothing has to be.
///
/// A pod on a node is given one second to live, which ends it gracefully and keeps its logs. A pod that no node has, or
/// one that does not exist yet, nobody would end: its Job is suspended, which takes it back.
pub(super) fn effect(job: &Job, pod: Option<&Pod>) -> Option<Effect> {
    match pod {
        Some(pod) if is_over(pod) => None,
        Some(pod) if is_on_a_node(pod) => {
            (!is_stopping(pod)).then(|| target(&pod.metadata).map(Effect::StopPod)).flatten()
        }
        _ => (!is_settled(job)).then(|| target(&job.metadata).map(Effect::SuspendJob)).flatten(),
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

/// The object that carries this metadata.
fn target(meta: &ObjectMeta) -> Option<Target> {
    Some(Target { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? })
}
