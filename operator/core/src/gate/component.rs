//! Workloads grouped into components, each with what blocks it.

use std::{cmp::Reverse, collections::BTreeMap};

use crds::{v1alpha1::ComponentStatus, verdict::truncate};
use k8s_openapi::api::core::v1::Pod;

use super::{NamespaceFacts, NamespaceSeen, Workload};
use crate::cause::{self, CauseKind};

/// Most components that a status holds.
const MAX_COMPONENTS: usize = 256;
/// Longest sentence about what blocks a component, in bytes.
const MAX_BLOCKING: usize = 1024;

/// Why an object is not ready, and how telling that is.
struct Blocking {
    kind: CauseKind,
    sentence: String,
}

impl Blocking {
    /// What is wrong with a whole namespace of the gate.
    fn namespace(name: &str, what: &str) -> Self {
        Self { kind: CauseKind::CannotCreate, sentence: format!("Namespace {name}: {what}") }
    }

    /// A namespace that cannot be read. Of errors that follow each other the first is kept: they take turns, and a status
    /// that tells each would be written with every try.
    fn unreadable(name: &str, why: &str, known: &[ComponentStatus]) -> Self {
        let mut blocking = Self::namespace(name, "cannot be read: ");
        let mut said = known.iter().filter(|component| component.name == name);
        match said.find_map(|component| component.blocking.as_ref()) {
            Some(said) if said.starts_with(&blocking.sentence) => blocking.sentence.clone_from(said),
            _ => blocking.sentence.push_str(why),
        }
        blocking
    }
}

/// A component with the most telling of what blocks it.
#[derive(Default)]
struct Tally {
    ready: i32,
    total: i32,
    blocking: Option<Blocking>,
}

/// All components, of which `known` was said before; those that are not ready first, the most telling cause before others, then by name.
pub(super) fn components(namespaces: &[NamespaceFacts], known: &[ComponentStatus]) -> Vec<ComponentStatus> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut add = |component, blocking| count(tallies.entry(component).or_default(), blocking);
    for facts in namespaces {
        let name = facts.name.as_str();
        match &facts.seen {
            NamespaceSeen::Missing => add(name, Some(Blocking::namespace(name, "does not exist"))),
            NamespaceSeen::Unreadable(why) => {
                add(name, Some(Blocking::unreadable(name, why, known)));
            }
            NamespaceSeen::Present { workloads, .. } if workloads.is_empty() => {
                add(name, Some(Blocking::namespace(name, "holds no Deployment, StatefulSet or DaemonSet")));
            }
            // One workload at zero beside others is a choice; all of them at zero are a Kubeflow that is switched off.
            NamespaceSeen::Present { workloads, .. } if workloads.iter().all(Workload::is_idle) => {
                add(name, Some(Blocking::namespace(name, "none of its workloads asks for a pod")));
            }
            NamespaceSeen::Present { workloads, pods } => {
                for workload in workloads {
                    add(&workload.component, blocking(workload, pods));
                }
            }
        }
    }
    let mut tallies: Vec<_> = tallies.into_iter().collect();
    // Stable, so that equals stay in the order of their names.
    tallies.sort_by_key(|(_, tally)| Reverse(tally.blocking.as_ref().map(|blocking| blocking.kind)));
    tallies
        .into_iter()
        .map(|(name, Tally { ready, total, blocking })| ComponentStatus {
            name: name.to_owned(),
            ready,
            total,
            blocking: blocking.map(|blocking| truncate(&blocking.sentence, MAX_BLOCKING)),
            first_ready_time: None,
        })
        .collect()
}

/// The components that fit into a status.
pub(super) fn shown(mut components: Vec<ComponentStatus>) -> Vec<ComponentStatus> {
    components.truncate(MAX_COMPONENTS);
    components
}

/// Counts one more object of a component.
fn count(tally: &mut Tally, blocking: Option<Blocking>) {
    tally.total += 1;
    let Some(blocking) = blocking else {
        tally.ready += 1;
        return;
    };
    if tally.blocking.as_ref().is_none_or(|known| known.kind < blocking.kind) {
        tally.blocking = Some(blocking);
    }
}

/// What blocks a workload: the most telling cause that one of its pods gives, else what its own status says.
fn blocking(workload: &Workload, pods: &[Pod]) -> Option<Blocking> {
    let own = workload.blocked.as_ref()?;
    let cause = pods
        .iter()
        .filter(|pod| workload.selects(pod.metadata.labels.as_ref()))
        .filter_map(cause::of)
        .max_by_key(|cause| cause.kind);
    let (kind, why) =
        cause.map_or_else(|| (CauseKind::Starting, own.clone()), |cause| (cause.kind, cause.sentence));
    let sentence = format!("{} {}/{}: {why}", workload.kind, workload.namespace, workload.name);
    Some(Blocking { kind, sentence })
}
