//! One entry of `spec.tests`: what it runs, and what its pod is given.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::{
    names::kubeflow::PIPELINES_TOKEN_ENV,
    v1alpha1::{
        Amount, EnvVariable, PositiveDuration, ReceiptPolicy, Resources, Source, TaintEffect, Test,
        Toleration, TolerationOperator,
    },
};

use super::{InvalidSpec, Program, ValidSource, ValidTest, at_most, invalid, text, within};

/// Longest name of a test.
const MAX_TEST_NAME: usize = 40;
/// Most retries of a test.
const MAX_RETRIES: i32 = 10;
/// Largest user ID of a container.
const MAX_USER: i64 = i32::MAX as i64;

/// A test's startTimeout where the spec names none.
const START_TIMEOUT: Duration = Duration::from_mins(10);
/// A test's timeout where the spec names none.
const TEST_TIMEOUT: Duration = Duration::from_mins(20);

/// One test of the spec.
pub(super) fn valid_test(field: &str, test: &Test, run_timeout: Duration) -> Result<ValidTest, InvalidSpec> {
    if !text::is_label(&test.name) || test.name.len() > MAX_TEST_NAME {
        let problem = format!("{:?} is no DNS label of at most {MAX_TEST_NAME} characters", test.name);
        return Err(invalid(format!("{field}.name"), problem));
    }
    if !text::is_image(&test.image) {
        return Err(invalid(format!("{field}.image"), format!("{:?} is no name of an image", test.image)));
    }
    if !(1..=MAX_USER).contains(&test.run_as_user) {
        let problem = format!("must be from 1 to {MAX_USER}: tests never run as root");
        return Err(invalid(format!("{field}.runAsUser"), problem));
    }
    if !(0..=MAX_RETRIES).contains(&test.retries) {
        return Err(invalid(format!("{field}.retries"), format!("must be from 0 to {MAX_RETRIES}")));
    }
    let (program, bundled) = valid_program(field, test)?;
    check_env(&format!("{field}.env"), test)?;
    check_resources(&format!("{field}.resources"), test.resources.as_ref())?;
    check_all(&format!("{field}.requirements"), 64, &test.requirements, "requirement", text::is_requirement)?;
    check_all(&format!("{field}.podDefaults"), 16, &test.pod_defaults, "name", text::is_object_name)?;
    check_node_selector(&format!("{field}.nodeSelector"), &test.node_selector)?;
    at_most(&format!("{field}.tolerations"), 16, test.tolerations.len())?;
    for (position, toleration) in test.tolerations.iter().enumerate() {
        check_toleration(&format!("{field}.tolerations[{position}]"), toleration)?;
    }
    let limit = |name: &str, given: Option<&PositiveDuration>, default: Duration| {
        within(&format!("{field}.{name}"), given, default, run_timeout)
    };
    let receipt = if bundled { ReceiptPolicy::Required } else { ReceiptPolicy::Optional };
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
        start_timeout: limit("startTimeout", test.start_timeout.as_ref(), START_TIMEOUT)?,
        timeout: limit("timeout", test.timeout.as_ref(), TEST_TIMEOUT)?,
        retries: test.retries,
        receipt: test.receipt.unwrap_or(receipt),
    })
}

/// What a test runs, and whether that comes with the operator.
fn valid_program(field: &str, test: &Test) -> Result<(Program, bool), InvalidSpec> {
    match (&test.notebook, &test.script, &test.job) {
        (Some(notebook), None, None) => {
            let source = valid_source(&format!("{field}.notebook.source"), &notebook.source)?;
            let field = format!("{field}.notebook.parameters");
            at_most(&field, 64, notebook.parameters.len())?;
            if let Some(name) = notebook.parameters.keys().find(|name| !text::is_identifier(name)) {
                return Err(invalid(field, format!("{name:?} is no name of a variable")));
            }
            let parameters = notebook.parameters.clone();
            Ok((Program::Notebook { source, parameters }, notebook.source.bundled.is_some()))
        }
        (None, Some(script), None) => {
            let source = valid_source(&format!("{field}.script.source"), &script.source)?;
            let interpreter = script.interpreter.clone();
            check_words(&format!("{field}.script.interpreter"), 8, &interpreter)?;
            at_most(&format!("{field}.script.args"), 64, script.args.len())?;
            let bundled = script.source.bundled.is_some();
            Ok((Program::Script { source, interpreter, args: script.args.clone() }, bundled))
        }
        (None, None, Some(job)) => {
            check_words(&format!("{field}.job.command"), 64, &job.command)?;
            at_most(&format!("{field}.job.args"), 64, job.args.len())?;
            Ok((Program::Image { command: job.command.clone(), args: job.args.clone() }, false))
        }
        _ => Err(invalid(field, "give exactly one of notebook, script and job")),
    }
}

/// Where a test's text is.
fn valid_source(field: &str, source: &Source) -> Result<ValidSource, InvalidSpec> {
    match (&source.config_map, &source.inline, &source.bundled) {
        (Some(key), None, None) => {
            if !text::is_object_name(&key.name) {
                let problem = format!("{:?} is no name of a ConfigMap", key.name);
                return Err(invalid(format!("{field}.configMap.name"), problem));
            }
            if !text::is_config_map_key(&key.key) {
                let problem = format!("{:?} is no key of a ConfigMap", key.key);
                return Err(invalid(format!("{field}.configMap.key"), problem));
            }
            Ok(ValidSource::ConfigMap(key.clone()))
        }
        (None, Some(content), None) => {
            if content.is_empty() {
                return Err(invalid(format!("{field}.inline"), "is empty"));
            }
            Ok(ValidSource::Inline(content.clone()))
        }
        (None, None, Some(name)) => {
            let problem =
                format!("no test called {name:?} comes with this operator: use configMap or inline");
            Err(invalid(format!("{field}.bundled"), problem))
        }
        _ => Err(invalid(field, "give exactly one of configMap, inline and bundled")),
    }
}

/// A program with its first arguments, none of which is empty.
fn check_words(field: &str, limit: usize, words: &[String]) -> Result<(), InvalidSpec> {
    if words.is_empty() || words.iter().any(String::is_empty) {
        return Err(invalid(field, "is empty or holds an empty word: name a program"));
    }
    at_most(field, limit, words.len())
}

/// A list whose entries all have one form.
fn check_all(
    field: &str,
    limit: usize,
    entries: &[String],
    what: &str,
    is_right: fn(&str) -> bool,
) -> Result<(), InvalidSpec> {
    at_most(field, limit, entries.len())?;
    match entries.iter().enumerate().find(|(_, entry)| !is_right(entry)) {
        Some((position, entry)) => {
            Err(invalid(format!("{field}[{position}]"), format!("{entry:?} is no {what}")))
        }
        None => Ok(()),
    }
}

/// Variables, each once, and none that a field of its own sets.
fn check_env(field: &str, test: &Test) -> Result<(), InvalidSpec> {
    at_most(field, 64, test.env.len())?;
    let mut seen = BTreeSet::new();
    for (position, EnvVariable { name, .. }) in test.env.iter().enumerate() {
        let problem = if !text::is_variable(name) {
            "is no name of a variable"
        } else if !seen.insert(name) {
            "is set by an earlier entry"
        } else {
            continue;
        };
        return Err(invalid(format!("{field}[{position}].name"), format!("{name:?} {problem}")));
    }
    if test.pipeline_access && seen.iter().any(|name| *name == PIPELINES_TOKEN_ENV) {
        let problem = format!("sets {PIPELINES_TOKEN_ENV}, which pipelineAccess sets: leave out one of them");
        return Err(invalid(field, problem));
    }
    Ok(())
}

/// Amounts of resources.
fn check_resources(field: &str, resources: Option<&Resources>) -> Result<(), InvalidSpec> {
    let Some(Resources { requests, limits }) = resources else { return Ok(()) };
    for (name, amounts) in [("requests", requests), ("limits", limits)] {
        let field = format!("{field}.{name}");
        at_most(&field, 16, amounts.len())?;
        if let Some((resource, Amount(amount))) =
            amounts.iter().find(|(_, Amount(amount))| !text::is_amount(&amount.0))
        {
            let problem = format!("{resource} is {:?}, which is no amount such as 500m or 1Gi", amount.0);
            return Err(invalid(field, problem));
        }
    }
    Ok(())
}

/// Labels of nodes.
fn check_node_selector(field: &str, labels: &BTreeMap<String, String>) -> Result<(), InvalidSpec> {
    at_most(field, 16, labels.len())?;
    if let Some(key) = labels.keys().find(|key| !text::is_label_key(key)) {
        return Err(invalid(field, format!("{key:?} is no key of a label")));
    }
    if let Some(value) = labels.values().find(|value| !text::is_label_value(value)) {
        return Err(invalid(field, format!("{value:?} is no value of a label")));
    }
    Ok(())
}

/// A toleration as Kubernetes takes it.
fn check_toleration(field: &str, toleration: &Toleration) -> Result<(), InvalidSpec> {
    let exists = toleration.operator == TolerationOperator::Exists;
    let problem = if toleration.key.is_none() && !exists {
        "operator must be Exists where key is left out"
    } else if toleration.key.as_deref().is_some_and(|key| !text::is_label_key(key)) {
        "key is no key of a taint"
    } else if toleration.value.is_some() && exists {
        "value must be left out where operator is Exists"
    } else if toleration.value.as_deref().is_some_and(|value| !text::is_label_value(value)) {
        "value is no value of a taint"
    } else if toleration.toleration_seconds.is_some() && toleration.effect != Some(TaintEffect::NoExecute) {
        "tolerationSeconds needs the effect NoExecute"
    } else {
        return Ok(());
    };
    Err(invalid(field, problem))
}
