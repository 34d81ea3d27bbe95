//! The result of a `kfe2e` run, as it stands in `run.json`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    format::{FormatError, read},
    run_event::Stage,
    v1alpha1::{CellSummary, ComponentStatus, RunReason, TestReason, TestState},
};

/// Version of [`RunResult`]'s format.
pub const SCHEMA_VERSION: i32 = 1;

/// A finished run.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// [`SCHEMA_VERSION`].
    pub schema_version: i32,
    /// Name of the run; also of its `E2ETest`.
    pub run: String,
    /// Version of `kfe2e`.
    pub version: String,
    /// Exit code of `kfe2e`.
    pub exit_code: u8,
    /// The verdict's reason; absent when the run ended before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RunReason>,
    /// One sentence that says how the run ended, and why.
    pub message: String,
    /// When it began.
    pub start_time: Timestamp,
    /// When it ended.
    pub completion_time: Timestamp,
    /// What ran: versions and images by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// The stages that were begun, in order.
    pub stages: Vec<StageResult>,
    /// Components of Kubeflow as the gate last saw them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentStatus>,
    /// The tests, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<TestResult>,
    /// What could not be collected, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl RunResult {
    /// Reads a `run.json`.
    ///
    /// # Errors
    /// It is no result, or one of a version that is not known.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        read(text, "run result", SCHEMA_VERSION)
    }
}

/// How long a stage took and how it ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StageResult {
    /// Which.
    pub stage: Stage,
    /// How long it took.
    pub seconds: f64,
    /// Figures of the stage by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, f64>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One test's result.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// Name of the test.
    pub name: String,
    /// How it ended.
    pub state: TestState,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<TestReason>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// From the Job to the verdict; absent when it never started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The notebook's code cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<CellSummary>,
    /// Files of this test, relative to the output folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
}

/// A result with everything that one can hold.
#[cfg(test)]
pub(crate) fn fixture() -> RunResult {
    let time = "2026-11-23T12:00:00Z".parse().unwrap();
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: "kubeflow".into(),
        version: "0.1.0".into(),
        exit_code: 1,
        reason: Some(RunReason::TestsFailed),
        message: "1 of 1 tests failed: a".into(),
        start_time: time,
        completion_time: time,
        environment: [("kubernetes".to_owned(), "v1.36.3".to_owned())].into(),
        stages: vec![StageResult {
            stage: Stage::Up,
            seconds: 7.3,
            figures: [].into(),
            error: Some("x".into()),
        }],
        components: vec![ComponentStatus {
            name: "c".into(),
            ready: 1,
            total: 2,
            ..ComponentStatus::default()
        }],
        tests: vec![TestResult {
            name: "a".into(),
            state: TestState::Failed,
            reason: Some(TestReason::CellFailed),
            message: Some("cell 3".into()),
            seconds: Some(3.0),
            cells: Some(CellSummary { passed: 2, failed: 1, total: 5, current: None }),
            files: vec!["a/executed.ipynb".into()],
        }],
        problems: vec!["the log of b".into()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_wrote_and_no_other_version() {
        let text = serde_json::to_string(&fixture()).unwrap();
        assert_eq!(RunResult::parse(&text).unwrap(), fixture());
        let newer = text.replacen("\"schemaVersion\":1", "\"schemaVersion\":2", 1);
        let refusal = RunResult::parse(&newer).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "a run result of schema version 2, and only 1 is known: use the kfe2e that wrote it"
        );
    }
}
