//! From the spec as it was written to one that can be run: parsed once, so that nothing later has to doubt it.
//!
//! The API server's rules refuse nearly all of this already; an object may have been stored before a rule existed.

use std::{collections::BTreeSet, time::Duration};

use crds::{
    names::kubeflow::PIPELINES_TOKEN_ENV,
    v1alpha1::{ConfigMapKey, E2ETest, EnvVariable, Gate, PositiveDuration, Resources, Source, Test},
};

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
    pub(crate) timeout: Duration,
}

/// What must be ready before the first test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValidGate {
    pub(crate) namespaces: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) stable_for: Duration,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValidTest {
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) source: ValidSource,
    pub(crate) image: String,
    pub(crate) env: Vec<EnvVariable>,
    pub(crate) resources: Option<Resources>,
    pub(crate) pipeline_access: bool,
    pub(crate) run_as_user: i64,
    pub(crate) start_timeout: Duration,
    pub(crate) timeout: Duration,
}

/// What the runner is told to do with the source.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Program {
    Notebook,
    Script { interpreter: Vec<String>, args: Vec<String> },
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
        timeout,
    })
}

/// One test of the spec.
fn valid_test(field: &str, test: &Test, run_timeout: Duration) -> Result<ValidTest, InvalidSpec> {
    if !is_label(&test.name) || test.name.len() > MAX_TEST_NAME {
        let problem = format!("{:?} is no DNS label of at most {MAX_TEST_NAME} characters", test.name);
        return Err(invalid(format!("{field}.name"), problem));
    }
    let (program, source) = match (&test.notebook, &test.script) {
        (Some(notebook), None) => {
            (Program::Notebook, valid_source(&format!("{field}.notebook.source"), &notebook.source)?)
        }
        (None, Some(script)) => {
            if script.interpreter.is_empty() {
                return Err(invalid(format!("{field}.script.interpreter"), "is empty: name a program"));
            }
            let program =
                Program::Script { interpreter: script.interpreter.clone(), args: script.args.clone() };
            (program, valid_source(&format!("{field}.script.source"), &script.source)?)
        }
        (None, None) | (Some(_), Some(_)) => {
            return Err(invalid(field, "give exactly one of notebook and script"));
        }
    };
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
        source,
        image: test.image.clone(),
        env: test.env.clone(),
        resources: test.resources.clone(),
        pipeline_access: test.pipeline_access,
        run_as_user: test.run_as_user,
        start_timeout: limit("startTimeout", &test.start_timeout, START_TIMEOUT)?,
        timeout: limit("timeout", &test.timeout, TEST_TIMEOUT)?,
    })
}

/// Where a test's text is.
fn valid_source(field: &str, source: &Source) -> Result<ValidSource, InvalidSpec> {
    match (&source.inline, &source.config_map) {
        (Some(text), None) => Ok(ValidSource::Inline(text.clone())),
        (None, Some(key)) => Ok(ValidSource::ConfigMap(key.clone())),
        (None, None) | (Some(_), Some(_)) => Err(invalid(field, "give exactly one of configMap and inline")),
    }
}

/// The gate of the spec.
fn valid_gate(gate: &Gate, run_timeout: Duration) -> Result<ValidGate, InvalidSpec> {
    if gate.namespaces.is_empty() {
        return Err(invalid(
            "spec.kubeflow.namespaces",
            "is empty: name at least one, or leave out kubeflow",
        ));
    }
    let mut seen = BTreeSet::new();
    let timeout =
        gate.timeout.as_ref().map_or(Ok(GATE_TIMEOUT), |given| duration("spec.kubeflow.timeout", given))?;
    Ok(ValidGate {
        namespaces: gate.namespaces.iter().filter(|name| seen.insert(*name)).cloned().collect(),
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
