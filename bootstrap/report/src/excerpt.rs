//! The few lines of evidence that stand right beside a failure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::plain;

/// Most lines of an excerpt.
const MOST_LINES: usize = 60;

/// Most characters of an excerpt's line.
const LONGEST_LINE: usize = 500;

/// Some lines of evidence with a title.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Excerpt {
    /// What it is an excerpt of.
    pub title: String,
    /// Its lines.
    pub text: String,
}

/// Excerpts by the name of the test that they belong to.
pub type Excerpts = BTreeMap<String, Vec<Excerpt>>;

/// The traceback of the first cell that failed, from an executed notebook; `None` where no cell failed or the text is no
/// notebook. Cells are counted as the runner counts them: code cells that are not empty, from 1.
pub fn traceback(notebook: &str) -> Option<Excerpt> {
    let notebook: Value = serde_json::from_str(notebook).ok()?;
    let cells = notebook.get("cells")?.as_array()?;
    let code = cells
        .iter()
        .filter(|cell| cell.get("cell_type").and_then(Value::as_str) == Some("code"))
        .filter(|cell| !text(cell.get("source")).trim().is_empty());
    let (number, error) = (1..).zip(code).find_map(|(number, cell)| Some((number, error(cell)?)))?;
    let lines = error.get("traceback").and_then(Value::as_array).map_or_else(String::new, |lines| {
        lines.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
    });
    let text = if lines.trim().is_empty() {
        let field = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        format!("{}: {}", field("ename"), field("evalue"))
    } else {
        lines
    };
    Some(Excerpt { title: format!("Traceback of cell {number}"), text: bounded(&text) })
}

/// The last lines of a log, under its name; `None` for an empty one.
pub fn log_tail(name: &str, log: &str) -> Option<Excerpt> {
    let text = bounded(log);
    (!text.is_empty()).then(|| Excerpt { title: format!("Last lines of {}", plain::one_line(name)), text })
}

/// The output by which a cell says that it raised.
fn error(cell: &Value) -> Option<&Value> {
    let outputs = cell.get("outputs")?.as_array()?;
    outputs.iter().find(|output| output.get("output_type").and_then(Value::as_str) == Some("error"))
}

/// A notebook's text: a string, or a list of strings.
fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(lines)) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

/// The last lines, none of them endless: the reason stands at the end of a traceback and of a log.
fn bounded(text: &str) -> String {
    let text = plain::lines(text);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let left_out = lines.len().saturating_sub(MOST_LINES);
    let kept = lines.iter().skip(left_out).map(|line| match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => (*line).to_owned(),
    });
    let mark = (left_out > 0).then(|| format!("… {left_out} lines before"));
    mark.into_iter().chain(kept).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(source: &str, outputs: &Value) -> Value {
        json!({"cell_type": "code", "source": source, "outputs": outputs})
    }

    #[test]
    fn the_failed_cell_is_found_and_counted_as_the_runner_counts() {
        let notebook = json!({"cells": [
            {"cell_type": "markdown", "source": ["# title"]},
            cell("x = 1", &json!([{"output_type": "stream", "text": "1"}])),
            cell("  ", &json!([])),
            cell("1/0", &json!([{"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero",
                "traceback": ["\u{1b}[31mZeroDivisionError\u{1b}[0m", "division by zero"]}])),
        ]});
        assert_eq!(
            traceback(&notebook.to_string()),
            Some(Excerpt {
                title: "Traceback of cell 2".into(),
                text: "ZeroDivisionError\ndivision by zero".into()
            })
        );
    }

    #[test]
    fn an_error_without_a_traceback_still_says_what_it_was() {
        let output =
            json!([{"output_type": "error", "ename": "DeadKernel", "evalue": "gone", "traceback": []}]);
        let notebook = json!({"cells": [cell("1", &output)]});
        assert_eq!(traceback(&notebook.to_string()).unwrap().text, "DeadKernel: gone");
    }

    #[test]
    fn no_failure_gives_no_excerpt() {
        for notebook in
            ["", "{}", "{\"cells\": 7}", "{\"cells\": [{\"cell_type\": \"code\", \"source\": \"1\"}]}"]
        {
            assert_eq!(traceback(notebook), None, "{notebook}");
        }
    }

    #[test]
    fn a_long_log_keeps_its_end() {
        let log = (1..=100).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
        let excerpt = log_tail("test", &log).unwrap();
        assert_eq!(excerpt.title, "Last lines of test");
        assert!(excerpt.text.starts_with("… 40 lines before\nline 41\n"));
        assert!(excerpt.text.ends_with("line 100"));
        assert_eq!(log_tail("test", &"x".repeat(100_000)).unwrap().text.chars().count(), 501);
        assert_eq!(log_tail("test", "\n"), None);
    }
}
