//! Proof that PodDefaults reached a pod: the run's own, for tests with `pipelineAccess`, and those that a test names.
//!
//! The webhook says nothing where it does nothing, so it has to be shown: the label by which it selects the namespace, the
//! annotation that names our PodDefault in its present version, the volume and the variable in the test's container. And
//! since a PodDefault can change whose rights any pod has that it selects, these have to be the ones that were asked for.

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
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{Pod, PodSpec},
};

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

/// What a pod lacks of the proof; `None` where it has all of it. That nothing was injected with which nobody reckons is part
/// of it for every test.
pub(super) fn missing(context: Context<'_>, job: &Job, pod: &Pod) -> Option<Ending> {
    let lack =
        of_ours(context, pod).or_else(|| of_named(context, pod)).or_else(|| of_account(context, job, pod))?;
    Some(Ending::because(TestReason::PodDefaultNotInjected, lack))
}

/// What is missing of the run's own PodDefault.
fn of_ours(context: Context<'_>, pod: &Pod) -> Option<String> {
    if !context.test.pipeline_access {
        return None;
    }
    let name = names::pod_default(&context.run.uid);
    let namespace = &context.run.namespace;
    let Some(version) = injected(pod, &name) else {
        return Some(format!("PodDefault {namespace}/{name} was not injected: {}", likely(context)));
    };
    if !is_selected(context) {
        return Some(format!(
            "PodDefault {namespace}/{name} is said to be injected, but {}",
            not_selected(context)
        ));
    }
    let PodDefaultFacts::Present { resource_version } = &context.observed.pod_default else {
        return Some(format!("PodDefault {namespace}/{name} was deleted while the test ran"));
    };
    if version != resource_version {
        return Some(format!(
            "another version of PodDefault {namespace}/{name} was injected ({version} instead of {resource_version}): \
             something changes it"
        ));
    }
    let spec = pod.spec.as_ref();
    let container =
        spec.and_then(|spec| spec.containers.iter().find(|container| container.name == TEST_CONTAINER));
    let has_variable = container
        .iter()
        .flat_map(|container| container.env.iter().flatten())
        .any(|variable| variable.name == PIPELINES_TOKEN_ENV);
    let has_mount = container
        .iter()
        .flat_map(|container| container.volume_mounts.iter().flatten())
        .any(|mount| mount.name == PIPELINES_TOKEN_VOLUME);
    let has_volume = spec
        .and_then(|spec| spec.volumes.as_ref())
        .into_iter()
        .flatten()
        .any(|volume| volume.name == PIPELINES_TOKEN_VOLUME);
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

/// A PodDefault that the test names and that did not reach the pod.
fn of_named(context: Context<'_>, pod: &Pod) -> Option<String> {
    let name = context.test.pod_defaults.iter().find(|name| injected(pod, name).is_none())?;
    let namespace = &context.run.namespace;
    Some(format!("PodDefault {namespace}/{name} was not injected: {}", likely(context)))
}

/// What was changed that no PodDefault may change: whose rights the pod has. A test that asks for none is looked at too: a
/// PodDefault may select more pods than its author meant.
fn of_account(context: Context<'_>, job: &Job, pod: &Pod) -> Option<String> {
    let asked = job.spec.as_ref().and_then(|job| job.template.spec.as_ref());
    let given = pod.spec.as_ref();
    let account = given.and_then(|spec| spec.service_account_name.as_deref());
    if account != Some(context.run.service_account.as_str()) {
        return Some(format!(
            "a PodDefault changed the pod's service account from {} to {}",
            context.run.service_account,
            account.unwrap_or("none")
        ));
    }
    let automounts = |spec: Option<&PodSpec>| spec.and_then(|spec| spec.automount_service_account_token);
    (automounts(asked) != automounts(given))
        .then(|| "a PodDefault changed whether the pod gets a token for the Kubernetes API".to_owned())
}

/// The version of a PodDefault that the webhook says it injected.
fn injected<'a>(pod: &'a Pod, name: &str) -> Option<&'a String> {
    pod.metadata.annotations.as_ref()?.get(&format!("{PODDEFAULT_ANNOTATION_PREFIX}{name}"))
}

/// Whether the webhook acts in the target namespace at all. A label that is not known is not held against the pod.
fn is_selected(context: Context<'_>) -> bool {
    context.observed.target_labels.as_ref().is_none_or(|labels| {
        labels.get(PROFILE_NAMESPACE_LABEL).map(String::as_str) == Some(PROFILE_NAMESPACE_VALUE)
    })
}

/// The sentence about a namespace in which the webhook does not act.
fn not_selected(context: Context<'_>) -> String {
    format!(
        "namespace {} lacks the label {PROFILE_NAMESPACE_LABEL}={PROFILE_NAMESPACE_VALUE}, by which the webhook selects \
         namespaces",
        context.run.namespace
    )
}

/// Why a PodDefault was passed over.
fn likely(context: Context<'_>) -> String {
    let known = context.observed.target_labels.is_some();
    if known && is_selected(context) {
        "is the admission webhook of PodDefaults installed, and does it select this namespace?".to_owned()
    } else {
        not_selected(context)
    }
}
