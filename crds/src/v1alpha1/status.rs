//! What the operator saw and decided.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::TestReason;
use crate::verdict::truncate;

/// Where the run stands.
#[derive(Clone, Debug, Default, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct E2ETestStatus {
    /// Generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64")]
    pub observed_generation: Option<i64>,
    /// When the operator first saw the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub start_time: Option<Time>,
    /// When the operator first saw that the run is cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub cancel_time: Option<Time>,
    /// When the run finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub completion_time: Option<Time>,
    /// `KubeflowReady`, `Finished`, `Succeeded`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Passed tests of all tests, such as `1/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub tests_summary: Option<String>,
    /// What the gate sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KubeflowStatus")]
    pub kubeflow: Option<KubeflowStatus>,
    /// The tests, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tests: Vec<TestStatus>,
}

/// What the gate sees of Kubeflow.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeflowStatus {
    /// Ready objects of all objects, such as `48/52`.
    pub summary: String,
    /// Objects by component; those that are not ready first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub components: Vec<ComponentStatus>,
    /// Since when everything has been seen ready without a break.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub ready_since: Option<Time>,
}

/// One component of Kubeflow: the objects that share a `part-of` label, else a namespace.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// Name of the component.
    pub name: String,
    /// How many of its objects are ready.
    pub ready: i32,
    /// How many objects it has.
    pub total: i32,
    /// The first thing that keeps it from being ready: object, reason, detail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 1024))]
    pub blocking: Option<String>,
    /// When all of its objects were ready for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub first_ready_time: Option<Time>,
}

/// Where one test stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
pub enum TestState {
    /// Not started yet.
    #[default]
    Pending,
    /// Its Job exists or is about to.
    Running,
    /// It ran and passed.
    Passed,
    /// It ran and failed.
    Failed,
    /// The cluster kept it from running to its end.
    Error,
    /// It ran and nobody can say whether it passed.
    Inconclusive,
    /// The run ended before its turn.
    NotRun,
}

impl TestState {
    /// Whether the test is over.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// One test's status.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestStatus {
    /// Name of the test.
    pub name: String,
    /// Where it stands.
    pub state: TestState,
    /// Whether it passed only after an attempt that did not.
    #[serde(default)]
    pub flaky: bool,
    /// Number of the current attempt, from 1; 0 before the first. Written before the attempt's Job is created.
    #[serde(default)]
    pub attempt: i32,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TestReason")]
    pub reason: Option<TestReason>,
    /// One sentence: the failing cell with its exception, the exit code, or what the pod waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 1024))]
    pub message: Option<String>,
    /// The attempt's Job, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "JobReference")]
    pub job: Option<JobReference>,
    /// When the attempt's Job was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub start_time: Option<Time>,
    /// When the test was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub completion_time: Option<Time>,
    /// The notebook's code cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CellSummary")]
    pub cells: Option<CellSummary>,
    /// The earlier attempts, none of which passed, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["attempt".into()]))]
    pub attempts: Vec<AttemptStatus>,
}

impl TestStatus {
    /// The current attempt as an earlier one, which is what it is once the next begins.
    pub fn as_earlier_attempt(&self) -> AttemptStatus {
        AttemptStatus {
            attempt: self.attempt,
            state: self.state,
            reason: self.reason,
            message: self.message.as_deref().map(|message| truncate(message, MAX_EARLIER_MESSAGE)),
            job: self.job.clone(),
            start_time: self.start_time.clone(),
            completion_time: self.completion_time.clone(),
        }
    }
}

/// Longest message of an earlier attempt, in bytes: of 64 tests with 10 retries each, all must fit into one object.
const MAX_EARLIER_MESSAGE: usize = 512;

/// An attempt that did not pass and was followed by another.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// Number of the attempt, from 1.
    pub attempt: i32,
    /// How it ended.
    pub state: TestState,
    /// Why it did not pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "TestReason")]
    pub reason: Option<TestReason>,
    /// One sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 512))]
    pub message: Option<String>,
    /// Its Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "JobReference")]
    pub job: Option<JobReference>,
    /// When its Job was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub start_time: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Time")]
    pub completion_time: Option<Time>,
}

/// The Job of an attempt.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct JobReference {
    /// Name, in `targetNamespace`.
    pub name: String,
    /// UID: a Job of the same name with another UID is not ours.
    pub uid: String,
}

/// Counts of a notebook's code cells.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct CellSummary {
    /// Ended without an exception.
    pub passed: i32,
    /// Raised, or was running when the test ended.
    pub failed: i32,
    /// All code cells that are not empty.
    pub total: i32,
    /// Number of the cell that is running, counted as in messages; absent once the test is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32")]
    pub current: Option<i32>,
}
