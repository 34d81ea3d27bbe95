//! Events of a `kfe2e` run: what `--output json` prints, one JSON object a line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    format::{FormatError, read},
    run_result::RunResult,
};

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

impl RunEvent {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no event, or one of a version that is not known.
    pub fn parse(line: &str) -> Result<Self, FormatError> {
        read(line, "run event", SCHEMA_VERSION)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(what: What) -> RunEvent {
        RunEvent { schema_version: SCHEMA_VERSION, time: "2026-11-23T12:00:00Z".parse().unwrap(), what }
    }

    #[test]
    fn every_event_reads_back() {
        let result = Box::new(crate::run_result::fixture());
        for what in [
            What::StageStarted { stage: Stage::Up },
            What::Progress { stage: Stage::Install, message: "12 of 40 objects".into() },
            What::StageFinished {
                stage: Stage::Test,
                seconds: 1.5,
                figures: [("a".to_owned(), 2.0)].into(),
                error: None,
            },
            What::RunFinished { result },
        ] {
            let event = event(what);
            let line = serde_json::to_string(&event).unwrap();
            assert_eq!(RunEvent::parse(&line).unwrap(), event);
        }
    }

    #[test]
    fn an_event_of_another_version_is_refused_whatever_else_it_holds() {
        let refusal = RunEvent::parse(r#"{"schemaVersion": 2, "event": "danced"}"#).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "a run event of schema version 2, and only 1 is known: use the kfe2e that wrote it"
        );
        for (line, sentence) in [
            ("", "no run event: EOF while parsing"),
            ("{}", "no run event: it has no schemaVersion"),
            (
                r#"{"schemaVersion": 1, "time": "2026-11-23T12:00:00Z", "event": "danced"}"#,
                "no run event: unknown variant `danced`",
            ),
        ] {
            let refusal = RunEvent::parse(line).unwrap_err().to_string();
            assert!(refusal.starts_with(sentence), "{refusal}");
        }
    }
}
