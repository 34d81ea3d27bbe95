//! Objects grouped into components, each with the most telling of what blocks it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, btree_map::Entry},
};

use crds::verdict::truncate;

use super::{
    blocking::{Blocking, Severity},
    object::{Key, KindId},
};

/// Most components that a status holds.
const MAX_COMPONENTS: usize = 256;
/// Longest sentence about what blocks a component, in bytes.
const MAX_BLOCKING: usize = 1024;

/// The labels that name a component, the one that says most first. Kubeflow's own manifests use all of them, each in other
/// parts.
const LABELS: [&str; 4] =
    ["app.kubernetes.io/part-of", "application-crd-id", "kustomize.component", "app.kubernetes.io/name"];
/// A value that names the whole, not a part.
const WHOLE: &str = "kubeflow";
/// Name of the component of cluster-scoped objects without a label.
const CLUSTER: &str = "cluster";

/// The component that an object's labels name.
pub(super) fn named(kind: &KindId, labels: Option<&BTreeMap<String, String>>) -> Option<String> {
    let labels = labels?;
    // What kubebuilder writes where nobody fills in its template: the kind as the name.
    let says_nothing =
        |value: &str| value == WHOLE || value.is_empty() || value.eq_ignore_ascii_case(&kind.kind);
    LABELS.iter().filter_map(|label| labels.get(*label)).find(|value| !says_nothing(value)).cloned()
}

/// The component of an object whose labels name none, or that is not there.
pub(super) fn by_place<'a>(kind: &KindId, key: &'a Key) -> &'a str {
    match &key.namespace {
        Some(namespace) => namespace,
        None if kind.is("", "Namespace") => &key.name,
        None => CLUSTER,
    }
}

/// One component of what a gate looks at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// How many of its objects are ready.
    pub ready: i32,
    /// How many objects it has.
    pub total: i32,
    /// The most telling thing that is not ready.
    pub blocking: Option<String>,
}

/// Counts of one component.
#[derive(Default)]
struct Tally {
    ready: i32,
    total: i32,
    blocking: Option<(Severity, String)>,
}

/// Counts of all components.
#[derive(Default)]
pub(super) struct Tallies(BTreeMap<String, Tally>);

impl Tallies {
    /// Counts one more object; `object` is how it is called.
    pub(super) fn count(
        &mut self,
        component: &str,
        object: impl FnOnce() -> String,
        blocking: Option<Blocking>,
    ) {
        let tally = match self.0.entry(component.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Tally::default()),
        };
        tally.total += 1;
        let Some(Blocking { severity, sentence }) = blocking else {
            tally.ready += 1;
            return;
        };
        if tally.blocking.as_ref().is_none_or(|(known, _)| *known < severity) {
            let sentence = truncate(&format!("{}: {sentence}", object()), MAX_BLOCKING);
            tally.blocking = Some((severity, sentence));
        }
    }

    /// All components; those that are not ready first, the most telling cause before others, then by name.
    pub(super) fn into_components(self) -> Vec<Component> {
        let mut all: Vec<_> = self.0.into_iter().collect();
        // Stable, so that equals stay in the order of their names.
        all.sort_by_key(|(_, tally)| Reverse(tally.blocking.as_ref().map(|(severity, _)| *severity)));
        all.into_iter()
            .map(|(name, Tally { ready, total, blocking })| Component {
                name,
                ready,
                total,
                blocking: blocking.map(|(_, sentence)| sentence),
            })
            .collect()
    }
}

/// The components that fit into a status.
pub(super) fn shown(components: &[Component]) -> &[Component] {
    components.get(..MAX_COMPONENTS).unwrap_or(components)
}
