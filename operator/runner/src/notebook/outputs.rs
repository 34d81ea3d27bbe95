//! What a cell puts out, as it is kept in the notebook: the rules of Jupyter's own executor, within a bound.
//!
//! Two things differ from it: parts of one stream that follow each other are one output, and what goes beyond the
//! bound is left out and counted.

use std::collections::BTreeMap;

use crds::verdict::truncate;
use serde_json::{Map, Value, json};

use crate::kernel::client::Message;

/// Bytes of output that a cell keeps.
pub const LIMIT: usize = 8 * 1024 * 1024;

/// Bytes that an exception's text and traceback keep each: they are kept beyond [`LIMIT`], because they matter most.
const ERROR_LIMIT: usize = 64 * 1024;

/// An output of a cell.
pub type Place = (usize, usize);

/// Where each display that can be updated is shown: by its id, the outputs of each cell.
#[derive(Debug, Default)]
pub struct Displays {
    places: BTreeMap<String, Vec<Place>>,
}

/// What became of a message.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Taken {
    /// Text for the log.
    pub echo: String,
    /// Outputs of earlier cells that show the same display.
    pub updates: Vec<Place>,
}

/// Outputs of the cell that runs.
#[derive(Debug)]
pub struct Outputs {
    cell: usize,
    limit: usize,
    kept: Vec<Value>,
    bytes: usize,
    left_out: usize,
    clear_before_next: bool,
}

impl Outputs {
    /// Outputs of the cell at this position of the notebook.
    pub const fn new(cell: usize, limit: usize) -> Self {
        Self { cell, limit, kept: Vec::new(), bytes: 0, left_out: 0, clear_before_next: false }
    }

    /// Takes in a message that belongs to the cell.
    pub fn take(&mut self, message: &Message, displays: &mut Displays) -> Taken {
        let mut taken = Taken::default();
        match message.kind.as_str() {
            "clear_output" if message.content["wait"] == true => self.clear_before_next = true,
            "clear_output" => self.clear(displays),
            "stream" => {
                self.clear_if_asked(displays);
                taken.echo = self.stream(&message.content);
            }
            "error" => {
                self.clear_if_asked(displays);
                let output = error(&message.content);
                taken.echo = lines(&output["traceback"]);
                self.kept.push(output);
            }
            kind @ ("display_data" | "execute_result" | "update_display_data") => {
                if message.bytes > self.limit.saturating_sub(self.bytes) {
                    self.left_out += message.bytes;
                    return taken;
                }
                let id = message.content.pointer("/transient/display_id").and_then(Value::as_str);
                taken.updates = id.map_or_else(Vec::new, |id| self.update(id, &message.content, displays));
                if kind != "update_display_data" {
                    self.clear_if_asked(displays);
                    self.bytes += message.bytes;
                    taken.echo = plain(&message.content);
                    if let Some(id) = id {
                        let place = (self.cell, self.kept.len());
                        displays.places.entry(id.to_owned()).or_default().push(place);
                    }
                    self.kept.push(rich(kind, &message.content));
                }
            }
            _ => {}
        }
        taken
    }

    /// The outputs, with a mark at the end where some were left out.
    pub fn into_values(mut self) -> Vec<Value> {
        if self.left_out > 0 {
            let (limit, left_out) = (self.limit, self.left_out);
            let text = format!("\n[{left_out} bytes of this cell's output are left out: {limit} are kept]\n");
            self.kept.push(json!({"output_type": "stream", "name": "stderr", "text": text}));
        }
        self.kept
    }

    /// Adds text of a stream as far as there is room; returns what was added.
    fn stream(&mut self, content: &Value) -> String {
        let text = content["text"].as_str().unwrap_or_default();
        let fits = text.floor_char_boundary(self.limit.saturating_sub(self.bytes));
        let (text, surplus) = text.split_at(fits);
        self.left_out += surplus.len();
        self.bytes += text.len();
        if text.is_empty() {
            return String::new();
        }
        let name = content["name"].as_str().unwrap_or("stdout");
        match self.kept.last_mut() {
            Some(last) if last["output_type"] == "stream" && last["name"] == name => {
                if let Some(Value::String(all)) = last.get_mut("text") {
                    all.push_str(text);
                }
            }
            _ => self.kept.push(json!({"output_type": "stream", "name": name, "text": text})),
        }
        text.to_owned()
    }

    /// Updates what shows this display in this cell; returns where earlier cells show it.
    fn update(&mut self, id: &str, content: &Value, displays: &Displays) -> Vec<Place> {
        let mut earlier = Vec::new();
        for &(cell, output) in displays.places.get(id).into_iter().flatten() {
            if cell != self.cell {
                earlier.push((cell, output));
            } else if let Some(Value::Object(shown)) = self.kept.get_mut(output) {
                shown.insert("data".into(), object(content, "data"));
                shown.insert("metadata".into(), object(content, "metadata"));
            }
        }
        earlier
    }

    /// Clears now, when the cell asked for it before its next output.
    fn clear_if_asked(&mut self, displays: &mut Displays) {
        if self.clear_before_next {
            self.clear(displays);
        }
    }

    /// Forgets all outputs of the cell.
    fn clear(&mut self, displays: &mut Displays) {
        self.kept.clear();
        (self.bytes, self.clear_before_next) = (0, false);
        for places in displays.places.values_mut() {
            places.retain(|(cell, _)| *cell != self.cell);
        }
    }
}

/// An output with data in several forms.
fn rich(kind: &str, content: &Value) -> Value {
    let mut output = Map::new();
    output.insert("output_type".into(), kind.into());
    output.insert("data".into(), object(content, "data"));
    output.insert("metadata".into(), object(content, "metadata"));
    if kind == "execute_result" {
        output.insert("execution_count".into(), content.get("execution_count").cloned().unwrap_or_default());
    }
    output.into()
}

/// An exception.
fn error(content: &Value) -> Value {
    let text = |key: &str| truncate(content[key].as_str().unwrap_or_default(), ERROR_LIMIT);
    let mut room = ERROR_LIMIT;
    let traceback: Vec<String> = content["traceback"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map_while(|line| {
            let kept = (room > 0).then(|| truncate(line, room));
            room = room.saturating_sub(line.len());
            kept
        })
        .collect();
    json!({"output_type": "error", "ename": text("ename"), "evalue": text("evalue"), "traceback": traceback})
}

/// A member that must be an object in the notebook.
fn object(content: &Value, key: &str) -> Value {
    content.get(key).filter(|value| value.is_object()).cloned().unwrap_or_else(|| json!({}))
}

/// What a log can show of an output.
fn plain(content: &Value) -> String {
    content["data"]["text/plain"].as_str().map_or_else(String::new, |text| format!("{text}\n"))
}

/// A list of texts as lines.
fn lines(list: &Value) -> String {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .fold(String::new(), |all, line| all + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::client::Channel;

    fn message(kind: &str, content: Value) -> Message {
        Message {
            channel: Channel::IoPub,
            kind: kind.into(),
            parent: String::new(),
            date: None,
            bytes: content.to_string().len(),
            content,
        }
    }

    fn stream(name: &str, text: &str) -> Message {
        message("stream", json!({"name": name, "text": text}))
    }

    fn display(kind: &str, id: &str, text: &str) -> Message {
        message(kind, json!({"data": {"text/plain": text}, "metadata": {}, "transient": {"display_id": id}}))
    }

    fn outputs(limit: usize, displays: &mut Displays, messages: &[Message]) -> (Vec<Value>, String) {
        let mut outputs = Outputs::new(0, limit);
        let echo = messages.iter().map(|message| outputs.take(message, displays).echo).collect();
        (outputs.into_values(), echo)
    }

    #[test]
    fn parts_of_one_stream_are_one_output() {
        let messages =
            [stream("stdout", "a"), stream("stdout", "b\n"), stream("stderr", "e"), stream("stdout", "c")];
        let (values, echo) = outputs(LIMIT, &mut Displays::default(), &messages);
        let texts: Vec<_> =
            values.iter().map(|v| (v["name"].as_str().unwrap(), v["text"].as_str().unwrap())).collect();
        assert_eq!(texts, [("stdout", "ab\n"), ("stderr", "e"), ("stdout", "c")]);
        assert_eq!(echo, "ab\nec");
    }

    #[test]
    fn results_and_errors_keep_their_form() {
        let result = json!({"data": {"text/plain": "4", "text/html": "<b>4</b>"}, "metadata": {"m": 1}, "execution_count": 7});
        let error = json!({"ename": "E", "evalue": "v", "traceback": ["t1", "t2"], "status": "error"});
        let messages =
            [message("execute_result", result), message("error", error), message("status", json!({}))];
        let (values, echo) = outputs(LIMIT, &mut Displays::default(), &messages);
        assert_eq!(
            values,
            [
                json!({"output_type": "execute_result", "data": {"text/plain": "4", "text/html": "<b>4</b>"},
                    "metadata": {"m": 1}, "execution_count": 7}),
                json!({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t1", "t2"]}),
            ]
        );
        assert_eq!(echo, "4\nt1\nt2\n");
    }

    #[test]
    fn clearing_waits_when_asked_to() {
        let clear = |wait: bool| message("clear_output", json!({"wait": wait}));
        for (messages, left) in [
            (vec![stream("stdout", "a"), clear(false)], 0),
            (vec![stream("stdout", "a"), clear(true)], 1),
            (vec![stream("stdout", "a"), clear(true), stream("stdout", "b")], 1),
        ] {
            assert_eq!(outputs(LIMIT, &mut Displays::default(), &messages).0.len(), left);
        }
    }

    #[test]
    fn an_update_changes_this_cell_and_names_earlier_ones() {
        let mut displays = Displays::default();
        outputs(LIMIT, &mut displays, &[stream("stdout", "x"), display("display_data", "d", "old")]);
        let mut later = Outputs::new(3, LIMIT);
        later.take(&display("display_data", "d", "mid"), &mut displays);
        let taken = later.take(&display("update_display_data", "d", "new"), &mut displays);
        assert_eq!(taken.updates, [(0, 1)]);
        let values = later.into_values();
        assert_eq!(values.len(), 1);
        assert_eq!(values[0]["data"]["text/plain"], "new");
        let unknown = Outputs::new(4, LIMIT).take(&display("update_display_data", "?", "x"), &mut displays);
        assert_eq!(unknown, Taken::default());
    }

    #[test]
    fn beyond_the_bound_only_errors_are_kept_and_the_rest_counted() {
        let error = json!({"ename": "E", "evalue": "v".repeat(ERROR_LIMIT * 2), "traceback": ["t".repeat(ERROR_LIMIT * 2), "u"]});
        let messages =
            [stream("stdout", "äääää"), display("display_data", "d", "x"), message("error", error)];
        let (values, _) = outputs(5, &mut Displays::default(), &messages);
        assert_eq!(values[0]["text"], "ää");
        assert_eq!(values[1]["evalue"].as_str().unwrap().len(), ERROR_LIMIT);
        assert_eq!(values[1]["traceback"].as_array().unwrap().len(), 1);
        let left_out = 6 + messages[1].bytes;
        let mark = format!("\n[{left_out} bytes of this cell's output are left out: 5 are kept]\n");
        assert_eq!(values[2]["text"], mark);
    }
}
