//! Checks a value against the CRD's schema as the API server would, so that a mistake is found before a cluster is made.
//!
//! The CRD is the one source of the rules. The API server drops unknown fields silently; here each is an error with its path.

use regex_lite::Regex;
use serde_json::{Map, Value};

/// The first thing in `value` that `schema` does not allow: its path, what is wrong, what is allowed.
pub fn check(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Some(type_) = schema.get("type").and_then(Value::as_str) else {
        return Ok(());
    };
    let limits = Limits { schema, path };
    match (type_, value) {
        ("object", Value::Object(fields)) => object(schema, fields, path),
        ("array", Value::Array(items)) => {
            limits.count("items", items.len(), "minItems", "maxItems")?;
            let item_schema = schema.get("items").unwrap_or(&Value::Null);
            (0..)
                .zip(items)
                .try_for_each(|(index, item)| check(item_schema, item, &format!("{path}[{index}]")))
        }
        ("string", Value::String(text)) => limits.text(text),
        ("integer", Value::Number(number)) if number.is_i64() => {
            limits.number(number.as_i64().unwrap_or_default())
        }
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => Ok(()),
        _ => Err(format!("{path}: must be of type {type_}, but is {}", kind(value))),
    }
}

/// Known and required fields, and each field's own schema.
fn object(schema: &Value, fields: &Map<String, Value>, path: &str) -> Result<(), String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in fields {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (properties.and_then(|known| known.get(name)), schema.get("additionalProperties")) {
            (Some(field), _) | (None, Some(field)) => check(field, value, &place)?,
            (None, None) => {
                let Some(known) = properties else { continue };
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                return Err(format!("{place}: unknown field; known here: {}", known.join(", ")));
            }
        }
    }
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    for name in required {
        if !fields.contains_key(name) {
            let place = if path.is_empty() { String::new() } else { format!("{path}: ") };
            return Err(format!("{place}the field {name} is missing"));
        }
    }
    Ok(())
}

/// The bounds of one schema, for values at one path.
struct Limits<'a> {
    schema: &'a Value,
    path: &'a str,
}

impl Limits<'_> {
    fn bound(&self, keyword: &str) -> Option<i64> {
        let bound = self.schema.get(keyword)?;
        // schemars writes bounds of integers as floating point numbers.
        #[allow(clippy::cast_possible_truncation, reason = "a bound of an integer is one")]
        bound.as_i64().or_else(|| bound.as_f64().map(|bound| bound as i64))
    }

    fn count(&self, what: &str, count: usize, min: &str, max: &str) -> Result<(), String> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        match (self.bound(min), self.bound(max)) {
            (Some(min), _) if count < min => Err(format!("{}: must have at least {min} {what}", self.path)),
            (_, Some(max)) if count > max => {
                Err(format!("{}: must have at most {max} {what}, but has {count}", self.path))
            }
            _ => Ok(()),
        }
    }

    fn text(&self, text: &str) -> Result<(), String> {
        self.count("characters", text.chars().count(), "minLength", "maxLength")?;
        if let Some(allowed) = self.schema.get("enum").and_then(Value::as_array) {
            let allowed: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            if !allowed.contains(&text) {
                return Err(format!("{}: {text:?} is not one of {}", self.path, allowed.join(", ")));
            }
        }
        if let Some(pattern) = self.schema.get("pattern").and_then(Value::as_str) {
            let regex = Regex::new(pattern).map_err(|error| format!("{}: {error}", self.path))?;
            if !regex.is_match(text) {
                return Err(format!("{}: {text:?} does not match {pattern}", self.path));
            }
        }
        Ok(())
    }

    fn number(&self, number: i64) -> Result<(), String> {
        match (self.bound("minimum"), self.bound("maximum")) {
            (Some(min), _) if number < min => {
                Err(format!("{}: must be at least {min}, but is {number}", self.path))
            }
            (_, Some(max)) if number > max => {
                Err(format!("{}: must be at most {max}, but is {number}", self.path))
            }
            _ => Ok(()),
        }
    }
}

/// The type of a value in the schema's words.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["tests"],
            "properties": {
                "tests": {
                    "type": "array", "minItems": 1, "maxItems": 2,
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string", "minLength": 1, "maxLength": 4, "pattern": "^[a-z]+$"},
                        "mode": {"type": "string", "enum": ["A", "B"]},
                        "user": {"type": "integer", "minimum": 1.0},
                        "selector": {"type": "object", "additionalProperties": {"type": "string"}},
                    }},
                },
            },
        })
    }

    #[test]
    fn a_right_value_passes() {
        let value = json!({"tests": [{"name": "ab", "mode": "A", "user": 7, "selector": {"x": "y"}}]});
        assert_eq!(check(&schema(), &value, "spec"), Ok(()));
    }

    #[test]
    fn each_mistake_is_named_with_its_path() {
        for (value, message) in [
            (
                json!({"tests": [{"nam": "a"}]}),
                "spec.tests[0].nam: unknown field; known here: mode, name, selector, user",
            ),
            (json!({"tests": [{}]}), "spec.tests[0]: the field name is missing"),
            (json!({}), "spec: the field tests is missing"),
            (json!({"tests": []}), "spec.tests: must have at least 1 items"),
            (
                json!({"tests": [{"name": "abcde"}]}),
                "spec.tests[0].name: must have at most 4 characters, but has 5",
            ),
            (json!({"tests": [{"name": "A"}]}), "spec.tests[0].name: \"A\" does not match ^[a-z]+$"),
            (json!({"tests": [{"name": "a", "mode": "C"}]}), "spec.tests[0].mode: \"C\" is not one of A, B"),
            (
                json!({"tests": [{"name": "a", "user": 0}]}),
                "spec.tests[0].user: must be at least 1, but is 0",
            ),
            (json!({"tests": [{"name": 3}]}), "spec.tests[0].name: must be of type string, but is number"),
            (
                json!({"tests": [{"name": "a", "selector": {"x": 1}}]}),
                "spec.tests[0].selector.x: must be of type string, but is number",
            ),
            (json!([]), "spec: must be of type object, but is array"),
        ] {
            assert_eq!(check(&schema(), &value, "spec"), Err(message.to_owned()));
        }
    }
}
