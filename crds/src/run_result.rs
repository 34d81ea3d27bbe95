//! The result of a `kfe2e` run, as it stands in `run.json`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
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
