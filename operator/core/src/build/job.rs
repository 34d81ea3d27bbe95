//! The Job of one attempt: one pod, once.

use std::time::Duration;

use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec},
        core::v1::PodTemplateSpec,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::{attempt_labels, metadata, pod};
use crate::{
    names,
    settings::Settings,
    validate::{Run, ValidTest},
};

/// How much longer than its pod a Job may live. A Job's own deadline deletes the pod with its logs, so it is only the last
/// backstop: for a pod that never reaches a node while no operator is there.
const LAST_BACKSTOP: Duration = Duration::from_mins(5);

/// The Job.
pub(crate) fn build(run: &Run, test: &ValidTest, attempt: i32, settings: &Settings) -> Job {
    let labels = attempt_labels(run, test, attempt);
    let lifetime = test.start_timeout + test.timeout + settings.grace;
    Job {
        metadata: metadata(run, names::job(&test.name, &run.uid, attempt), labels),
        spec: Some(JobSpec {
            active_deadline_seconds: Some(seconds(lifetime + LAST_BACKSTOP)),
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            // A second pod is made only once the first has ended, not already while it ends.
            pod_replacement_policy: Some("Failed".to_owned()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(pod::labels(run, test, attempt)),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod::build(run, test, attempt, lifetime, settings)),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}

/// Whole seconds, as Kubernetes counts deadlines.
pub(super) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
