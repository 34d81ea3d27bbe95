//! Prints the reference of the API, as it stands in `docs/reference/e2etest.md`: from the types and nothing else.

use std::{fmt::Write as _, io::Write as _};

use crds::{
    ExitCode,
    v1alpha1::{E2ETest, GateReason, RunReason, TestReason},
};
use kube::CustomResourceExt as _;
use schemars::{JsonSchema, schema_for};
use serde_json::Value;

const HEAD: &str = "\
# E2ETest

Written by `make manifests` from the types in `crds`: change those. `kubectl explain e2etest.spec` says the same.

API version `e2e.kubeflow.org/v1alpha1`, cluster-scoped, short name `e2e`.
";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crd = serde_json::to_value(E2ETest::crd())?;
    let version = &crd["spec"]["versions"][0];
    let schema = &version["schema"]["openAPIV3Schema"]["properties"];
    let mut page = HEAD.to_owned();
    writeln!(page, "\n## Columns of `kubectl get`\n\n| column | from |\n|---|---|")?;
    for column in version["additionalPrinterColumns"].as_array().into_iter().flatten() {
        writeln!(page, "| {} | `{}` |", text(&column["name"]).to_uppercase(), text(&column["jsonPath"]))?;
    }
    for part in ["spec", "status"] {
        writeln!(page, "\n## `{part}`\n\n| field | type | default | meaning |\n|---|---|---|---|")?;
        fields(&schema[part], part, &mut page)?;
    }
    writeln!(
        page,
        "\n## Rules\n\nThe API server refuses an object that breaks one.\n\n| of | rule |\n|---|---|"
    )?;
    rules(&version["schema"]["openAPIV3Schema"], "", &mut page)?;
    reasons::<RunReason>("Reasons of `Finished` and `Succeeded`", &mut page, |name| {
        RunReason::from_name(name).map(|reason| {
            let code = ExitCode::of_verdict(reason)
                .map_or_else(|| "none yet".to_owned(), |code| code.code().to_string());
            (reason.advice(), format!("exit code of kfe2e: {code}"))
        })
    })?;
    reasons::<GateReason>("Reasons of `KubeflowReady`", &mut page, |name| {
        GateReason::from_name(name).map(|reason| (reason.advice(), String::new()))
    })?;
    reasons::<TestReason>("Reasons of a test", &mut page, |name| {
        TestReason::from_name(name).map(|reason| (reason.advice(), format!("verdict: {}", reason.verdict())))
    })?;
    writeln!(
        page,
        "\nOf several reasons that apply to a run, this is the order: InvalidSpec, Cancelled, KubeflowNotReady, TimedOut, TestsFailed,\n\
                    InfrastructureError, Inconclusive, TestsPassed."
    )?;
    std::io::stdout().write_all(page.as_bytes())?;
    Ok(())
}

/// Text of a field, or nothing.
fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// One line for each field of a schema and of those in it.
fn fields(schema: &Value, path: &str, page: &mut String) -> std::fmt::Result {
    let required =
        |name: &str| schema["required"].as_array().into_iter().flatten().any(|field| field == name);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{path}.{name}");
        let default = match (&field["default"], required(name)) {
            (_, true) => "required".to_owned(),
            (Value::Null, false) => String::new(),
            (default, false) => format!("`{default}`"),
        };
        let meaning = text(&field["description"]).replace('\n', " ").replace('|', "\\|");
        writeln!(page, "| `{place}` | {} | {default} | {meaning}{} |", type_of(field), bounds(field))?;
        fields(field, &place, page)?;
        fields(&field["items"], &format!("{place}[]"), page)?;
    }
    Ok(())
}

/// The type of a field in words.
fn type_of(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "quantity".to_owned();
    }
    match text(&field["type"]) {
        "array" => format!("list of {}", type_of(&field["items"])),
        "object" if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        "string" if field["format"] == "date-time" => "time".to_owned(),
        "string" if field["enum"].is_array() => {
            let words = field["enum"].as_array().into_iter().flatten().map(text);
            words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
        }
        type_ => type_.to_owned(),
    }
}

/// The bounds of a field in words.
fn bounds(field: &Value) -> String {
    let words = [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("maxItems", "at most this many entries:"),
        ("maxProperties", "at most this many entries:"),
        ("maxLength", "characters at most:"),
    ];
    let said: Vec<String> = words
        .iter()
        .filter_map(|(bound, words)| field[bound].as_f64().map(|bound| format!("{words} {bound}")))
        .collect();
    if said.is_empty() { String::new() } else { format!(" ({})", said.join(", ")) }
}

/// One line for each rule of a schema and of those in it.
fn rules(schema: &Value, path: &str, page: &mut String) -> std::fmt::Result {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let place = format!("{path}{}", text(&rule["fieldPath"]));
        writeln!(
            page,
            "| `{}` | {} |",
            if place.is_empty() { "metadata" } else { &place },
            text(&rule["message"])
        )?;
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rules(field, &place, page)?;
        rules(&field["items"], &format!("{place}[]"), page)?;
    }
    Ok(())
}

/// One line for each reason: what it means, by its own documentation, and what to do.
fn reasons<T: JsonSchema>(
    title: &str,
    page: &mut String,
    more: impl Fn(&str) -> Option<(&'static str, String)>,
) -> std::fmt::Result {
    writeln!(page, "\n## {title}\n\n| reason | meaning | what to do |\n|---|---|---|")?;
    let schema = Value::from(schema_for!(T));
    for variant in schema["oneOf"].as_array().into_iter().flatten() {
        let (name, meaning) = (text(&variant["const"]), text(&variant["description"]).replace('\n', " "));
        let Some((advice, note)) = more(name) else { continue };
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        writeln!(page, "| `{name}` | {meaning}{note} | {advice} |")?;
    }
    Ok(())
}
