//! PodDefaults that a test asks for by their names: its pod opts into them by carrying the labels that they select.

use std::collections::BTreeMap;

use crds::names::GROUP;

use super::Context;
use crate::observed::NamedPodDefault;

/// Labels by which the pod opts in.
///
/// # Errors
/// Why it cannot, with what to do.
pub(super) fn labels(context: Context<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut labels = BTreeMap::new();
    for name in &context.test.pod_defaults {
        let object = format!("PodDefault {}/{name}", context.run.namespace);
        let selected = match context.observed.named.get(name) {
            Some(NamedPodDefault::Present { match_labels, by_labels_alone: true }) => match_labels,
            Some(NamedPodDefault::Present { by_labels_alone: false, .. }) => {
                return Err(format!(
                    "{object} selects by matchExpressions, which no pod can opt into: give it matchLabels"
                ));
            }
            Some(NamedPodDefault::Absent) | None => {
                return Err(format!("{object} does not exist: create it, or leave it out of podDefaults"));
            }
        };
        for (key, value) in selected {
            if is_ours(key) {
                return Err(format!(
                    "{object} selects by the label {key}, which is the operator's own: use another"
                ));
            }
            let known = labels.insert(key.clone(), value.clone());
            if known.is_some_and(|known| known != *value) {
                return Err(format!(
                    "{object} selects by another value of the label {key} than a PodDefault before it in podDefaults: \
                     a pod can opt into one of them only"
                ));
            }
        }
    }
    Ok(labels)
}

/// Whether a label is one that the operator or the Job controller gives a pod.
fn is_ours(key: &str) -> bool {
    let domain = key.split_once('/').map(|(domain, _)| domain);
    matches!(domain, Some(GROUP | "app.kubernetes.io" | "batch.kubernetes.io"))
        || matches!(key, "job-name" | "controller-uid")
}
