//! The container's own log: what `kubectl logs` shows a person.

use std::io::{self, Write};

/// One of the process's streams, written through at once.
pub struct Console {
    stream: Box<dyn Write>,
}

impl Console {
    /// Standard output.
    pub fn stdout() -> Self {
        Self { stream: Box::new(io::stdout()) }
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self { stream: Box::new(io::stderr()) }
    }

    /// Another stream.
    #[cfg(test)]
    pub(crate) fn to(stream: Box<dyn Write>) -> Self {
        Self { stream }
    }

    /// Writes bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Writes a line.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.write(format!("{text}\n").as_bytes())
    }
}

/// A console whose reader may go away without harm: the results are in files, the log is a courtesy.
pub struct Echo {
    console: Option<Console>,
    /// Whether the last byte written ended a line.
    at_line_start: bool,
}

impl Echo {
    /// Echoes to `console` for as long as it takes what is written.
    pub const fn new(console: Console) -> Self {
        Self { console: Some(console), at_line_start: true }
    }

    /// Writes bytes; falls silent once they are refused.
    pub fn write(&mut self, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        self.at_line_start = last == b'\n';
        if self.console.as_mut().is_some_and(|console| console.write(bytes).is_err()) {
            self.console = None;
        }
    }

    /// Writes a line that starts on a line of its own.
    pub fn line(&mut self, text: &str) {
        if !self.at_line_start {
            self.write(b"\n");
        }
        self.write(format!("{text}\n").as_bytes());
    }
}
