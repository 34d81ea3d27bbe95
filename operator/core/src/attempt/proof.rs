//! Proof that the run's PodDefault reached a pod, for tests with `pipelineAccess`.
//!
//! The webhook says nothing where it does nothing, so the pod itself has to show it: the annotation that names our
//! PodDefault in its present version, the volume and the variable in the test's container, and the service account that
//! was asked for.

use crds::{
    names::{
        kubeflow::{
            PIPELINES_TOKEN_ENV, PIPELINES_TOKEN_VOLUME, PODDEFAULT_ANNOTATION_PREFIX,
            PROFILE_NAMESPACE_LABEL, PROFILE_NAMESPACE_VALUE,
        },
        pod::TEST_CONTAINER,
    },
    v1alpha1::TestReason,
};
use k8s_openapi::api::core::v1::Pod;

use super::{Context, Ending};
use crate::{names, observed::PodDefaultFacts};

/// Why no pod could ever get the PodDefault.
pub(super) fn impossible(context: Context<'_>) -> Option<Ending> {
    (context.test.pipeline_access && context.observed.pod_default == PodDefaultFacts::NotServed)
        .then(not_served)
}

/// The ending of a test that needs a PodDefault where there are none.
pub(crate) fn not_served_sentence() -> &'static str {
    "the API server knows no PodDefault (kubeflow.org/v1alpha1): install Kubeflow's admission webhook, or leave out pipelineAccess"
}

/// See [`not_served_sentence`].
fn not_served() -> Ending {
    Ending::because(TestReason::PodDefaultNotInjected, not_served_sentence())
}

/// What a pod lacks of the proof; `None` where it has all of it or needs none.
pub(super) fn missing(context: Context<'_>, pod: &Pod) -> Option<Ending> {
    if !context.test.pipeline_access {
        return None;
    }
    let what = lacks(context, pod)?;
    Some(Ending::because(TestReason::PodDefaultNotInjected, what))
}

/// The first thing that the pod lacks, in a sentence.
fn lacks(context: Context<'_>, pod: &Pod) -> Option<String> {
    let name = names::pod_default(&context.run.uid);
    let namespace = &context.run.namespace;
    let key = format!("{PODDEFAULT_ANNOTATION_PREFIX}{name}");
    let Some(version) = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(&key))
    else {
        return Some(format!("PodDefault {namespace}/{name} was not injected: {}", likely(context)));
    };
    let PodDefaultFacts::Present { resource_version } = &context.observed.pod_default else {
        return Some(format!("PodDefault {namespace}/{name} was deleted while the test ran"));
    };
    if version != resource_version {
        return Some(format!(
            "another version of PodDefault {namespace}/{name} was injected ({version} instead of {resource_version}): \
             something changes it"
        ));
    }
    let spec = pod.spec.as_ref()?;
    if spec.service_account_name.as_deref() != Some(context.run.service_account.as_str()) {
        return Some(format!(
            "another PodDefault changed the pod's service account from {} to {}",
            context.run.service_account,
            spec.service_account_name.as_deref().unwrap_or("none")
        ));
    }
    let container = spec.containers.iter().find(|container| container.name == TEST_CONTAINER);
    let has_variable = container
        .iter()
        .flat_map(|container| container.env.iter().flatten())
        .any(|variable| variable.name == PIPELINES_TOKEN_ENV);
    let has_mount = container
        .iter()
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .any(|mount| mount.name == PIPELINES_TOKEN_VOLUME);
    let has_volume = spec.volumes.iter().flatten().any(|volume| volume.name == PIPELINES_TOKEN_VOLUME);
    let absent = match (has_volume, has_mount, has_variable) {
        (true, true, true) => return None,
        (false, _, _) => format!("volume {PIPELINES_TOKEN_VOLUME}"),
        (_, false, _) => format!("mount of volume {PIPELINES_TOKEN_VOLUME}"),
        (_, _, false) => format!("variable {PIPELINES_TOKEN_ENV}"),
    };
    Some(format!(
        "PodDefault {namespace}/{name} is said to be injected, but container {TEST_CONTAINER} lacks its {absent}"
    ))
}

/// Why a PodDefault was passed over.
fn likely(context: Context<'_>) -> String {
    let value =
        context.observed.target_labels.as_ref().and_then(|labels| labels.get(PROFILE_NAMESPACE_LABEL));
    if value.map(String::as_str) == Some(PROFILE_NAMESPACE_VALUE) {
        "is the admission webhook of PodDefaults installed, and does it select this namespace?".to_owned()
    } else {
        format!(
            "namespace {} lacks the label {PROFILE_NAMESPACE_LABEL}={PROFILE_NAMESPACE_VALUE}, by which the webhook selects \
             namespaces",
            context.run.namespace
        )
    }
}
