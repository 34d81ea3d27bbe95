//! The kind `E2ETest` with the rules that the API server enforces.
//!
//! The rules were tried one by one on a real API server; what is silent here and looks redundant is not:
//! list-maps compare without order, so names are compared beside them, and a rule that compares durations must
//! not fail on one that is malformed, because that has a message of its own.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::{E2ETestStatus, Gate, PositiveDuration, Test, ZeroableDuration};

/// What to test, and how.
#[derive(Clone, CustomResource, Debug, Deserialize, KubeSchema, PartialEq, Serialize)]
#[kube(
    group = "e2e.kubeflow.org",
    version = "v1alpha1",
    kind = "E2ETest",
    status = "E2ETestStatus",
    shortname = "e2e",
    category = "kubeflow",
    doc = "E2ETest is one run of end-to-end tests against a Kubeflow installation.",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 63").message("metadata.name must have at most 63 characters: it becomes a label"),
    printcolumn(name = "Succeeded", type_ = "string", json_path = ".status.conditions[?(@.type==\"Succeeded\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason"),
    printcolumn(name = "Kubeflow", type_ = "string", json_path = ".status.kubeflow.summary"),
    printcolumn(name = "Tests", type_ = "string", json_path = ".status.testsSummary"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "self.targetNamespace == oldSelf.targetNamespace && self.serviceAccountName == oldSelf.serviceAccountName \
     && has(self.kubeflow) == has(oldSelf.kubeflow) && (!has(self.kubeflow) || self.kubeflow == oldSelf.kubeflow) \
     && self.tests == oldSelf.tests && self.tests.map(t, t.name) == oldSelf.tests.map(t, t.name) \
     && self.maxParallel == oldSelf.maxParallel && self.failFast == oldSelf.failFast && self.timeout == oldSelf.timeout")
    .message("spec cannot be changed, but for cancel and ttlAfterFinished: create a new E2ETest"))]
#[x_kube(validation = Rule::new("!oldSelf.cancel || self.cancel").message("cancel cannot be taken back").field_path(".cancel"))]
#[x_kube(validation = Rule::new(
    "!self.timeout.matches('^([0-9]{1,5}[hms]){1,3}$') || self.tests.all(t, \
     [has(t.startTimeout) ? t.startTimeout : '1s', has(t.timeout) ? t.timeout : '1s'] \
     .all(d, !d.matches('^([0-9]{1,5}[hms]){1,3}$') || duration(d) <= duration(self.timeout)))")
    .message("the startTimeout and timeout of each test must be within spec.timeout").field_path(".tests"))]
#[x_kube(validation = Rule::new(
    "!has(self.kubeflow) || !has(self.kubeflow.timeout) || !self.timeout.matches('^([0-9]{1,5}[hms]){1,3}$') \
     || !self.kubeflow.timeout.matches('^([0-9]{1,5}[hms]){1,3}$') || duration(self.kubeflow.timeout) <= duration(self.timeout)")
    .message("kubeflow.timeout must be within spec.timeout").field_path(".kubeflow.timeout"))]
#[x_kube(validation = Rule::new(
    "self.tests.map(t, \
     (has(t.notebook) && has(t.notebook.source.inline) ? size(t.notebook.source.inline) \
     : has(t.script) && has(t.script.source.inline) ? size(t.script.source.inline) : 0) \
     + (has(t.notebook) && has(t.notebook.parameters) \
     ? t.notebook.parameters.map(k, size(k) + size(t.notebook.parameters[k])).sum() : 0) \
     + (has(t.script) && has(t.script.args) ? t.script.args.map(a, size(a)).sum() : 0) \
     + (has(t.job) ? t.job.command.map(c, size(c)).sum() : 0) \
     + (has(t.job) && has(t.job.args) ? t.job.args.map(a, size(a)).sum() : 0) \
     + (has(t.env) ? t.env.map(e, size(e.name) + (has(e.value) ? size(e.value) : 0)).sum() : 0) \
     + (has(t.requirements) ? t.requirements.map(r, size(r)).sum() : 0)).sum() <= 262144")
    .message("inline sources, parameters, arguments, variables and requirements of all tests together must have at most 262144 \
              characters: use configMap").field_path(".tests"))]
pub struct E2ETestSpec {
    /// Namespace in which the tests run, usually a Kubeflow profile. It must carry the operator's RoleBinding.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub target_namespace: String,
    /// Service account of the tests' pods.
    #[serde(default = "default_editor")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"))]
    pub service_account_name: String,
    /// What must be ready before the first test starts. Left out: tests start at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Gate")]
    pub kubeflow: Option<Gate>,
    /// The tests.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tests: Vec<Test>,
    /// How many tests run at once.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub max_parallel: i32,
    /// Start no further test once one has not passed, its retries included; tests that run already go on to their end.
    #[serde(default)]
    pub fail_fast: bool,
    /// How long the whole run may take, the gate included.
    #[serde(default = "ninety_minutes")]
    pub timeout: PositiveDuration,
    /// Stop the run: it ends with the reason `Cancelled`. Cannot be taken back.
    #[serde(default)]
    pub cancel: bool,
    /// How long a finished run is kept before it is deleted with its Jobs. Left out: it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ZeroableDuration")]
    pub ttl_after_finished: Option<ZeroableDuration>,
}

impl E2ETestSpec {
    /// A run of these tests, everything else at its default.
    pub fn new(target_namespace: impl Into<String>, tests: Vec<Test>) -> Self {
        Self {
            target_namespace: target_namespace.into(),
            service_account_name: default_editor(),
            kubeflow: None,
            tests,
            max_parallel: four(),
            fail_fast: false,
            timeout: ninety_minutes(),
            cancel: false,
            ttl_after_finished: None,
        }
    }
}

/// The default of [`E2ETestSpec::service_account_name`].
fn default_editor() -> String {
    crate::names::kubeflow::DEFAULT_EDITOR.into()
}

/// The default of [`E2ETestSpec::max_parallel`].
const fn four() -> i32 {
    4
}

/// The default of [`E2ETestSpec::timeout`].
fn ninety_minutes() -> PositiveDuration {
    PositiveDuration("90m".into())
}
