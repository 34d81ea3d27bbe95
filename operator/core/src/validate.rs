//! From the spec as it was written to one that can be run: parsed once, so that nothing later has to doubt it.
//!
//! The API server's rules refuse nearly all of this already; an object may have been stored before a rule existed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::{
    names::kubeflow::PIPELINES_TOKEN_ENV,
    v1alpha1::{
        ConfigMapKey, E2ETest, EnvVariable, Gate, PodSecurity, PositiveDuration, ReceiptPolicy, Resources,
        Source, Test, Toleration,
    },
};

use crate::gate::{Over, Pattern, Target};

/// Longest name of a test.
const MAX_TEST_NAME: usize = 40;

/// The gate's timeout where the spec names none.
const GATE_TIMEOUT: Duration = Duration::from_mins(45);
/// A test's startTimeout where the spec names none.
const START_TIMEOUT: Duration = Duration::from_mins(10);
/// A test's timeout where the spec names none.
const TEST_TIMEOUT: Duration = Duration::from_mins(20);

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
    pub(crate) ttl_after_finished: Option<Duration>,
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
    let timeout = duration("spec.timeout", &spec.timeout)?;
    if !is_label(&spec.target_namespace) {
        return Err(invalid(
            "spec.targetNamespace",
            format!("{:?} is no namespace's name", spec.target_namespace),
        ));
    }
    let max_parallel = usize::try_from(spec.max_parallel)
        .ok()
        .filter(|number| *number > 0)
        .ok_or_else(|| invalid("spec.maxParallel", "must be at least 1"))?;
    if spec.tests.is_empty() {
        return Err(invalid("spec.tests", "is empty: name at least one test"));
    }
    let mut seen = BTreeSet::new();
    let mut tests = Vec::with_capacity(spec.tests.len());
    for (position, entry) in spec.tests.iter().enumerate() {
        let field = format!("spec.tests[{position}]");
        if !seen.insert(&entry.name) {
            return Err(invalid(field, format!("the name {:?} is taken by an earlier test", entry.name)));
        }
        tests.push(valid_test(&field, entry, timeout)?);
    }
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
        ttl_after_finished: spec
            .ttl_after_finished
            .as_ref()
            .map(|given| given.get().map_err(|error| invalid("spec.ttlAfterFinished", error.to_string())))
            .transpose()?,
    })
}

/// One test of the spec.
fn valid_test(field: &str, test: &Test, run_timeout: Duration) -> Result<ValidTest, InvalidSpec> {
    if !is_label(&test.name) || test.name.len() > MAX_TEST_NAME {
        let problem = format!("{:?} is no DNS label of at most {MAX_TEST_NAME} characters", test.name);
        return Err(invalid(format!("{field}.name"), problem));
    }
    let (program, bundled) = valid_program(field, test)?;
    if test.image.trim().is_empty() {
        return Err(invalid(format!("{field}.image"), "is empty"));
    }
    if test.run_as_user < 1 {
        return Err(invalid(format!("{field}.runAsUser"), "must be at least 1: tests never run as root"));
    }
    if test.pipeline_access && test.env.iter().any(|variable| variable.name == PIPELINES_TOKEN_ENV) {
        let problem = format!("sets {PIPELINES_TOKEN_ENV}, which pipelineAccess sets: leave out one of them");
        return Err(invalid(format!("{field}.env"), problem));
    }
    let limit = |name: &str, given: &Option<PositiveDuration>, default: Duration| {
        let field = format!("{field}.{name}");
        given
            .as_ref()
            .map_or(Ok(default), |given| duration(&field, given))
            .map(|given| given.min(run_timeout))
    };
    Ok(ValidTest {
        name: test.name.clone(),
        program,
        image: test.image.clone(),
        env: test.env.clone(),
        resources: test.resources.clone(),
        requirements: test.requirements.clone(),
        pipeline_access: test.pipeline_access,
        kubernetes_access: test.kubernetes_access,
        pod_defaults: test.pod_defaults.clone(),
        run_as_user: test.run_as_user,
        pod_security: test.pod_security,
        node_selector: test.node_selector.clone(),
        tolerations: test.tolerations.clone(),
        start_timeout: limit("startTimeout", &test.start_timeout, START_TIMEOUT)?,
        timeout: limit("timeout", &test.timeout, TEST_TIMEOUT)?,
        retries: test.retries,
        receipt: test.receipt.unwrap_or(if bundled {
            ReceiptPolicy::Required
        } else {
            ReceiptPolicy::Optional
        }),
    })
}

/// What a test runs, and whether that comes with the operator.
fn valid_program(field: &str, test: &Test) -> Result<(Program, bool), InvalidSpec> {
    match (&test.notebook, &test.script, &test.job) {
        (Some(notebook), None, None) => {
            let source = valid_source(&format!("{field}.notebook.source"), &notebook.source)?;
            let parameters = notebook.parameters.clone();
            Ok((Program::Notebook { source, parameters }, notebook.source.bundled.is_some()))
        }
        (None, Some(script), None) => {
            if script.interpreter.is_empty() {
                return Err(invalid(format!("{field}.script.interpreter"), "is empty: name a program"));
            }
            let program = Program::Script {
                source: valid_source(&format!("{field}.script.source"), &script.source)?,
                interpreter: script.interpreter.clone(),
                args: script.args.clone(),
            };
            Ok((program, script.source.bundled.is_some()))
        }
        (None, None, Some(job)) => {
            if job.command.is_empty() {
                return Err(invalid(format!("{field}.job.command"), "is empty: name a program"));
            }
            Ok((Program::Image { command: job.command.clone(), args: job.args.clone() }, false))
        }
        _ => Err(invalid(field, "give exactly one of notebook, script and job")),
    }
}

/// Where a test's text is.
fn valid_source(field: &str, source: &Source) -> Result<ValidSource, InvalidSpec> {
    match (&source.config_map, &source.inline, &source.bundled) {
        (Some(key), None, None) => Ok(ValidSource::ConfigMap(key.clone())),
        (None, Some(text), None) => Ok(ValidSource::Inline(text.clone())),
        (None, None, Some(name)) => {
            let problem =
                format!("no test called {name:?} comes with this operator: use configMap or inline");
            Err(invalid(format!("{field}.bundled"), problem))
        }
        _ => Err(invalid(field, "give exactly one of configMap, inline and bundled")),
    }
}

/// The gate of the spec.
fn valid_gate(gate: &Gate, run_timeout: Duration) -> Result<ValidGate, InvalidSpec> {
    let mut seen = BTreeSet::new();
    let over = match &gate.inventory {
        Some(name) if gate.namespaces.is_empty() => Over::Inventory(name.clone()),
        None if !gate.namespaces.is_empty() => {
            Over::Namespaces(gate.namespaces.iter().filter(|name| seen.insert(*name)).cloned().collect())
        }
        Some(_) | None => {
            return Err(invalid("spec.kubeflow", "give exactly one of inventory and namespaces"));
        }
    };
    let timeout =
        gate.timeout.as_ref().map_or(Ok(GATE_TIMEOUT), |given| duration("spec.kubeflow.timeout", given))?;
    Ok(ValidGate {
        target: Target { over, ignore: gate.ignore.iter().map(Pattern::from).collect() },
        timeout: timeout.min(run_timeout),
        stable_for: gate
            .stable_for
            .get()
            .map_err(|error| invalid("spec.kubeflow.stableFor", error.to_string()))?,
    })
}

/// A duration of at least a second.
fn duration(field: &str, text: &PositiveDuration) -> Result<Duration, InvalidSpec> {
    text.get().map_err(|error| invalid(field, error.to_string()))
}

/// Whether `text` is a DNS label.
fn is_label(text: &str) -> bool {
    let inner = |character: char| matches!(character, 'a'..='z' | '0'..='9' | '-');
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
