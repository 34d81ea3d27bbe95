//! A notebook's parameters, as a cell that assigns them: papermill's convention.

use serde_json::{Value, json};

/// Tag of the cell that holds a notebook's own values.
pub const PARAMETERS: &str = "parameters";

/// Tag of the cell that assigns the given ones.
pub const INJECTED: &str = "injected-parameters";

/// The cell that assigns these values in Python.
pub fn cell(parameters: &[(String, String)]) -> Value {
    let assign = |(name, value): &(String, String)| format!("{name} = {}", python(value));
    let lines = parameters.iter().map(assign).collect::<Vec<_>>().join("\n");
    json!({
        "cell_type": "code",
        "id": INJECTED,
        "metadata": { "tags": [INJECTED] },
        "execution_count": null,
        "outputs": [],
        "source": format!("# Parameters of the test\n{lines}"),
    })
}

/// A value as Python writes it: what reads as JSON, or as one of Python's own words, is that; all else is text.
fn python(value: &str) -> String {
    match value {
        "True" | "False" | "None" => value.to_owned(),
        _ => literal(&serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))),
    }
}

/// JSON as Python writes it. Text and numbers are the same in both.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(_) | Value::String(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), literal(value))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_python_reads_them() {
        for (value, expected) in [
            ("1", "1"),
            ("1.5", "1.5"),
            ("true", "True"),
            ("False", "False"),
            ("null", "None"),
            ("mnist", "\"mnist\""),
            ("", "\"\""),
            ("\"1.10\"", "\"1.10\""),
            ("a\"b\\c\nd", "\"a\\\"b\\\\c\\nd\""),
            ("1; import os", "\"1; import os\""),
            ("[1, true, {\"a\": null}]", "[1, True, {\"a\": None}]"),
        ] {
            assert_eq!(python(value), expected, "{value}");
        }
    }

    #[test]
    fn the_cell_assigns_each_in_a_line() {
        let cell = cell(&[("steps".into(), "3".into()), ("name".into(), "x".into())]);
        assert_eq!(cell["source"], "# Parameters of the test\nsteps = 3\nname = \"x\"");
        assert_eq!(cell["metadata"]["tags"], json!([INJECTED]));
    }
}
