//! One entry of `spec.tests`.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Notebook, PositiveDuration, Resources, Script};

/// One test: exactly one of `notebook` and `script`, in a pod of its own.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.notebook), has(self.script)].exists_one(x, x)").message("give exactly one of notebook and script"))]
pub struct Test {
    /// Name, unique in the run: a DNS label of at most 40 characters.
    #[schemars(length(min = 1, max = 40), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Run a notebook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Notebook")]
    pub notebook: Option<Notebook>,
    /// Run a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Script")]
    pub script: Option<Script>,
    /// Image of the test's container.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Environment variables, taken literally.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub env: Vec<EnvVariable>,
    /// Requests and limits of the test's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Resources")]
    pub resources: Option<Resources>,
    /// Give the pod a token for the Kubeflow Pipelines API through a PodDefault, and prove that it arrived.
    #[serde(default)]
    pub pipeline_access: bool,
    /// User that the test runs as; never root.
    #[serde(default = "user")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: i64,
    /// How long the pod may take to start: scheduling, admission, image pull. Left out: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositiveDuration")]
    pub start_timeout: Option<PositiveDuration>,
    /// How long the test may run. Left out: 20m, or the run's timeout where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositiveDuration")]
    pub timeout: Option<PositiveDuration>,
}

/// An environment variable with a literal value.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct EnvVariable {
    /// Name.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Value.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// The default of [`Test::run_as_user`].
const fn user() -> i64 {
    1000
}
