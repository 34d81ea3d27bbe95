//! How long the parts of a run took, read from its status when one of them ends.

use std::time::Duration;

use crds::v1alpha1::{ConditionType, E2ETestStatus, find};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use operator_core::is_finished;

/// A part of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// From the start of the run until Kubeflow was ready.
    Gate,
    /// One test, all of its attempts.
    Test,
    /// The whole run.
    Run,
}

impl Stage {
    /// The stage as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Test => "test",
            Self::Run => "run",
        }
    }
}

/// What ended between two statuses, and how long it took.
pub fn ended(before: Option<&E2ETestStatus>, after: &E2ETestStatus) -> Vec<(Stage, Duration)> {
    let none = E2ETestStatus::default();
    let before = before.unwrap_or(&none);
    let mut all = Vec::new();
    if let (None, Some(since)) = (ready_since(before), ready_since(after)) {
        all.extend(took(after.start_time.as_ref(), Some(since)).map(|took| (Stage::Gate, took)));
    }
    for test in &after.tests {
        let known = before.tests.iter().find(|known| known.name == test.name);
        if known.is_none_or(|known| known.completion_time.is_none()) {
            let took = took(test.start_time.as_ref(), test.completion_time.as_ref());
            all.extend(took.map(|took| (Stage::Test, took)));
        }
    }
    if is_finished(after) && !is_finished(before) {
        let took = took(after.start_time.as_ref(), after.completion_time.as_ref());
        all.extend(took.map(|took| (Stage::Run, took)));
    }
    all
}

/// Since when Kubeflow has been ready, if it is.
fn ready_since(status: &E2ETestStatus) -> Option<&Time> {
    let ready = find(&status.conditions, ConditionType::KubeflowReady)?;
    (ready.status == "True").then_some(&ready.last_transition_time)
}

/// The time between two moments; none where one of them is missing or they are in the wrong order.
fn took(from: Option<&Time>, to: Option<&Time>) -> Option<Duration> {
    Duration::try_from(to?.0.duration_since(from?.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> E2ETestStatus {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn each_part_is_measured_once_when_it_ends() {
        let started = status("{startTime: 2026-01-01T00:00:00Z}");
        let ready = "{type: KubeflowReady, status: 'True', reason: Ready, message: '', lastTransitionTime: 2026-01-01T00:01:00Z}";
        let open = status(&format!(
            "{{startTime: 2026-01-01T00:00:00Z, conditions: [{ready}], tests: [{{name: a, state: Running, startTime: 2026-01-01T00:01:00Z}}]}}"
        ));
        let finished = "{type: Finished, status: 'True', reason: TestsPassed, message: '', lastTransitionTime: 2026-01-01T00:03:00Z}";
        let over = status(&format!(
            "{{startTime: 2026-01-01T00:00:00Z, completionTime: 2026-01-01T00:03:00Z, conditions: [{ready}, {finished}], tests: \
             [{{name: a, state: Passed, startTime: 2026-01-01T00:01:00Z, completionTime: 2026-01-01T00:02:30Z}}]}}"
        ));
        let seconds = Duration::from_secs;
        assert_eq!(ended(None, &started), []);
        assert_eq!(ended(Some(&started), &open), [(Stage::Gate, seconds(60))]);
        assert_eq!(ended(Some(&open), &open), []);
        assert_eq!(ended(Some(&open), &over), [(Stage::Test, seconds(90)), (Stage::Run, seconds(180))]);
        assert_eq!(ended(Some(&over), &over), []);
    }
}
