//! The gate: what must be ready before a test starts.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{PositiveDuration, ZeroableDuration};

/// What must be ready before the first test starts.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// Namespaces whose workloads (Deployments, StatefulSets, DaemonSets) must all be rolled out. Each must exist and hold at least one.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// How long to wait for readiness. Left out: 45m, or the run's timeout where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositiveDuration")]
    pub timeout: Option<PositiveDuration>,
    /// How long readiness must hold before a test starts.
    #[serde(default = "ten_seconds")]
    pub stable_for: ZeroableDuration,
}

/// The default of [`Gate::stable_for`].
fn ten_seconds() -> ZeroableDuration {
    ZeroableDuration("10s".into())
}
