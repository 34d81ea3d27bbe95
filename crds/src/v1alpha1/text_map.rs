//! Maps from short text to text, with bounds that a map of plain strings cannot state.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// The schema of a notebook's parameters.
pub(super) struct Parameters;

/// The schema of labels by which a node is chosen.
pub(super) struct NodeLabels;

/// A map of at most `entries`, whose keys match `key` and whose values are `value`.
fn schema(entries: u32, key: &str, message: &str, value: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": entries,
        "additionalProperties": value,
        "x-kubernetes-validations": [{ "rule": format!("self.all(k, k.matches('{key}'))"), "message": message }],
    })
}

impl JsonSchema for Parameters {
    fn schema_name() -> Cow<'static, str> {
        "Parameters".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json_schema!({ "type": "string", "maxLength": 4096 });
        schema(
            64,
            "^[A-Za-z_][A-Za-z0-9_]{0,62}$",
            "the names of parameters must be names of variables",
            &value,
        )
    }
}

impl JsonSchema for NodeLabels {
    fn schema_name() -> Cow<'static, str> {
        "NodeLabels".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let value = json_schema!({
            "type": "string",
            "maxLength": 63,
            "pattern": "^([A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?)?$",
        });
        let key = "^([a-z0-9]([-.a-z0-9]*[a-z0-9])?/)?[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$";
        schema(16, key, "the names of node labels must be such as kubernetes.io/arch", &value)
    }
}
