//! The run's children, one file for each kind.

mod config_map;
mod job;
mod pod;
pub(crate) mod pod_default;
mod token;

use std::collections::BTreeMap;

use crds::{names::label, v1alpha1::E2ETest};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource as _;

use crate::{
    effect::Effect,
    settings::Settings,
    validate::{Run, ValidSource, ValidTest},
};

/// Everything that an attempt needs, in the order in which it is made: the Job last, since its pod uses the rest.
/// The pod also carries the labels `opted_in`.
pub(crate) fn children(
    run: &Run,
    test: &ValidTest,
    attempt: i32,
    opted_in: &BTreeMap<String, String>,
    settings: &Settings,
) -> Vec<Effect> {
    let source = match test.program.source() {
        Some(ValidSource::Inline(content)) => {
            Some(Effect::ApplyConfigMap(Box::new(config_map::build(run, test, content))))
        }
        Some(ValidSource::ConfigMap(_)) | None => None,
    };
    let access = test.pipeline_access.then(|| Effect::ApplyPodDefault(Box::new(pod_default::build(run))));
    let mut job = job::build(run, test, attempt, settings);
    if let Some(spec) = &mut job.spec {
        let labels = spec.template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.extend(opted_in.clone());
    }
    source.into_iter().chain(access).chain([Effect::CreateJob(Box::new(job))]).collect()
}

/// Name, namespace, labels and owner of a child.
fn metadata(run: &Run, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(run.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![owner(run)]),
        ..ObjectMeta::default()
    }
}

/// Labels of everything that belongs to the run.
fn run_labels(run: &Run) -> BTreeMap<String, String> {
    labels([
        (label::MANAGED_BY, label::MANAGED_BY_VALUE),
        ("app.kubernetes.io/name", "e2etest"),
        ("app.kubernetes.io/instance", &run.name),
        ("app.kubernetes.io/part-of", "kubeflow-e2e"),
        (label::RUN, &run.name),
        (label::RUN_UID, &run.uid),
    ])
}

/// Labels of one test's objects.
fn test_labels(run: &Run, test: &ValidTest) -> BTreeMap<String, String> {
    let mut all = run_labels(run);
    all.insert(label::TEST.to_owned(), test.name.clone());
    all
}

/// Labels of one attempt's Job and pod.
fn attempt_labels(run: &Run, test: &ValidTest, attempt: i32) -> BTreeMap<String, String> {
    let mut all = test_labels(run, test);
    all.insert(label::ATTEMPT.to_owned(), attempt.to_string());
    all
}

/// A map from pairs.
fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The run as owner: Kubernetes itself deletes the children with it. Deleting it waits for none of them, which would
/// need the right to change its finalizers.
fn owner(run: &Run) -> OwnerReference {
    OwnerReference {
        api_version: E2ETest::api_version(&()).into_owned(),
        kind: E2ETest::kind(&()).into_owned(),
        name: run.name.clone(),
        uid: run.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

/// Whether the object of that UID controls this one.
pub(crate) fn is_ours(meta: &ObjectMeta, owner_uid: &str) -> bool {
    meta.owner_references
        .iter()
        .flatten()
        .any(|owner| owner.controller == Some(true) && owner.uid == owner_uid)
}
