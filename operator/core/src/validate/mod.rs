//! From the spec as it was written to one that can be run: parsed once, so that nothing later has to doubt it.
//!
//! The API server's rules refuse nearly all of this already; an object may have been stored before a rule existed.

mod test;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::v1alpha1::{
    ConfigMapKey, E2ETest, E2ETestSpec, EnvVariable, Gate, IgnoredObjects, PodSecurity, PositiveDuration,
    ReceiptPolicy, Resources, Test, Toleration, ZeroableDuration,
};

use crate::gate::{Over, Pattern, Target};

/// Most characters of what people write into tests: with twice as many inline sources, the object grows too large for a client
/// to apply it, and with more of the rest no room is left for the status.
const MAX_CHARACTERS: usize = 262_144;
/// Most tests of a run, and most that run at once.
const MAX_TESTS: usize = 64;

/// The gate's timeout where the spec names none.
const GATE_TIMEOUT: Duration = Duration::from_mins(45);

/// A run whose spec makes sense.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) service_account: String,
    pub(crate) gate: Option<ValidGate>,
    pub(crate) tests: Vec<ValidTest>,
    pub(crate) max_parallel: usize,
    pub(crate) fail_fast: bool,
    pub(crate) timeout: Duration,
    pub(crate) cancel: bool,
}

/// What must be ready before the first test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValidGate {
    pub(crate) target: Target,
    pub(crate) timeout: Duration,
    pub(crate) stable_for: Duration,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValidTest {
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) image: String,
    pub(crate) env: Vec<EnvVariable>,
    pub(crate) resources: Option<Resources>,
    pub(crate) requirements: Vec<String>,
    pub(crate) pipeline_access: bool,
    pub(crate) kubernetes_access: bool,
    pub(crate) pod_defaults: Vec<String>,
    pub(crate) run_as_user: i64,
    pub(crate) pod_security: PodSecurity,
    pub(crate) node_selector: BTreeMap<String, String>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) start_timeout: Duration,
    pub(crate) timeout: Duration,
    pub(crate) retries: i32,
    pub(crate) receipt: ReceiptPolicy,
}

/// What the runner is told to run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Program {
    Notebook { source: ValidSource, parameters: BTreeMap<String, String> },
    Script { source: ValidSource, interpreter: Vec<String>, args: Vec<String> },
    Image { command: Vec<String>, args: Vec<String> },
}

impl Program {
    /// The runner's command for it.
    pub(crate) const fn command(&self) -> &'static str {
        match self {
            Self::Notebook { .. } => "notebook",
            Self::Script { .. } => "script",
            Self::Image { .. } => "program",
        }
    }

    /// Where its text is; a program of the image has none.
    pub(crate) const fn source(&self) -> Option<&ValidSource> {
        match self {
            Self::Notebook { source, .. } | Self::Script { source, .. } => Some(source),
            Self::Image { .. } => None,
        }
    }
}

/// Where the source's text is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ValidSource {
    Inline(String),
    ConfigMap(ConfigMapKey),
}

/// Why a spec cannot be run: the field, and what is wrong with it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct InvalidSpec {
    field: String,
    problem: String,
}

/// The error of one field.
fn invalid(field: impl Into<String>, problem: impl Into<String>) -> InvalidSpec {
    InvalidSpec { field: field.into(), problem: problem.into() }
}

/// The run that the spec describes.
///
/// # Errors
/// The first field that makes no sense.
pub(crate) fn validate(test: &E2ETest) -> Result<Run, InvalidSpec> {
    let spec = &test.spec;
    let uid = test.metadata.uid.clone().ok_or_else(|| invalid("metadata.uid", "is missing"))?;
    let name = test.metadata.name.clone().ok_or_else(|| invalid("metadata.name", "is missing"))?;
    if name.len() > 63 {
        return Err(invalid("metadata.name", "must have at most 63 characters: it becomes a label"));
    }
    let timeout = positive("spec.timeout", &spec.timeout)?;
    if !text::is_label(&spec.target_namespace) {
        let problem = format!("{:?} is no name of a namespace", spec.target_namespace);
        return Err(invalid("spec.targetNamespace", problem));
    }
    if !text::is_object_name(&spec.service_account_name) {
        let problem = format!("{:?} is no name of a service account", spec.service_account_name);
        return Err(invalid("spec.serviceAccountName", problem));
    }
    let max_parallel = usize::try_from(spec.max_parallel)
        .ok()
        .filter(|number| (1..=MAX_TESTS).contains(number))
        .ok_or_else(|| invalid("spec.maxParallel", format!("must be from 1 to {MAX_TESTS}")))?;
    if spec.tests.is_empty() {
        return Err(invalid("spec.tests", "is empty: name at least one test"));
    }
    at_most("spec.tests", MAX_TESTS, spec.tests.len())?;
    let mut seen = BTreeSet::new();
    let mut tests = Vec::with_capacity(spec.tests.len());
    for (position, entry) in spec.tests.iter().enumerate() {
        let field = format!("spec.tests[{position}]");
        if !seen.insert(&entry.name) {
            return Err(invalid(field, format!("the name {:?} is taken by an earlier test", entry.name)));
        }
        tests.push(test::valid_test(&field, entry, timeout)?);
    }
    let written: usize = spec.tests.iter().map(characters).sum();
    if written > MAX_CHARACTERS {
        let problem = format!(
            "inline sources, parameters, arguments, variables and requirements together have {written} characters, and may have \
             {MAX_CHARACTERS}: use configMap"
        );
        return Err(invalid("spec.tests", problem));
    }
    // Read once the run is over, from a spec that may have got another by then.
    kept_for(spec)?;
    Ok(Run {
        name,
        uid,
        namespace: spec.target_namespace.clone(),
        service_account: spec.service_account_name.clone(),
        gate: spec.kubeflow.as_ref().map(|gate| valid_gate(gate, timeout)).transpose()?,
        tests,
        max_parallel,
        fail_fast: spec.fail_fast,
        timeout,
        cancel: spec.cancel,
    })
}

/// How long a run is kept once it is over; `None` where that is for good.
///
/// # Errors
/// It is no duration.
pub(crate) fn kept_for(spec: &E2ETestSpec) -> Result<Option<Duration>, InvalidSpec> {
    let given = spec.ttl_after_finished.as_ref();
    given.map(|given| zeroable("spec.ttlAfterFinished", given)).transpose()
}

/// How many characters a test has of what has no other bound on all tests together; the same sum stands in the CRD as CEL.
fn characters(test: &Test) -> usize {
    let size = |text: &String| text.chars().count();
    let sizes = |texts: &[String]| texts.iter().map(size).sum::<usize>();
    let notebook = test.notebook.iter().map(|notebook| {
        let parameters = notebook.parameters.iter().map(|(key, value)| size(key) + size(value));
        notebook.source.inline.as_ref().map_or(0, size) + parameters.sum::<usize>()
    });
    let script =
        test.script.iter().map(|script| script.source.inline.as_ref().map_or(0, size) + sizes(&script.args));
    let job = test.job.iter().map(|job| sizes(&job.command) + sizes(&job.args));
    let env = test.env.iter().map(|variable| size(&variable.name) + size(&variable.value));
    notebook.chain(script).chain(job).chain(env).sum::<usize>() + sizes(&test.requirements)
}

/// The gate of the spec.
fn valid_gate(gate: &Gate, run_timeout: Duration) -> Result<ValidGate, InvalidSpec> {
    let namespaces = "spec.kubeflow.namespaces";
    if gate.inventory.is_some() != gate.namespaces.is_empty() {
        return Err(invalid("spec.kubeflow", "give exactly one of inventory and namespaces"));
    }
    if let Some(name) = gate.inventory.as_ref().filter(|name| !text::is_object_name(name)) {
        return Err(invalid("spec.kubeflow.inventory", format!("{name:?} is no name of an inventory")));
    }
    at_most(namespaces, 64, gate.namespaces.len())?;
    if let Some((position, name)) = gate.namespaces.iter().enumerate().find(|(_, name)| !text::is_label(name))
    {
        return Err(invalid(
            format!("{namespaces}[{position}]"),
            format!("{name:?} is no name of a namespace"),
        ));
    }
    at_most("spec.kubeflow.ignore", 64, gate.ignore.len())?;
    for (position, ignored) in gate.ignore.iter().enumerate() {
        check_ignored(&format!("spec.kubeflow.ignore[{position}]"), ignored)?;
    }
    let mut seen = BTreeSet::new();
    let over = gate.inventory.clone().map_or_else(
        || Over::Namespaces(gate.namespaces.iter().filter(|name| seen.insert(*name)).cloned().collect()),
        Over::Inventory,
    );
    Ok(ValidGate {
        target: Target { over, ignore: gate.ignore.iter().map(Pattern::from).collect() },
        timeout: within("spec.kubeflow.timeout", gate.timeout.as_ref(), GATE_TIMEOUT, run_timeout)?,
        stable_for: zeroable("spec.kubeflow.stableFor", &gate.stable_for)?,
    })
}

/// Objects that the gate passes over.
fn check_ignored(field: &str, ignored: &IgnoredObjects) -> Result<(), InvalidSpec> {
    if !text::is_kind(&ignored.kind) {
        return Err(invalid(format!("{field}.kind"), format!("{:?} is no kind of objects", ignored.kind)));
    }
    if let Some(name) = ignored.namespace.as_ref().filter(|name| !text::is_label(name)) {
        return Err(invalid(format!("{field}.namespace"), format!("{name:?} is no name of a namespace")));
    }
    if ignored.name.is_empty() {
        return Err(invalid(format!("{field}.name"), "is empty: * stands for any"));
    }
    Ok(())
}

/// A list that is not too long.
fn at_most(field: &str, limit: usize, count: usize) -> Result<(), InvalidSpec> {
    if count > limit {
        return Err(invalid(field, format!("has {count} entries, and may have {limit}")));
    }
    Ok(())
}

/// A duration that is within the run's, or a default that is cut to it.
fn within(
    field: &str,
    given: Option<&PositiveDuration>,
    default: Duration,
    run_timeout: Duration,
) -> Result<Duration, InvalidSpec> {
    let Some(text) = given else { return Ok(default.min(run_timeout)) };
    let duration = positive(field, text)?;
    if duration > run_timeout {
        return Err(invalid(field, format!("{text} is more than spec.timeout")));
    }
    Ok(duration)
}

/// A duration of at least a second.
fn positive(field: &str, text: &PositiveDuration) -> Result<Duration, InvalidSpec> {
    text.get().map_err(|error| invalid(field, error.to_string()))
}

/// A duration that may be zero.
fn zeroable(field: &str, text: &ZeroableDuration) -> Result<Duration, InvalidSpec> {
    text.get().map_err(|error| invalid(field, error.to_string()))
}
