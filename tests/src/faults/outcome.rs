//! What the world does to a run, and what the run must come to.

use std::fmt;

use serde_json::{Value, json};

/// The namespace at which every gate looks; the one Deployment in it is ready.
pub const GATE: &str = "kubeflow";

/// How a run goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The test passes.
    Pass,
    /// The test exits with code 3.
    Fail,
    /// The test runs on until the run's own timeout ends it.
    Timeout,
    /// Someone cancels the run while its test runs.
    Cancel,
    /// Someone deletes the run while its test runs.
    Delete,
    /// The pod lacks the PodDefault that the test needs, as there is no webhook.
    NotInjected,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Pass, Self::Fail, Self::Timeout, Self::Cancel, Self::Delete, Self::NotInjected];

    /// Status and reason of `Succeeded` at the end; `None` where the run is gone.
    pub const fn verdict(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Pass => Some(("True", "TestsPassed")),
            Self::Fail => Some(("False", "TestsFailed")),
            Self::Timeout => Some(("False", "TimedOut")),
            Self::Cancel => Some(("False", "Cancelled")),
            Self::NotInjected => Some(("False", "InfrastructureError")),
            Self::Delete => None,
        }
    }

    /// The run, in a namespace of the same name. Its gate is open.
    pub fn e2etest(self, name: &str, timeout: &str) -> Value {
        let mut test = json!({
            "name": "a", "image": "localhost/any:1", "script": { "source": { "inline": "pass" } },
            "pipelineAccess": self == Self::NotInjected,
        });
        let mut spec = json!({
            "targetNamespace": name, "serviceAccountName": "default-editor", "timeout": "10m",
            "kubeflow": { "namespaces": [GATE], "timeout": "5m", "stableFor": "0s" },
        });
        if self == Self::Timeout {
            for field in ["timeout", "startTimeout"] {
                test[field] = json!(timeout);
            }
            spec["timeout"] = json!(timeout);
            spec["kubeflow"]["timeout"] = json!(timeout);
        }
        spec["tests"] = json!([test]);
        json!({
            "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest",
            "metadata": { "name": name }, "spec": spec,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Timeout => "timeout",
            Self::Cancel => "cancel",
            Self::Delete => "delete",
            Self::NotInjected => "not injected",
        })
    }
}
