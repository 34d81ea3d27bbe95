//! The operator judges a spec as the API server does: one table for both.

use serde_json::{Value, json};

use super::{support::*, table::*};
use crate::validate::validate;

/// What the operator says of a spec: nothing where it can be run.
fn said(spec: &Value) -> Result<(), String> {
    let object = json!({
        "apiVersion": "e2e.kubeflow.org/v1alpha1", "kind": "E2ETest", "metadata": {"name": "a", "uid": RUN_UID}, "spec": spec,
    });
    let test = serde_json::from_value(object).map_err(|error| format!("no E2ETest: {error}"))?;
    validate(&test).map(|_| ()).map_err(|error| error.to_string())
}

#[test]
fn what_the_api_server_accepts_can_be_run() {
    for case in cases("accepted") {
        assert_eq!(said(&spec_of(&case)), Ok(()), "{}", case["what"]);
    }
}

#[test]
fn what_the_api_server_refuses_cannot_be_run() {
    for case in cases("refused") {
        let refusal = said(&spec_of(&case)).expect_err(&case["what"].to_string());
        let expected = case["operator"].as_str().unwrap_or("no E2ETest: ");
        assert!(refusal.starts_with(expected), "{}: {refusal}", case["what"]);
    }
}

/// Fields of a test with more than 5000 characters in each of the places that count.
fn largest_fields() -> Vec<(String, Value)> {
    let long = |value: &Value| -> Value {
        let text = value.to_string().replace("LONG", &"x".repeat(4000));
        serde_json::from_str(&text).unwrap()
    };
    cases("counted").iter().map(|case| (case["what"].to_string(), long(&case["test"]))).collect()
}

#[test]
fn the_largest_specs_have_the_same_bounds() {
    let test = |name: &str, characters: usize| json!({"name": name, "image": "i", "script": {"source": {"inline": "ü".repeat(characters)}}});
    let of = |tests: Vec<Value>| json!({"targetNamespace": "ns", "tests": tests});
    assert_eq!(said(&of(vec![test("a", 131_072), test("b", 131_072)])), Ok(()));
    let refusal = said(&of(vec![test("a", 131_072), test("b", 131_073)])).unwrap_err();
    assert!(
        refusal.starts_with(
            "spec.tests: inline sources, parameters, arguments, variables and requirements together have 262145"
        ),
        "{refusal}"
    );
    for (what, fields) in largest_fields() {
        let spec = |first: usize| {
            let mut other = test("b", 1);
            other.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            other.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            of(vec![test("a", first), other])
        };
        assert_eq!(said(&spec(200_000)), Ok(()), "{what}");
        assert!(said(&spec(262_144 - 5_000)).is_err(), "{what} counts");
    }
    let many = |count: usize| of((0..count).map(|index| test(&format!("t{index}"), 1)).collect());
    assert_eq!(said(&many(64)), Ok(()));
    assert_eq!(said(&many(65)).unwrap_err(), "spec.tests: has 65 entries, and may have 64");
}

#[test]
fn a_test_that_comes_with_the_operator_has_to_be_known() {
    let spec = spec_of(&json!({"test": {"script": {"source": {"bundled": "mnsit"}}}}));
    let refusal = said(&spec).unwrap_err();
    assert_eq!(
        refusal,
        "spec.tests[0].script.source.bundled: no test called \"mnsit\" comes with this operator: use configMap or inline"
    );
}
