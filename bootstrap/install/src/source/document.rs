//! Documents of a YAML or JSON stream, each with its number and line.
//!
//! The stream is cut before it is parsed: in YAML a line that begins with `---` and a blank ends a document wherever it
//! stands, inside a quoted or literal text too. So one broken document is named by itself, and the parser's limits
//! hold for each document and not for the sum of hundreds of CRDs.

use serde_json::Value;
use serde_saphyr::{Options, budget, options};

use crate::object::{Object, ObjectError};

/// A document that cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("document {number} (line {line}): {reason}")]
pub struct DocumentError {
    /// Number of the document, from 1.
    pub number: usize,
    /// Line of the file: of the mistake, or else of the document's begin.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// One document's text and where it stands.
#[derive(Debug, Eq, PartialEq)]
struct Document<'a> {
    number: usize,
    /// Line of the file on which `text` begins, from 1.
    line: usize,
    text: &'a str,
}

/// The objects of a YAML or JSON text with the lines on which their documents begin; empty documents are passed over,
/// lists are taken apart.
///
/// # Errors
/// The first document that is no YAML, no object, or a list with something else in it.
pub fn parse(text: &str) -> Result<Vec<(usize, Object)>, DocumentError> {
    let mut objects = Vec::new();
    for document in split(text.strip_prefix('\u{feff}').unwrap_or(text)) {
        for value in values(&document)? {
            expand(&document, value, &mut objects)?;
        }
    }
    Ok(objects)
}

/// Cuts a stream at its `---` lines. What stands before the first one is a document only if it holds more than comments.
fn split(text: &str) -> Vec<Document<'_>> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut offset) = (0, 1, 0);
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if is_marker(line) {
            documents.push((start_line, text.get(start..offset).unwrap_or_default()));
            (start, start_line) = (offset, index + 1);
        }
        offset += line.len();
    }
    documents.push((start_line, text.get(start..).unwrap_or_default()));
    if documents.len() > 1 && documents.first().is_some_and(|(_, text)| is_blank(text)) {
        documents.remove(0);
    }
    documents.into_iter().zip(1..).map(|((line, text), number)| Document { number, line, text }).collect()
}

/// Whether a line begins a document.
fn is_marker(line: &str) -> bool {
    line.strip_prefix("---")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| c.is_ascii_whitespace()))
}

/// Whether there is nothing but comments.
fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#'))
}

/// The values of a document: one, or none, or several JSON texts one after the other.
fn values(document: &Document<'_>) -> Result<Vec<Value>, DocumentError> {
    if document.text.trim_start().starts_with('{')
        && let Ok(values) = serde_json::Deserializer::from_str(document.text).into_iter().collect()
    {
        return Ok(values);
    }
    match serde_saphyr::from_str_with_options::<Value>(document.text, limits()) {
        Ok(Value::Null) => Ok(Vec::new()),
        Ok(value) => Ok(vec![value]),
        Err(_) if is_blank(document.text) => Ok(Vec::new()),
        Err(error) => {
            let error = error.without_snippet();
            let within =
                error.location().and_then(|location| usize::try_from(location.line()).ok()).unwrap_or(1);
            Err(DocumentError {
                number: document.number,
                line: document.line + within.saturating_sub(1),
                reason: format!("no valid YAML: {}", one_line(&error.to_string())),
            })
        }
    }
}

/// Room for the largest CRDs, and for a whole set in one list, and none for documents that grow when they are read.
fn limits() -> Options {
    options! {
        budget: budget! {
            max_events: 8_000_000,
            max_nodes: 4_000_000,
            max_depth: 128,
            max_aliases: 10_000,
            max_anchors: 10_000,
            max_documents: 1,
        },
        with_snippet: false,
        legacy_octal_numbers: true,
    }
}

/// The parser's message without line breaks.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Takes the value as an object, or the items of a list as objects.
fn expand(
    document: &Document<'_>,
    value: Value,
    objects: &mut Vec<(usize, Object)>,
) -> Result<(), DocumentError> {
    let wrong = |reason| DocumentError { number: document.number, line: document.line, reason };
    match list_items(value) {
        Err(items) => {
            for (item, index) in items.into_iter().zip(1..) {
                let object =
                    Object::new(item).map_err(|error| wrong(format!("item {index} of the list: {error}")))?;
                objects.push((document.line, object));
            }
        }
        Ok(value) => {
            let name = value.get("kind").and_then(Value::as_str).map(str::to_owned);
            let object = Object::new(value).map_err(|error| wrong(sentence(name.as_deref(), error)))?;
            objects.push((document.line, object));
        }
    }
    Ok(())
}

/// `Err` with the items of a list, `Ok` with anything else.
fn list_items(mut value: Value) -> Result<Value, Vec<Value>> {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => Err(items),
        Some(other) => {
            if let Some(items) = value.get_mut("items") {
                *items = other;
            }
            Ok(value)
        }
        None => Ok(value),
    }
}

/// What is wrong with an object, with its kind where it states one.
fn sentence(kind: Option<&str>, error: ObjectError) -> String {
    match kind {
        Some(kind) if !kind.is_empty() => format!("a {kind}, but {error}"),
        _ => format!("no Kubernetes object: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> Vec<(usize, String)> {
        parse(text).unwrap().into_iter().map(|(line, object)| (line, object.identity().to_string())).collect()
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";

    #[test]
    fn documents_are_told_apart_with_their_lines() {
        let text =
            format!("# a comment\n---\n{POD}---\n\n---   # another\n{}", POD.replace("name: a", "name: b"));
        assert_eq!(names(&text), [(2, "Pod a".into()), (8, "Pod b".into())]);
        assert_eq!(names(&text.replace('\n', "\r\n")), [(2, "Pod a".into()), (8, "Pod b".into())]);
    }

    #[test]
    fn a_marker_inside_a_text_is_no_marker_when_indented() {
        let text = format!("{POD}data: |\n  first\n  ---\n  last\n");
        let objects = parse(&text).unwrap();
        assert_eq!(objects[0].1.text("/data"), Some("first\n---\nlast\n"));
    }

    #[test]
    fn lists_are_taken_apart() {
        let text = r#"{"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}},
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}]}"#;
        assert_eq!(names(text), [(1, "Pod a".into()), (1, "Pod b".into())]);
        assert_eq!(names("apiVersion: v1\nkind: ConfigMapList\nitems: []\n"), []);
    }

    #[test]
    fn json_texts_may_follow_each_other() {
        let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}"#;
        assert_eq!(names(&format!("{pod}\n{pod}\n")).len(), 2);
        assert_eq!(names(&format!("\t{pod}")).len(), 1);
    }

    #[test]
    fn values_are_read_as_kubernetes_reads_them() {
        let text =
            format!("{POD}data: {{mode: 0644, port: 8080, share: 0.5, text: \"yes\", on: true, none: ~}}\n");
        let objects = parse(&text).unwrap();
        let expected = serde_json::json!(
            {"mode": 420, "port": 8080, "share": 0.5, "text": "yes", "on": true, "none": null}
        );
        assert_eq!(objects[0].1.manifest()["data"], expected);
    }

    #[test]
    fn a_mistake_is_named_with_document_and_line() {
        assert_eq!(
            error(&format!("{POD}---\nkind: Pod\n")),
            "document 2 (line 4): a Pod, but it has no apiVersion"
        );
        assert_eq!(
            error("apiVersion: v1\nmetadata: {name: a}\n"),
            "document 1 (line 1): no Kubernetes object: it has no kind"
        );
        assert_eq!(error("just text\n"), "document 1 (line 1): no Kubernetes object: it is no mapping");
        assert_eq!(
            error("apiVersion: v1\nkind: List\nitems:\n- {kind: Pod}\n"),
            "document 1 (line 1): item 1 of the list: it has no apiVersion"
        );
        let broken = error(&format!("{POD}---\n{POD}spec:\n  a: [1, 2\n  b: 3\n"));
        assert!(broken.starts_with("document 2 (line "), "{broken}");
        assert!(broken.contains("no valid YAML: "), "{broken}");
        let line: usize = broken["document 2 (line ".len()..].split(')').next().unwrap().parse().unwrap();
        assert!((9..=11).contains(&line), "{broken}");
        let twice = error("apiVersion: v1\nkind: Pod\nkind: Pod\nmetadata: {name: a}\n");
        assert!(twice.starts_with("document 1 (line 3): no valid YAML: "), "{twice}");
    }

    #[test]
    fn a_document_that_grows_when_read_is_refused() {
        let levels = (1..9).map(|level| {
            format!("a{level}: &a{level} [{}]\n", [format!("*a{}", level - 1).as_str(); 10].join(", "))
        });
        let bomb = format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", levels.collect::<Vec<_>>().concat());
        assert!(error(&bomb).contains("no valid YAML"), "{}", error(&bomb));
        let deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(error(&deep).contains("no valid YAML"), "{}", error(&deep));
    }

    proptest! {
        #[test]
        fn any_text_gives_objects_or_a_sentence(text in "[-a:{}\\[\\]'\"|>&*#!\\n \\t\\r]{0,200}|\\PC{0,100}") {
            let lines = text.split(['\n', '\r']).count();
            if let Err(error) = parse(&text) {
                prop_assert!(!error.to_string().contains('\n'));
                prop_assert!(error.line <= lines + 1);
            }
        }

        #[test]
        fn cutting_loses_no_line(text in "(---\n|--- a\n|a: 1\n|# b\n|\n|----\n){0,20}") {
            let documents = split(&text);
            let kept: usize = documents.iter().map(|document| document.text.len()).sum();
            let left_out = text.len() - kept;
            prop_assert!(is_blank(&text[..left_out]));
            prop_assert!(documents.iter().all(|document| text.lines().count() + 1 >= document.line));
        }
    }
}
