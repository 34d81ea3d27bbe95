//! Events of a `kfe2e` run: what `--output json` prints, one JSON object a line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::run_result::RunResult;

/// Version of [`RunEvent`]'s format.
pub const SCHEMA_VERSION: i32 = 1;

/// A resumable part of a run, in order.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Make or find the cluster.
    Up,
    /// Install Kubeflow.
    Install,
    /// Deploy the operator.
    Deploy,
    /// Create the `E2ETest` and follow it to its verdict.
    Test,
    /// Bring back the evidence and write the report.
    Collect,
    /// Remove what the run made.
    Down,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] = [Self::Up, Self::Install, Self::Deploy, Self::Test, Self::Collect, Self::Down];

    /// The stage as people read it, the same as on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Install => "install",
            Self::Deploy => "deploy",
            Self::Test => "test",
            Self::Collect => "collect",
            Self::Down => "down",
        }
    }
}

/// One line of `--output json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunEvent {
    /// [`SCHEMA_VERSION`].
    pub schema_version: i32,
    /// When it happened.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum What {
    /// A stage began.
    StageStarted {
        /// Which.
        stage: Stage,
    },
    /// Something worth a line happened in a stage.
    Progress {
        /// In which stage.
        stage: Stage,
        /// One sentence.
        message: String,
    },
    /// A stage ended.
    StageFinished {
        /// Which.
        stage: Stage,
        /// How long it took.
        seconds: f64,
        /// Figures of the stage by name, such as `nodeReadySeconds`.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        figures: BTreeMap<String, f64>,
        /// What went wrong; absent when nothing did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// The run ended; the last event.
    RunFinished {
        /// The same as `run.json`.
        result: Box<RunResult>,
    },
}
