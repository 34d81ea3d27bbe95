//! Notebooks and scripts from files: read, checked, and made into tests.

use std::{collections::BTreeMap, fs, path::Path};

use crds::v1alpha1::{Notebook, PositiveDuration, Script, Source, Test};
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Longest name of a test.
const MAX_NAME: usize = 40;

/// What all tests made from flags have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Image of the test's container.
    pub image: String,
    /// Whether the pod gets a token for the Pipelines API.
    pub pipeline_access: bool,
    /// How long a test may run.
    pub timeout: Option<PositiveDuration>,
}

/// A test that runs the notebook in `path`, without the outputs that the file holds: they would only fill the
/// object, and the run makes its own.
pub fn notebook(path: &Path, common: &Common) -> Result<Test, Failure> {
    let text = read(path, "notebook")?;
    let bad = |what: String| Failure::usage(format!("{}: not a Jupyter notebook: {what}", path.display()));
    let mut document: Value = serde_json::from_str(&text).map_err(|error| {
        let script = path.extension().is_some_and(|ending| ending != "ipynb");
        let hint = if script { "; a script is given with --script" } else { "" };
        bad(format!("invalid JSON: {error}{hint}"))
    })?;
    match document.get("nbformat").and_then(Value::as_i64) {
        Some(4) => {}
        Some(version) => return Err(bad(format!("nbformat is {version}, and 4 is needed"))),
        None => return Err(bad("the field nbformat is missing".into())),
    }
    let Some(cells) = document.get_mut("cells").and_then(Value::as_array_mut) else {
        return Err(bad("the list cells is missing".into()));
    };
    let code = cells.iter_mut().filter_map(Value::as_object_mut).filter(|cell| is_code(cell));
    let with_text = code.map(without_outputs).filter(|has_text| *has_text).count();
    if with_text == 0 {
        return Err(bad("it has no code cell with anything to run".into()));
    }
    let notebook = Notebook { source: Source::inline(document.to_string()), parameters: BTreeMap::new() };
    Ok(Test { notebook: Some(notebook), ..test(path, common) })
}

/// A test that runs the script in `path` with Python.
pub fn script(path: &Path, common: &Common) -> Result<Test, Failure> {
    let text = read(path, "script")?;
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("{}: the script is empty", path.display())));
    }
    Ok(Test { script: Some(Script::python(Source::inline(text))), ..test(path, common) })
}

/// Gives tests whose names are taken, by `others` or among themselves, the next free number: `hello`, `hello-2`.
pub fn distinct_names(others: &[Test], tests: &mut [Test]) {
    let mut taken: Vec<String> = others.iter().map(|test| test.name.clone()).collect();
    for test in tests {
        let mut name = test.name.clone();
        for number in 2.. {
            if !taken.contains(&name) {
                break;
            }
            let suffix = format!("-{number}");
            let kept = test.name.get(..test.name.len().min(MAX_NAME - suffix.len())).unwrap_or_default();
            name = format!("{}{suffix}", kept.trim_end_matches('-'));
        }
        taken.push(name.clone());
        test.name = name;
    }
}

/// The file's text.
fn read(path: &Path, what: &str) -> Result<String, Failure> {
    let bytes =
        fs::read(path).map_err(|error| Failure::usage(format!("{what} {}: {error}", path.display())))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{what} {}: not UTF-8 text", path.display())))
}

/// Everything of a test but what it runs.
fn test(path: &Path, common: &Common) -> Test {
    Test {
        pipeline_access: common.pipeline_access,
        timeout: common.timeout.clone(),
        ..Test::new(name(path), common.image.clone())
    }
}

fn is_code(cell: &Map<String, Value>) -> bool {
    cell.get("cell_type").and_then(Value::as_str) == Some("code")
}

/// Empties a code cell's outputs; says whether it has source text.
fn without_outputs(cell: &mut Map<String, Value>) -> bool {
    cell.insert("outputs".into(), Value::Array(Vec::new()));
    cell.insert("execution_count".into(), Value::Null);
    match cell.get("source") {
        Some(Value::String(text)) => !text.trim().is_empty(),
        Some(Value::Array(lines)) => {
            lines.iter().filter_map(Value::as_str).any(|line| !line.trim().is_empty())
        }
        _ => false,
    }
}

/// The file's name without its ending, as a DNS label.
fn name(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut name = String::new();
    for character in stem.chars() {
        match character {
            'a'..='z' | '0'..='9' => name.push(character),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    name.truncate(MAX_NAME);
    let name = name.trim_end_matches('-');
    if name.is_empty() { "test".into() } else { name.into() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn common() -> Common {
        Common { image: "image".into(), pipeline_access: false, timeout: None }
    }

    fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn a_notebook_is_taken_without_its_outputs() {
        let (_folder, path) = file(
            "My Notebook (1).ipynb",
            br#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {"x": 1}, "cells": [
                {"cell_type": "code", "id": "a", "source": ["1+1"], "metadata": {}, "execution_count": 3, "outputs": [{"output_type": "stream"}]},
                {"cell_type": "markdown", "source": "hi"}]}"#,
        );
        let test = notebook(&path, &common()).unwrap();
        assert_eq!(test.name, "my-notebook-1");
        let kept: Value = serde_json::from_str(&test.notebook.unwrap().source.inline.unwrap()).unwrap();
        assert_eq!(kept["cells"][0]["outputs"], serde_json::json!([]));
        assert_eq!(kept["cells"][0]["execution_count"], Value::Null);
        assert_eq!(kept["metadata"]["x"], 1);
        assert_eq!(kept["cells"][1]["source"], "hi");
    }

    #[test]
    fn what_is_no_notebook_is_refused_in_one_sentence() {
        for (content, end) in [
            (&b"print(1)"[..], "not a Jupyter notebook: invalid JSON: expected value at line 1 column 1"),
            (b"{}", "not a Jupyter notebook: the field nbformat is missing"),
            (br#"{"nbformat": 3}"#, "not a Jupyter notebook: nbformat is 3, and 4 is needed"),
            (br#"{"nbformat": 4}"#, "not a Jupyter notebook: the list cells is missing"),
            (
                br#"{"nbformat": 4, "cells": [{"cell_type": "code", "source": " "}]}"#,
                "not a Jupyter notebook: it has no code cell with anything to run",
            ),
            (b"\xff", "not UTF-8 text"),
        ] {
            let (_folder, path) = file("x.ipynb", content);
            let failure = notebook(&path, &common()).unwrap_err();
            assert!(failure.message.ends_with(end), "{failure}");
            assert_eq!(failure.code, crds::ExitCode::Usage);
        }
    }

    #[test]
    fn an_empty_and_a_missing_script_are_refused() {
        let (_folder, path) = file("x.py", b" \n");
        assert!(script(&path, &common()).unwrap_err().message.ends_with("x.py: the script is empty"));
        let missing = script(Path::new("/nowhere/x.py"), &common()).unwrap_err();
        assert_eq!(missing.message, "script /nowhere/x.py: No such file or directory (os error 2)");
    }

    #[test]
    fn names_become_dns_labels_and_stay_distinct() {
        for (file, label) in [
            ("Hello_World.py", "hello-world"),
            ("___.py", "test"),
            ("ünï.ipynb", "n"),
            (&"x".repeat(50), &"x".repeat(40)),
        ] {
            assert_eq!(name(Path::new(file)), label);
        }
        let (_folder, path) = file("a.py", b"1");
        let mut tests = vec![script(&path, &common()).unwrap(); 3];
        let others = tests.split_off(2);
        distinct_names(&others, &mut tests);
        assert_eq!(tests.iter().map(|test| test.name.as_str()).collect::<Vec<_>>(), ["a-2", "a-3"]);
    }
}
