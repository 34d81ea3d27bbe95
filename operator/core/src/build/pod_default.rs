//! The run's own PodDefault, which gives a pod the token for the Pipelines API as Kubeflow's `access-ml-pipeline` does.
//!
//! It selects by the run's UID, so it can touch no pod but this run's.

use crds::names::{
    kubeflow::{PIPELINES_AUDIENCE, PIPELINES_TOKEN_ENV, PIPELINES_TOKEN_MOUNT, PIPELINES_TOKEN_VOLUME},
    label,
};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::json;

use super::{metadata, run_labels};
use crate::{names, validate::Run};

/// File of the token, below its mount.
const TOKEN_FILE: &str = "token";
/// How long a token is valid; the kubelet renews it in time.
const TOKEN_SECONDS: i64 = 7200;

/// Where PodDefaults are served.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("kubeflow.org", "v1alpha1", "PodDefault"))
}

/// The run's PodDefault.
pub(crate) fn build(run: &Run) -> DynamicObject {
    let name = names::pod_default(&run.uid);
    let mut object = DynamicObject::new(&name, &resource()).data(json!({
        "spec": {
            "desc": format!("Access to Kubeflow Pipelines for E2ETest {}", run.name),
            "selector": { "matchLabels": { label::RUN_UID: run.uid, label::PIPELINE_ACCESS: "true" } },
            "env": [{
                "name": PIPELINES_TOKEN_ENV,
                "value": format!("{PIPELINES_TOKEN_MOUNT}/{TOKEN_FILE}"),
            }],
            "volumes": [{
                "name": PIPELINES_TOKEN_VOLUME,
                "projected": { "sources": [{ "serviceAccountToken": {
                    "path": TOKEN_FILE,
                    "expirationSeconds": TOKEN_SECONDS,
                    "audience": PIPELINES_AUDIENCE,
                } }] },
            }],
            "volumeMounts": [{
                "name": PIPELINES_TOKEN_VOLUME,
                "mountPath": PIPELINES_TOKEN_MOUNT,
                "readOnly": true,
            }],
        }
    }));
    object.metadata = metadata(run, name, run_labels(run));
    object
}
