//! What the controller's store keeps of a run: enough to know whether there is anything left to do. A pass reads the whole
//! run from the API server, so that neither an old store nor a slim one can mislead it.

use crds::v1alpha1::{E2ETest, E2ETestStatus};
use kube::{Resource as _, core::DeserializeGuard};

/// A run as the controller keeps it; one that cannot be read does not stop the others.
pub(crate) type Run = DeserializeGuard<E2ETest>;

/// Runs that are listed at once: a list holds whole runs, each as large as a request may be.
pub(crate) const PAGE: u32 = 50;

/// Leaves away what may be large: sources, what tests say, and what others noted, which may hold the whole run once more.
pub(crate) fn slim(run: &mut Run) {
    let meta = run.meta_mut();
    meta.managed_fields = None;
    meta.annotations = None;
    let Ok(run) = &mut run.0 else { return };
    run.spec.tests = Vec::new();
    run.spec.kubeflow = None;
    if let Some(E2ETestStatus { tests, kubeflow, .. }) = &mut run.status {
        *tests = Vec::new();
        *kubeflow = None;
    }
}

#[cfg(test)]
mod tests {
    use operator_core::{Wanted, expires_at};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_slim_run_is_small_and_is_over_when_the_whole_one_is() {
        let large = "x".repeat(100_000);
        for over in ["True", "False"] {
            let mut run: Run = serde_json::from_value(json!({
                "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest",
                "metadata": {
                    "name": "nightly", "uid": "uid", "annotations": { "last-applied": large },
                    "managedFields": [{ "manager": large }],
                },
                "spec": {
                    "targetNamespace": "profile", "ttlAfterFinished": "1h", "kubeflow": { "namespaces": ["a"] },
                    "tests": [{ "name": "a", "image": "i", "script": { "source": { "inline": large } } }],
                },
                "status": {
                    "completionTime": "2026-11-23T12:00:00Z",
                    "tests": [{ "name": "a", "state": "Failed", "attempt": 1, "message": large }],
                    "conditions": [{
                        "type": "Finished", "status": over, "reason": "x", "message": "", "lastTransitionTime": "2026-11-23T12:00:00Z",
                    }],
                },
            }))
            .unwrap();
            let whole = run.0.clone().unwrap();
            slim(&mut run);
            let slim = run.0.unwrap();
            assert!(serde_json::to_string(&slim).unwrap().len() < 1000);
            assert_eq!(Wanted::of(&slim).is_none(), Wanted::of(&whole).is_none());
            assert_eq!(expires_at(&slim), expires_at(&whole));
        }
    }

    #[test]
    fn what_cannot_be_read_is_kept_by_its_name() {
        let mut run: Run = serde_json::from_value(json!({
            "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "spec": 7,
            "metadata": { "name": "nightly", "managedFields": [{ "manager": "x" }] },
        }))
        .unwrap();
        slim(&mut run);
        assert!(run.0.is_err() && run.meta().managed_fields.is_none());
        assert_eq!(run.meta().name.as_deref(), Some("nightly"));
    }
}
