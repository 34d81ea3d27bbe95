//! Stage test: the `E2ETest` is created and followed to its verdict.

use std::time::Duration;

use bootstrap_install::Claim;
use crds::{
    ExitCode,
    run_event::Stage,
    v1alpha1::{ConditionType, E2ETest, E2ETestStatus, RunReason, TestState, find},
};
use futures::TryStreamExt as _;
use kube::{
    Api,
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use tokio::time::{Instant, timeout_at};

use super::{create::create, stages::Figures};
use crate::{failure::Failure, progress::Progress};

/// What the operator gets beyond the run's own timeout to say that it has passed.
const GRACE: Duration = Duration::from_mins(2);

/// How long the cluster may be out of reach: an API server that is restarted, or upgraded, comes back within this.
const LOST_WITHIN: Duration = Duration::from_mins(5);

/// Creates the `E2ETest` and waits until it is finished. `seen` holds the latest state, also when this is dropped.
pub async fn test(
    claim: &Claim,
    e2etest: &E2ETest,
    progress: &Progress,
    seen: &mut Option<E2ETest>,
) -> Result<((), Figures), Failure> {
    let api: Api<E2ETest> = Api::all(claim.client().clone());
    let name = e2etest.metadata.name.clone().unwrap_or_default();
    *seen = Some(create(claim, e2etest, progress).await?);
    let limit = e2etest.spec.timeout.get().map_err(|error| Failure::usage(error.to_string()))?;
    follow(api, &name, Instant::now() + limit + GRACE, progress, seen).await.map(|()| ((), Figures::new()))
}

/// Follows the object until it is finished.
async fn follow(
    api: Api<E2ETest>,
    name: &str,
    deadline: Instant,
    progress: &Progress,
    seen: &mut Option<E2ETest>,
) -> Result<(), Failure> {
    let mut events = Box::pin(watch_object(api, name).default_backoff());
    let mut shown = Vec::new();
    let mut lost_since = None;
    loop {
        let object = match timeout_at(deadline, events.try_next()).await {
            Ok(Ok(Some(Some(object)))) if is_another(&object, seen.as_ref()) => {
                let why = format!("E2ETest {name} was deleted, and another was made in its place");
                return Err(Failure::infrastructure(why));
            }
            Ok(Ok(Some(Some(object)))) => object,
            Ok(Ok(Some(None))) => return Err(Failure::infrastructure(format!("E2ETest {name} was deleted"))),
            Ok(Ok(None)) => {
                return Err(Failure::infrastructure(format!("the watch of E2ETest {name} ended")));
            }
            Ok(Err(error)) => {
                let since = *lost_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= LOST_WITHIN {
                    let minutes = LOST_WITHIN.as_secs() / 60;
                    return Err(Failure::infrastructure(format!(
                        "the cluster has not answered for {minutes} min: {error}"
                    )));
                }
                progress.say(
                    Stage::Test,
                    format!("the connection to the cluster was lost and is sought again: {error}"),
                );
                continue;
            }
            Err(_) => {
                let last =
                    seen.as_ref().and_then(|object| object.status.as_ref()).map(columns).unwrap_or_default();
                return Err(Failure {
                    code: ExitCode::TimedOut,
                    message: format!("the operator did not finish E2ETest {name} in time; last seen: {last}"),
                });
            }
        };
        lost_since = None;
        let status = object.status.clone().unwrap_or_default();
        *seen = Some(object);
        for line in lines(&status) {
            if !shown.contains(&line) {
                progress.say(Stage::Test, line.clone());
                shown.push(line);
            }
        }
        if verdict(&status).is_some() {
            return Ok(());
        }
    }
}

/// Whether an object of the same name is not the one that was created: its verdict is of another run.
fn is_another(object: &E2ETest, created: Option<&E2ETest>) -> bool {
    created.is_some_and(|created| created.metadata.uid != object.metadata.uid)
}

/// The verdict with its sentence, once the run is finished.
pub fn verdict(status: &E2ETestStatus) -> Option<(RunReason, String)> {
    let finished = find(&status.conditions, ConditionType::Finished)?;
    if finished.status != "True" {
        return None;
    }
    let succeeded = find(&status.conditions, ConditionType::Succeeded)?;
    let reason = RunReason::from_name(&succeeded.reason).filter(|reason| reason.is_verdict())?;
    // A verdict and the condition's status cannot disagree; where they do, nobody can say what happened.
    let consistent = (succeeded.status == "True") == (reason == RunReason::TestsPassed);
    let reason = if consistent { reason } else { RunReason::Inconclusive };
    Some((reason, succeeded.message.clone()))
}

/// What is worth a line: what the gate waits for, and each test that started or ended.
fn lines(status: &E2ETestStatus) -> Vec<String> {
    let mut lines = Vec::new();
    let gate = find(&status.conditions, ConditionType::KubeflowReady);
    if let Some(gate) = gate.filter(|_| status.kubeflow.is_some()) {
        lines.push(format!("Kubeflow: {}", gate.message));
    }
    for test in &status.tests {
        let message = test.message.as_deref().map(|message| format!(": {message}")).unwrap_or_default();
        let word = match test.state {
            TestState::Pending => continue,
            TestState::Running if test.job.is_none() || test.message.is_some() => "is starting",
            TestState::Running => "is running",
            TestState::Passed => "passed",
            TestState::Failed => "failed",
            TestState::Error => "could not run",
            TestState::Inconclusive => "is inconclusive",
            TestState::NotRun => "did not run",
        };
        lines.push(format!("{} {word}{message}", test.name));
    }
    lines
}

/// The columns of `kubectl get e2etests` in one line.
fn columns(status: &E2ETestStatus) -> String {
    let succeeded = find(&status.conditions, ConditionType::Succeeded);
    let (value, reason) =
        succeeded.map_or(("Unknown", ""), |condition| (&condition.status, &condition.reason));
    let kubeflow = status.kubeflow.as_ref().map_or("-", |kubeflow| kubeflow.summary.as_str());
    let tests = status.tests_summary.as_deref().unwrap_or("-");
    format!("SUCCEEDED {value} REASON {reason} KUBEFLOW {kubeflow} TESTS {tests}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(finished: &str, succeeded: &str, reason: &str) -> E2ETestStatus {
        let time = "2026-01-01T00:00:00Z";
        serde_json::from_value(serde_json::json!({"conditions": [
            {"type": "Finished", "status": finished, "reason": reason, "message": "m", "lastTransitionTime": time},
            {"type": "Succeeded", "status": succeeded, "reason": reason, "message": "m", "lastTransitionTime": time},
        ]}))
        .unwrap()
    }

    #[test]
    fn a_verdict_needs_finished() {
        assert_eq!(verdict(&E2ETestStatus::default()), None);
        assert_eq!(verdict(&status("False", "Unknown", "Running")), None);
        assert_eq!(
            verdict(&status("True", "False", "TestsFailed")),
            Some((RunReason::TestsFailed, "m".into()))
        );
    }

    #[test]
    fn an_object_of_the_same_name_is_not_the_same_object() {
        let of = |uid: &str| -> E2ETest {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": "a", "uid": uid},
                "spec": {"targetNamespace": "ns", "tests": []},
            }))
            .unwrap()
        };
        assert!(is_another(&of("2"), Some(&of("1"))));
        assert!(!is_another(&of("1"), Some(&of("1"))));
    }

    #[test]
    fn a_contradiction_is_never_a_pass() {
        for (succeeded, reason) in
            [("False", "TestsPassed"), ("True", "TestsFailed"), ("Unknown", "TestsPassed")]
        {
            assert_eq!(
                verdict(&status("True", succeeded, reason)),
                Some((RunReason::Inconclusive, "m".into()))
            );
        }
        assert_eq!(
            verdict(&status("True", "True", "TestsPassed")),
            Some((RunReason::TestsPassed, "m".into()))
        );
        assert_eq!(verdict(&status("True", "True", "Novel")), None);
    }
}
