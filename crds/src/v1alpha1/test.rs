//! One entry of `spec.tests`.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ImageProgram, Notebook, PositiveDuration, Resources, Script, Toleration, text_map::NodeLabels};

/// One test: exactly one of `notebook`, `script` and `job`, in a pod of its own.
#[derive(Clone, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.notebook), has(self.script), has(self.job)].exists_one(x, x)").message("give exactly one of notebook, script and job"))]
#[x_kube(validation = Rule::new("!self.pipelineAccess || !has(self.env) || self.env.all(e, e.name != 'KF_PIPELINES_SA_TOKEN_PATH')")
    .message("sets KF_PIPELINES_SA_TOKEN_PATH, which pipelineAccess sets: leave out one of them").field_path(".env"))]
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
    /// Run a program of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ImageProgram")]
    pub job: Option<ImageProgram>,
    /// Image of the test's container.
    #[schemars(length(min = 1, max = 1024), regex(pattern = "^[^\\s]+$"))]
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
    /// Python packages, as pip takes them, such as `kfp==2.17.0`: installed into a folder of the pod before the test starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(min = 1, max = 256), regex(pattern = "^[A-Za-z0-9][^\\r\\n]*$"))
    )]
    pub requirements: Vec<String>,
    /// Give the pod a token for the Kubeflow Pipelines API through a PodDefault, and prove that it arrived.
    #[serde(default)]
    pub pipeline_access: bool,
    /// Give the pod the token of its service account for the Kubernetes API.
    #[serde(default)]
    pub kubernetes_access: bool,
    /// PodDefaults of `targetNamespace` that the pod opts into, by the labels that their selectors ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))
    )]
    pub pod_defaults: Vec<String>,
    /// User that the test runs as; never root.
    #[serde(default = "user")]
    #[schemars(range(min = 1, max = 2_147_483_647))]
    pub run_as_user: i64,
    /// Pod Security level that the pod keeps within.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// Labels that the pod's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "NodeLabels")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that the pod bears.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// How long the pod may take to start: scheduling, admission, image pull. Left out: 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositiveDuration")]
    pub start_timeout: Option<PositiveDuration>,
    /// How long the test may run. Left out: 20m, or the run's timeout where that is shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "PositiveDuration")]
    pub timeout: Option<PositiveDuration>,
    /// How often the test is tried again after it did not pass. A pass after that is shown as flaky.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10))]
    pub retries: i32,
    /// Whether the test must leave a receipt of what it checked: a file that it writes at `$E2E_RECEIPT`, such as
    /// `{"checks": [{"name": "accuracy", "ok": true, "evidence": "0.93"}]}`. Left out: `Required` for bundled tests, else `Optional`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ReceiptPolicy")]
    pub receipt: Option<ReceiptPolicy>,
}

impl Test {
    /// A test that runs nothing yet, everything else at its default.
    pub fn new(name: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            notebook: None,
            script: None,
            job: None,
            image: image.into(),
            env: Vec::new(),
            resources: None,
            requirements: Vec::new(),
            pipeline_access: false,
            kubernetes_access: false,
            pod_defaults: Vec::new(),
            run_as_user: user(),
            pod_security: PodSecurity::default(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            start_timeout: None,
            timeout: None,
            retries: 0,
            receipt: None,
        }
    }
}

/// An environment variable with a literal value.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub struct EnvVariable {
    /// Name.
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[-._a-zA-Z][-._a-zA-Z0-9]*$"))]
    pub name: String,
    /// Value.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    pub value: String,
}

/// Whether a test must leave a receipt.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum ReceiptPolicy {
    /// A receipt is judged where there is one.
    Optional,
    /// Without a receipt that names at least one check, nobody can say that the test passed.
    Required,
}

/// A level of the Pod Security Standards.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurity {
    /// No capabilities and no way to more rights.
    #[default]
    Restricted,
    /// The capabilities that the container runtime gives by itself, and programs with set-user-ID: for images that use `sudo`.
    Baseline,
}

/// The default of [`Test::run_as_user`].
const fn user() -> i64 {
    1000
}
