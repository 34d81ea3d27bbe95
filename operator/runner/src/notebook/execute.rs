//! One cell's execution, as its messages tell it.

use serde_json::{Map, Value};

use super::{
    document::CodeCell,
    outputs::{Displays, LIMIT, Outputs, Taken},
};
use crate::kernel::client::{Channel, Message};

/// An exception, or what else kept a cell from passing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Raised {
    /// Its type.
    pub name: String,
    /// Its text.
    pub value: String,
}

/// A cell that runs.
#[derive(Debug)]
pub struct Execution {
    request: String,
    /// Whether an exception is no failure.
    may_raise: bool,
    outputs: Outputs,
    count: Option<i64>,
    timing: Map<String, Value>,
    /// The answer's status, once it is there.
    status: Option<String>,
    raised: Option<Raised>,
    idle: bool,
}

impl Execution {
    /// A cell whose request was just sent.
    pub fn new(cell: &CodeCell, request: String) -> Self {
        Self {
            request,
            may_raise: cell.may_raise,
            outputs: Outputs::new(cell.index, LIMIT),
            count: None,
            timing: Map::new(),
            status: None,
            raised: None,
            idle: false,
        }
    }

    /// Takes in a message; one that belongs to another request is passed over.
    pub fn take(&mut self, message: &Message, displays: &mut Displays) -> Taken {
        if message.parent != self.request {
            return Taken::default();
        }
        if let Some(count) = message.content.get("execution_count").and_then(Value::as_i64) {
            self.count = Some(count);
        }
        match (message.channel, message.kind.as_str()) {
            (Channel::Shell, "execute_reply") => self.reply(message),
            (Channel::Shell, _) => {}
            (Channel::IoPub, "execute_input") => self.stamp("iopub.execute_input", message),
            (Channel::IoPub, "status") => match message.content["execution_state"].as_str() {
                Some("busy") => self.stamp("iopub.status.busy", message),
                Some("idle") => {
                    self.stamp("iopub.status.idle", message);
                    self.idle = true;
                }
                _ => {}
            },
            (Channel::IoPub, kind) => {
                if kind == "error" {
                    self.raised.get_or_insert_with(|| raised(&message.content));
                }
                return self.outputs.take(message, displays);
            }
        }
        Taken::default()
    }

    /// Takes in the answer.
    fn reply(&mut self, message: &Message) {
        self.stamp("shell.execute_reply", message);
        let status = message.content["status"].as_str().unwrap_or("missing");
        if status == "error" {
            self.raised = Some(raised(&message.content));
        }
        self.status = Some(status.to_owned());
    }

    /// Notes when something happened.
    fn stamp(&mut self, what: &str, message: &Message) {
        if let Some(date) = &message.date {
            self.timing.insert(what.to_owned(), date.as_str().into());
        }
    }

    /// Whether the answer is there; outputs may still follow.
    pub const fn is_answered(&self) -> bool {
        self.status.is_some()
    }

    /// Whether answer and all outputs are there.
    pub const fn is_over(&self) -> bool {
        self.status.is_some() && self.idle
    }

    /// What kept the cell from passing. An exception that was only shown counts too: a script that a magic command ran
    /// fails that way. A cell that may raise has to be executed all the same.
    pub fn failure(&self) -> Option<Raised> {
        let other = |status: &str| Raised {
            name: "NotExecuted".into(),
            value: format!("the kernel answered with status {status:?}"),
        };
        match (&self.raised, self.status.as_deref()) {
            (None, Some("ok")) => None,
            (Some(_), Some("ok" | "error")) if self.may_raise => None,
            (Some(raised), _) if !self.may_raise => Some(raised.clone()),
            (_, status) => Some(other(status.unwrap_or("missing"))),
        }
    }

    /// What belongs into the notebook: execution count, times, outputs.
    pub fn into_parts(self) -> (Option<i64>, Map<String, Value>, Vec<Value>) {
        (self.count, self.timing, self.outputs.into_values())
    }
}

/// The exception in an answer or output.
fn raised(content: &Value) -> Raised {
    let text = |key: &str| content[key].as_str().unwrap_or_default().to_owned();
    Raised { name: text("ename"), value: text("evalue") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(channel: Channel, kind: &str, content: Value) -> Message {
        Message {
            channel,
            kind: kind.into(),
            parent: "r".into(),
            date: Some(format!("date of {kind}")),
            bytes: 0,
            content,
        }
    }

    fn after(messages: &[Message]) -> Execution {
        after_of(false, messages)
    }

    fn after_of(may_raise: bool, messages: &[Message]) -> Execution {
        let cell = CodeCell { index: 0, number: 1, source: "x".into(), may_raise, skipped: false };
        let mut execution = Execution::new(&cell, "r".into());
        for message in messages {
            execution.take(message, &mut Displays::default());
        }
        execution
    }

    fn reply(status: &str) -> Message {
        let content = json!({"status": status, "ename": "E", "evalue": "v", "execution_count": 3});
        message(Channel::Shell, "execute_reply", content)
    }

    fn state(state: &str) -> Message {
        message(Channel::IoPub, "status", json!({"execution_state": state}))
    }

    #[test]
    fn a_cell_is_over_with_answer_and_idle_in_any_order() {
        assert!(!after(&[reply("ok")]).is_over());
        assert!(!after(&[state("idle")]).is_over());
        for messages in [[reply("ok"), state("idle")], [state("idle"), reply("ok")]] {
            let execution = after(&messages);
            assert!(execution.is_over());
            assert_eq!(execution.failure(), None);
        }
    }

    #[test]
    fn anything_but_an_answer_of_ok_without_a_shown_error_is_no_pass() {
        let error =
            message(Channel::IoPub, "error", json!({"ename": "Shown", "evalue": "s", "traceback": []}));
        for (messages, name) in [
            (vec![reply("error")], "E"),
            (vec![error.clone(), reply("ok")], "Shown"),
            (vec![error, reply("error")], "E"),
            (vec![reply("aborted")], "NotExecuted"),
            (vec![], "NotExecuted"),
        ] {
            assert_eq!(after(&messages).failure().unwrap().name, name);
        }
    }

    #[test]
    fn a_cell_that_may_raise_has_to_be_executed() {
        let shown = message(Channel::IoPub, "error", json!({"ename": "Shown", "evalue": "s"}));
        for (messages, failure) in [
            (vec![reply("ok")], None),
            (vec![reply("error")], None),
            (vec![shown.clone(), reply("ok")], None),
            (vec![reply("aborted")], Some("the kernel answered with status \"aborted\"")),
            (vec![shown.clone(), reply("abort")], Some("the kernel answered with status \"abort\"")),
            (vec![shown], Some("the kernel answered with status \"missing\"")),
        ] {
            let seen = after_of(true, &messages).failure();
            assert_eq!(seen.as_ref().map(|failure| failure.value.as_str()), failure);
            assert!(seen.is_none_or(|failure| failure.name == "NotExecuted"));
        }
    }

    #[test]
    fn messages_of_other_requests_are_passed_over() {
        let mut foreign = reply("ok");
        foreign.parent = "other".into();
        assert!(!after(&[foreign, state("idle")]).is_answered());
    }

    #[test]
    fn count_and_times_are_kept() {
        let (count, timing, _) = after(&[state("busy"), reply("ok"), state("idle")]).into_parts();
        assert_eq!(count, Some(3));
        let keys: Vec<_> = timing.keys().map(String::as_str).collect();
        assert_eq!(keys, ["iopub.status.busy", "iopub.status.idle", "shell.execute_reply"]);
    }
}
