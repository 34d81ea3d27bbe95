//! What a run came to: pure, from what the stages and the `E2ETest` say.

use std::collections::BTreeMap;

use crds::{
    ExitCode,
    run_result::{RunResult, SCHEMA_VERSION, StageResult, TestResult},
    v1alpha1::{E2ETest, E2ETestStatus, RunReason, TestStatus},
};
use jiff::Timestamp;

use super::test::verdict;
use crate::failure::Failure;

/// What is known when a run is over.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// Name of the run.
    pub run: &'a str,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub completion_time: Timestamp,
    /// The stages, in order.
    pub stages: &'a [StageResult],
    /// What ended it before the verdict.
    pub stopped: Option<&'a Failure>,
    /// The latest state of the `E2ETest`.
    pub e2etest: Option<&'a E2ETest>,
    /// What went wrong after the verdict: nothing is a success that leaves something behind.
    pub clean_up: Option<&'a Failure>,
    /// Files by test.
    pub files: &'a BTreeMap<String, Vec<String>>,
    /// What could not be collected.
    pub problems: &'a [String],
    /// Versions and images.
    pub environment: &'a BTreeMap<String, String>,
}

/// The result of a run.
pub fn result(ended: &Ended<'_>) -> RunResult {
    let status = ended.e2etest.and_then(|e2etest| e2etest.status.clone()).unwrap_or_default();
    let verdict = verdict(&status);
    let (code, message) = end(ended.stopped, verdict.as_ref(), ended.clean_up);
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: ended.run.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        exit_code: code.code(),
        reason: verdict.map(|(reason, _)| reason),
        message,
        start_time: ended.start_time,
        completion_time: ended.completion_time,
        environment: ended.environment.clone(),
        stages: ended.stages.to_vec(),
        components: status.kubeflow.clone().map(|kubeflow| kubeflow.components).unwrap_or_default(),
        tests: tests(&status, ended.files),
        problems: ended
            .problems
            .iter()
            .cloned()
            .chain(ended.clean_up.map(|failure| failure.message.clone()))
            .collect(),
    }
}

/// Exit code and sentence: what stopped the run, else the verdict. A clean-up that failed turns a success into a failure.
fn end(
    stopped: Option<&Failure>,
    verdict: Option<&(RunReason, String)>,
    clean_up: Option<&Failure>,
) -> (ExitCode, String) {
    let of = |failure: &Failure| (failure.code, failure.message.clone());
    let reached = stopped.map(of).or_else(|| {
        let (reason, message) = verdict?;
        Some((ExitCode::of_verdict(*reason).unwrap_or(ExitCode::Inconclusive), message.clone()))
    });
    let left = clean_up.map(of);
    let (Some((ExitCode::Succeeded, _)), Some(left)) = (&reached, &left) else {
        return reached
            .or(left)
            .unwrap_or_else(|| (ExitCode::Inconclusive, "the run ended without a verdict".into()));
    };
    left.clone()
}

fn tests(status: &E2ETestStatus, files: &BTreeMap<String, Vec<String>>) -> Vec<TestResult> {
    let one = |test: &TestStatus| TestResult {
        name: test.name.clone(),
        state: test.state,
        reason: test.reason,
        message: test.message.clone(),
        seconds: test
            .start_time
            .as_ref()
            .zip(test.completion_time.as_ref())
            .map(|(start, end)| end.0.duration_since(start.0).as_secs_f64()),
        cells: test.cells,
        files: files.get(&test.name).cloned().unwrap_or_default(),
    };
    status.tests.iter().map(one).collect()
}

#[cfg(test)]
mod result_tests {
    use serde_json::json;

    use super::*;

    fn e2etest(succeeded: &str, reason: &str) -> E2ETest {
        let time = "2026-01-01T00:00:00Z";
        let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": reason, "message": "m", "lastTransitionTime": time});
        serde_json::from_value(json!({
            "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": "a"},
            "spec": {"targetNamespace": "ns", "tests": []},
            "status": {"conditions": [condition("Finished", "True"), condition("Succeeded", succeeded)]},
        }))
        .unwrap()
    }

    fn code(stopped: Option<&Failure>, e2etest: Option<&E2ETest>, clean_up: Option<&Failure>) -> u8 {
        result(&Ended {
            run: "a",
            start_time: Timestamp::UNIX_EPOCH,
            completion_time: Timestamp::UNIX_EPOCH,
            stages: &[],
            stopped,
            e2etest,
            clean_up,
            files: &BTreeMap::new(),
            problems: &[],
            environment: &BTreeMap::new(),
        })
        .exit_code
    }

    #[test]
    fn the_exit_code_is_the_worst_of_what_happened() {
        let (passed, failed) = (e2etest("True", "TestsPassed"), e2etest("False", "TestsFailed"));
        let cancelled = Failure { code: ExitCode::Cancelled, message: "cancelled".into() };
        let leak = Failure::infrastructure("a link is left");
        assert_eq!(code(None, Some(&passed), None), 0);
        assert_eq!(code(None, Some(&failed), None), 1);
        assert_eq!(code(None, Some(&e2etest("False", "KubeflowNotReady")), None), 3);
        assert_eq!(code(None, Some(&passed), Some(&leak)), 4);
        assert_eq!(code(None, Some(&failed), Some(&leak)), 1);
        assert_eq!(code(Some(&cancelled), Some(&passed), None), 130);
        assert_eq!(code(None, None, None), 6);
    }
}
