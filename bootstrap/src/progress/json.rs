//! One JSON object a line on standard output.

use std::io::{Write as _, stdout};

use crds::run_event::RunEvent;

use super::Display;

/// Events for programs.
pub(super) struct Json;

impl Display for Json {
    fn show(&mut self, event: &RunEvent) {
        let mut line = match serde_json::to_vec(event) {
            Ok(line) => line,
            Err(error) => format!("{{\"error\":{:?}}}", error.to_string()).into_bytes(),
        };
        line.push(b'\n');
        let mut out = stdout().lock();
        // A reader that went away does not stop the run: cleaning up matters more.
        let _ = out.write_all(&line).and_then(|()| out.flush());
    }
}
