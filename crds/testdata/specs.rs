//! The table beside this file, for the tests that judge a spec as the API server does and as the operator does.

use serde_json::{Value, json};

/// The table.
const TABLE: &str = include_str!("specs.yaml");

/// The cases of a kind: `accepted`, `refused`, or `counted` among what has a bound together.
pub(crate) fn cases(kind: &str) -> Vec<Value> {
    let table: Value = serde_saphyr::from_str(TABLE).unwrap();
    table[kind].as_array().unwrap().clone()
}

/// The least spec, with the fields of a case: `spec` of its own, `test` of its test.
pub(crate) fn spec_of(case: &Value) -> Value {
    let test = json!({"name": "a", "image": "i", "script": {"source": {"inline": "x"}}});
    let mut spec = json!({"targetNamespace": "ns", "tests": [test]});
    put(&mut spec, &case["spec"]);
    if let Some(test) = spec["tests"].get_mut(0) {
        put(test, &case["test"]);
    }
    spec
}

/// Replaces fields; null removes one.
pub(crate) fn put(object: &mut Value, fields: &Value) {
    for (name, value) in fields.as_object().into_iter().flatten() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
}
