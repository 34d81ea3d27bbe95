//! The `E2ETest` of a run: read from a file, checked by the CRD's own rules.

use std::{fs, path::Path};

use crds::v1alpha1::E2ETest;
use kube::{CustomResourceExt as _, core::cel::validate_cel};
use serde_json::Value;

use super::{schema, yaml};
use crate::failure::Failure;

/// The one `E2ETest` in a YAML or JSON file.
pub fn read(path: &Path) -> Result<E2ETest, Failure> {
    let place = path.display();
    let text = fs::read_to_string(path).map_err(|error| Failure::usage(format!("{place}: {error}")))?;
    let value = yaml::parse(&text).map_err(|problem| Failure::usage(format!("{place}: {problem}")))?;
    parse(&value).map_err(|problem| Failure::usage(format!("{place}: {problem}")))
}

/// Checks an object that was made from flags by the same rules as one from a file.
pub fn check(e2etest: &E2ETest) -> Result<(), Failure> {
    let value = serde_json::to_value(e2etest).map_err(|error| Failure::usage(error.to_string()))?;
    parse(&value).map(|_| ()).map_err(Failure::usage)
}

/// A value as an `E2ETest` that the API server would accept.
fn parse(value: &Value) -> Result<E2ETest, String> {
    let crd = E2ETest::crd();
    let version = format!("{}/v1alpha1", crd.spec.group);
    for (field, wanted) in [("apiVersion", version.as_str()), ("kind", crd.spec.names.kind.as_str())] {
        match value.get(field).and_then(Value::as_str) {
            Some(found) if found == wanted => {}
            Some(found) => return Err(format!("{field}: must be {wanted}, but is {found}")),
            None => return Err(format!("the field {field} is missing: it must be {wanted}")),
        }
    }
    match value.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Value::as_str) {
        Some(name) if is_object_name(name) => {}
        Some(name) => {
            return Err(format!("metadata.name: {name:?} must be a DNS name of at most 63 characters"));
        }
        None => return Err("the field metadata.name is missing".into()),
    }
    let schema = crd
        .spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .ok_or("the CRD has no schema")?;
    let mut schema = serde_json::to_value(schema).map_err(|error| error.to_string())?;
    admit_object_fields(&mut schema);
    schema::check(&schema, value, "")?;
    let e2etest: E2ETest = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
    validate_cel(&e2etest).map_err(|errors| {
        let first = errors.as_slice().first();
        first.map_or_else(|| errors.to_string(), |error| format!("{}: {}", error.field_path, error.message))
    })?;
    for (index, test) in (0_usize..).zip(&e2etest.spec.tests) {
        if e2etest.spec.tests.iter().take(index).any(|earlier| earlier.name == test.name) {
            return Err(format!("spec.tests[{index}].name: {:?} is the name of an earlier test", test.name));
        }
    }
    Ok(e2etest)
}

/// The CRD's schema leaves out what every object has; `metadata` is checked by the API server.
fn admit_object_fields(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for field in ["apiVersion", "kind", "metadata"] {
            properties.insert(field.into(), Value::Object(serde_json::Map::new()));
        }
    }
}

/// Whether the API server takes `name`, and our own rule that it fits a label.
fn is_object_name(name: &str) -> bool {
    let inner = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    name.len() <= 63
        && name.split('.').all(|part| {
            part.starts_with(inner) && part.ends_with(inner) && part.chars().all(|c| inner(c) || c == '-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: e2e.kubeflow.org/v1alpha1\nkind: E2ETest\nmetadata: {name: a}\n";

    fn parsed(yaml: &str) -> Result<E2ETest, String> {
        parse(&yaml::parse(yaml)?)
    }

    #[test]
    fn a_right_file_gets_its_defaults() {
        let spec = "spec: {targetNamespace: ns, tests: [{name: t, image: i, script: {source: {inline: x}}}]}";
        let e2etest = parsed(&format!("{HEAD}{spec}")).unwrap();
        assert_eq!(e2etest.spec.service_account_name, "default-editor");
        assert_eq!(e2etest.spec.tests[0].run_as_user, 1000);
    }

    #[test]
    fn mistakes_are_named_with_their_path() {
        for (spec, message) in [
            (
                "spec: {targetNamespace: ns, tests: [{name: t, image: i, scrpt: {}}]}",
                "spec.tests[0].scrpt: unknown field; known here: env, image, job, kubernetesAccess, name, nodeSelector, notebook, \
                 pipelineAccess, podDefaults, podSecurity, receipt, requirements, resources, retries, runAsUser, script, \
                 startTimeout, timeout, tolerations",
            ),
            (
                "spec: {targetNamespace: ns, tests: [{name: t, image: i, script: {source: {inline: x}}, notebook: {source: {inline: x}}}]}",
                "spec.tests[0]: give exactly one of notebook, script and job",
            ),
            (
                "spec: {targetNamespace: ns, timeout: 1x, tests: [{name: t, image: i, script: {source: {inline: x}}}]}",
                "spec.timeout: must be a duration of at least 1s: whole hours, minutes and seconds, such as 1h30m",
            ),
            (
                "spec: {targetNamespace: ns, tests: [&t {name: t, image: i, script: {source: {inline: x}}}, *t]}",
                "spec.tests[1].name: \"t\" is the name of an earlier test",
            ),
            ("spec: {tests: []}", "spec.tests: must have at least 1 items"),
            ("", "the field spec is missing"),
        ] {
            assert_eq!(parsed(&format!("{HEAD}{spec}")).unwrap_err(), message);
        }
        assert_eq!(
            parsed("apiVersion: v1\nkind: Pod").unwrap_err(),
            "apiVersion: must be e2e.kubeflow.org/v1alpha1, but is v1"
        );
    }
}
