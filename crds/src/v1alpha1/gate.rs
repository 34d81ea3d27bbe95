//! The gate: what must be ready before a test starts.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PositiveDuration, ZeroableDuration};

/// What must be ready before the first test starts.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.inventory) != has(self.namespaces)").message("give exactly one of inventory and namespaces"))]
pub struct Gate {
    /// Name of the inventory whose objects must all be ready: a ConfigMap in the operator's namespace, written by
    /// `kfe2e run` or `kfe2e inventory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 1, max = 253),
        regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub inventory: Option<String>,
    /// Namespaces whose workloads (Deployments, StatefulSets, DaemonSets) must all be rolled out. Each must exist and hold at least one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))
    )]
    pub namespaces: Vec<String>,
    /// Objects that may be not ready. At least one object must remain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<IgnoredObjects>,
    /// How long to wait for readiness. Left out: 45m, or the run's timeout where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositiveDuration")]
    pub timeout: Option<PositiveDuration>,
    /// How long readiness must hold before a test starts.
    #[serde(default = "ten_seconds")]
    pub stable_for: ZeroableDuration,
}

impl Gate {
    /// A gate over the workloads of these namespaces, everything else at its default.
    pub fn over_namespaces(namespaces: Vec<String>) -> Self {
        Self { inventory: None, namespaces, ignore: Vec::new(), timeout: None, stable_for: ten_seconds() }
    }

    /// A gate over the objects of this inventory, everything else at its default.
    pub fn over_inventory(name: impl Into<String>) -> Self {
        Self { inventory: Some(name.into()), ..Self::over_namespaces(Vec::new()) }
    }
}

/// Objects that the gate passes over.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct IgnoredObjects {
    /// Kind, such as `Deployment`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Namespace. Left out: objects of any namespace, and those that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 1, max = 63),
        regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    pub namespace: Option<String>,
    /// Name; `*` stands for any characters, such as `spark-*`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// The default of [`Gate::stable_for`].
fn ten_seconds() -> ZeroableDuration {
    ZeroableDuration("10s".into())
}
