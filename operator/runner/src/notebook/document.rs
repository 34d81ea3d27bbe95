//! A notebook as the JSON it is: what is not understood stays as it was.

use std::io::{self, Write};

use serde::Serialize as _;
use serde_json::{Map, Value, json};

use super::parameters;
use crate::kernel::spec::Wanted;

/// A cell with this tag may raise.
const RAISES: &str = "raises-exception";

/// A cell with this tag is not executed.
const SKIP: &str = "skip-execution";

/// Types of cells in format 4. Headings of format 3 are Markdown once they are upgraded.
const CELL_TYPES: [&str; 3] = ["code", "markdown", "raw"];

/// A notebook of format 4.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    notebook: Value,
}

/// A code cell that is not empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CodeCell {
    /// Position in `cells`.
    pub index: usize,
    /// Its number for people: position among the code cells that are not empty, from 1.
    pub number: i32,
    /// The code.
    pub source: String,
    /// Whether an exception is no failure.
    pub may_raise: bool,
    /// Whether it is left out.
    pub skipped: bool,
}

/// Why something is no notebook that can be run.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    Encoding,
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON of something else.
    #[error("it is JSON but no notebook: {0}")]
    Shape(String),
    /// A format that is not supported.
    #[error("it has notebook format {0}, supported are 3 and 4: open and save it with a current Jupyter")]
    Version(i64),
    /// A language in which nobody knows how to assign.
    #[error("it is written in {0}, and only those in Python do")]
    Language(String),
    /// Format 3 that cannot be upgraded.
    #[error("it has notebook format 3 and cannot be upgraded: {0}")]
    Upgrade(String),
}

impl Document {
    /// Reads a notebook; format 3 is upgraded.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let text = str::from_utf8(bytes).map_err(|_| DocumentError::Encoding)?.trim_start_matches('\u{feff}');
        let value: Value = serde_json::from_str(text)?;
        let document = match value.get("nbformat").and_then(Value::as_i64) {
            None => return Err(DocumentError::Shape("it has no nbformat".into())),
            Some(4) => Self { notebook: value },
            Some(3) => Self { notebook: upgrade(text)? },
            Some(other) => return Err(DocumentError::Version(other)),
        };
        document.check()?;
        Ok(document)
    }

    /// Whether every cell has what running it needs.
    fn check(&self) -> Result<(), DocumentError> {
        let cells = self.notebook.get("cells").and_then(Value::as_array);
        let cells = cells.ok_or_else(|| DocumentError::Shape("it has no list of cells".into()))?;
        for (index, cell) in cells.iter().enumerate() {
            let kind = cell.get("cell_type").and_then(Value::as_str);
            let (Some(kind), Some(_)) = (kind, source(cell)) else {
                let wrong = format!("cells[{index}] lacks a cell_type or a source");
                return Err(DocumentError::Shape(wrong));
            };
            // A misspelt code cell would else be one that is silently not executed.
            if !CELL_TYPES.contains(&kind) {
                let known = CELL_TYPES.join(", ");
                let wrong = format!("cells[{index}] has the cell_type {kind:?}, which is none of {known}");
                return Err(DocumentError::Shape(wrong));
            }
        }
        Ok(())
    }

    /// The kernel that it asks for.
    pub fn kernel(&self) -> Wanted {
        let text = |pointer: &str| {
            let found = self.notebook.pointer(pointer).and_then(Value::as_str);
            found.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        Wanted { name: text("/metadata/kernelspec/name"), language: text("/metadata/language_info/name") }
    }

    /// Assigns values to parameters, in a cell after the one that is tagged `parameters`, or before all others. A cell that
    /// an earlier run left in the file is replaced.
    pub fn parameterize(&mut self, parameters: &[(String, String)]) -> Result<(), DocumentError> {
        let language = ["/metadata/kernelspec/language", "/metadata/language_info/name"]
            .iter()
            .find_map(|pointer| self.notebook.pointer(pointer).and_then(Value::as_str))
            .filter(|language| !language.is_empty() && !language.eq_ignore_ascii_case("python"));
        if let Some(language) = language {
            return Err(DocumentError::Language(language.to_owned()));
        }
        let mut cell = parameters::cell(parameters);
        if self.notebook["nbformat_minor"].as_i64().is_none_or(|minor| minor < 5)
            && let Some(fields) = cell.as_object_mut()
        {
            fields.remove("id");
        }
        let cells = self.notebook.get_mut("cells").and_then(Value::as_array_mut);
        let cells = cells.ok_or_else(|| DocumentError::Shape("it has no list of cells".into()))?;
        cells.retain(|cell| !has_tag(cell, parameters::INJECTED));
        let own = cells.iter().position(|cell| has_tag(cell, parameters::PARAMETERS));
        cells.insert(own.map_or(0, |own| own + 1), cell);
        Ok(())
    }

    /// Notes the language that the kernel speaks, as it says itself.
    pub fn set_language(&mut self, language_info: Value) {
        let metadata =
            self.notebook.as_object_mut().map(|root| root.entry("metadata").or_insert_with(|| json!({})));
        if let (Some(metadata), true) = (metadata.and_then(Value::as_object_mut), language_info.is_object()) {
            metadata.insert("language_info".into(), language_info);
        }
    }

    /// The code cells that are not empty, in order.
    pub fn code_cells(&self) -> Vec<CodeCell> {
        let cells = self.notebook.get("cells").and_then(Value::as_array);
        let code = cells.into_iter().flatten().enumerate().filter_map(|(index, cell)| {
            let source = source(cell)?;
            (cell["cell_type"] == "code" && !source.trim().is_empty()).then_some((index, cell, source))
        });
        (1..)
            .zip(code)
            .map(|(number, (index, cell, source))| CodeCell {
                index,
                number,
                source,
                may_raise: has_tag(cell, RAISES),
                skipped: has_tag(cell, SKIP),
            })
            .collect()
    }

    /// Removes what an earlier execution left in this cell, so that nobody takes it for a result of this one.
    pub fn clear(&mut self, index: usize) {
        if let Some(cell) = self.cell_mut(index) {
            cell.insert("outputs".into(), json!([]));
            cell.insert("execution_count".into(), Value::Null);
            if let Some(metadata) = cell.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.remove("execution");
            }
        }
    }

    /// Puts the outcome of a cell in.
    pub fn record(
        &mut self,
        index: usize,
        count: Option<i64>,
        timing: Map<String, Value>,
        outputs: Vec<Value>,
    ) {
        if let Some(cell) = self.cell_mut(index) {
            cell.insert("outputs".into(), outputs.into());
            cell.insert("execution_count".into(), count.into());
            let metadata = cell.entry("metadata").or_insert_with(|| json!({}));
            if let Some(metadata) = metadata.as_object_mut() {
                metadata.insert("execution".into(), timing.into());
            }
        }
    }

    /// Replaces data and metadata of an output that a later cell updates.
    pub fn update_output(&mut self, index: usize, output: usize, content: &Value) {
        let outputs = self.cell_mut(index).and_then(|cell| cell.get_mut("outputs"));
        if let Some(output) =
            outputs.and_then(|outputs| outputs.get_mut(output)).and_then(Value::as_object_mut)
        {
            for key in ["data", "metadata"] {
                output.insert(key.into(), content.get(key).cloned().unwrap_or_else(|| json!({})));
            }
        }
    }

    /// Writes it as Jupyter does: indented by one space, with a line end.
    pub fn write(&self, mut writer: &mut impl Write) -> io::Result<()> {
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut writer, formatter);
        self.notebook.serialize(&mut serializer)?;
        writer.write_all(b"\n")
    }

    /// The cell at `index`.
    fn cell_mut(&mut self, index: usize) -> Option<&mut Map<String, Value>> {
        self.notebook.get_mut("cells")?.get_mut(index)?.as_object_mut()
    }
}

/// A notebook of format 3 as format 4.
fn upgrade(text: &str) -> Result<Value, DocumentError> {
    let failed = |error: &dyn std::fmt::Display| DocumentError::Upgrade(error.to_string());
    match nbformat::parse_notebook(text).map_err(|error| failed(&error))? {
        nbformat::Notebook::V3(old) => {
            let new = nbformat::upgrade_v3_notebook(old).map_err(|error| failed(&error))?;
            Ok(serde_json::to_value(new)?)
        }
        _ => Err(failed(&"it is of another format")),
    }
}

/// A cell's source, which may be one string or a list of lines.
fn source(cell: &Value) -> Option<String> {
    match cell.get("source")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(lines) => lines.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// Whether a cell has a tag.
fn has_tag(cell: &Value, tag: &str) -> bool {
    let tags = cell.pointer("/metadata/tags").and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(|found| found == tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(cells: &Value) -> Document {
        let notebook =
            json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {"x": {"y": 1.0}}, "cells": cells});
        Document::parse(notebook.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn code_cells_are_numbered_as_people_count() {
        let cells = document(&json!([
            {"cell_type": "markdown", "source": "# Title", "metadata": {}},
            {"cell_type": "code", "source": ["a = 1\n", "a"], "metadata": {}, "outputs": []},
            {"cell_type": "code", "source": " \n", "metadata": {}, "outputs": []},
            {"cell_type": "code", "source": "b", "metadata": {"tags": ["raises-exception"]}, "outputs": []},
            {"cell_type": "code", "source": "c", "metadata": {"tags": ["skip-execution"]}, "outputs": []},
        ]))
        .code_cells();
        let seen: Vec<_> =
            cells.iter().map(|c| (c.index, c.number, c.source.as_str(), c.may_raise, c.skipped)).collect();
        assert_eq!(
            seen,
            [(1, 1, "a = 1\na", false, false), (3, 2, "b", true, false), (4, 3, "c", false, true)]
        );
    }

    #[test]
    fn parameters_are_assigned_after_the_notebooks_own() {
        let given = [("steps".to_owned(), "3".to_owned())];
        let cell = |source: &str, tags: Value| json!({"cell_type": "code", "source": source, "metadata": {"tags": tags}, "outputs": []});
        let sources = |cells: Value| {
            let mut document = document(&cells);
            document.parameterize(&given).unwrap();
            document.code_cells().into_iter().map(|cell| cell.source).collect::<Vec<_>>()
        };
        let ours = "# Parameters of the test\nsteps = 3";
        assert_eq!(
            sources(json!([
                cell("a", json!([])),
                cell("steps = 1", json!(["parameters"])),
                cell("b", json!([]))
            ])),
            ["a", "steps = 1", ours, "b"]
        );
        assert_eq!(sources(json!([cell("a", json!([]))])), [ours, "a"]);
        let left = cell("steps = 2", json!(["injected-parameters"]));
        assert_eq!(sources(json!([left, cell("a", json!([]))])), [ours, "a"]);
    }

    #[test]
    fn parameters_are_for_python_only() {
        let text =
            json!({"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": "R"}}}).to_string();
        let refusal = Document::parse(text.as_bytes()).unwrap().parameterize(&[]).unwrap_err();
        assert_eq!(refusal.to_string(), "it is written in R, and only those in Python do");
    }

    #[test]
    fn what_is_not_understood_stays() {
        let mut document = document(&json!([
            {"cell_type": "code", "id": "abc", "source": "a", "metadata": {"z": [1.0, "ü"]}, "outputs": [], "future": true},
        ]));
        document.record(
            0,
            Some(1),
            Map::new(),
            vec![json!({"output_type": "stream", "name": "stdout", "text": "x"})],
        );
        let mut text = Vec::new();
        document.write(&mut text).unwrap();
        let written: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(written["metadata"], json!({"x": {"y": 1.0}}));
        let cell = &written["cells"][0];
        assert_eq!(cell["future"], true);
        assert_eq!(cell["id"], "abc");
        assert_eq!(cell["metadata"], json!({"z": [1.0, "ü"], "execution": {}}));
        assert_eq!(cell["outputs"][0]["text"], "x");
        assert_eq!(cell["execution_count"], 1);
        document.update_output(0, 0, &json!({"data": {"text/plain": "new"}}));
        document.clear(0);
        assert_eq!(document.notebook["cells"][0]["outputs"], json!([]));
    }

    #[test]
    fn the_kernel_is_read_from_the_metadata() {
        let notebook = |metadata: Value| {
            let text = json!({"nbformat": 4, "cells": [], "metadata": metadata}).to_string();
            Document::parse(text.as_bytes()).unwrap().kernel()
        };
        assert_eq!(
            notebook(json!({"kernelspec": {"name": "ir"}, "language_info": {"name": "R"}})),
            Wanted { name: Some("ir".into()), language: Some("R".into()) }
        );
        assert_eq!(notebook(json!({})), Wanted::default());
    }

    #[test]
    fn what_is_no_notebook_is_said_so() {
        for (text, sentence) in [
            (&b"\xff\xfe"[..], "it is not UTF-8 text"),
            (b"{", "it is not JSON: EOF while parsing an object at line 1 column 1"),
            (b"[]", "it is JSON but no notebook: it has no nbformat"),
            (b"{\"nbformat\": 4}", "it is JSON but no notebook: it has no list of cells"),
            (
                b"{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\"}]}",
                "it is JSON but no notebook: cells[0] lacks a cell_type or a source",
            ),
            (
                b"{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"raw\", \"source\": []}, {\"cell_type\": \"Code\", \"source\": \"1\"}]}",
                "it is JSON but no notebook: cells[1] has the cell_type \"Code\", which is none of code, markdown, raw",
            ),
            (
                b"{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"heading\", \"source\": \"1\"}]}",
                "it is JSON but no notebook: cells[0] has the cell_type \"heading\", which is none of code, markdown, raw",
            ),
            (
                b"{\"nbformat\": 2}",
                "it has notebook format 2, supported are 3 and 4: open and save it with a current Jupyter",
            ),
        ] {
            assert_eq!(Document::parse(text).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn format_3_is_upgraded() {
        let old = json!({"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"metadata": {}, "cells": [
            {"cell_type": "heading", "level": 1, "metadata": {}, "source": ["Title"]},
            {"cell_type": "code", "collapsed": false, "input": ["print(1)"], "language": "python", "metadata": {}, "outputs": []},
        ]}]});
        let document = Document::parse(old.to_string().as_bytes()).unwrap();
        assert_eq!(document.code_cells()[0].source, "print(1)");
        assert_eq!(document.notebook["nbformat"], 4);
    }
}
