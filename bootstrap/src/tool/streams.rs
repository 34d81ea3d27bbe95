//! What a program reads and prints, each in a thread of its own.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    process::ChildStdin,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Instant,
};

use super::{GRACE, TICK};

/// Writes what a program reads.
pub(super) type Source = Box<dyn FnOnce(&mut dyn Write) -> Result<(), String> + Send>;

/// Standard error as it comes.
pub(super) struct Watched<'a> {
    /// What there was of it until now.
    pub(super) stderr: String,
    lines: Receiver<String>,
    line: &'a mut dyn FnMut(&str),
}

impl<'a> Watched<'a> {
    /// Begins to read it; `line` gets each line.
    pub(super) fn new(stderr: Option<impl Read + Send + 'static>, line: &'a mut dyn FnMut(&str)) -> Self {
        Self { stderr: String::new(), lines: lines(stderr), line }
    }

    /// Takes the lines that are there, and waits a moment for the first.
    pub(super) fn read(&mut self) {
        match self.lines.recv_timeout(TICK) {
            Ok(line) => self.take(&line),
            // The stream has ended and the program has not: the pause is ours to make.
            Err(RecvTimeoutError::Disconnected) => thread::sleep(TICK),
            Err(RecvTimeoutError::Timeout) => {}
        }
        while let Ok(line) = self.lines.try_recv() {
            self.take(&line);
        }
    }

    /// Takes what is left once the program has ended.
    pub(super) fn finish(&mut self) {
        let deadline = Instant::now() + GRACE;
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            self.take(&line);
        }
    }

    fn take(&mut self, line: &str) {
        (self.line)(line);
        self.stderr.push_str(line);
        self.stderr.push('\n');
    }
}

/// Writes to a program in a thread of its own, and says how that went.
pub(super) fn feed(stdin: Option<ChildStdin>, input: Option<Source>) -> Receiver<Result<(), String>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let fed = match (stdin, input) {
            (Some(mut stdin), Some(input)) => input(&mut stdin),
            _ => Ok(()),
        };
        // The program may have failed meanwhile: then nobody asks.
        let _ = sender.send(fed);
    });
    receiver
}

/// Reads a stream to its end.
pub(super) fn collect(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // An error ends the stream; what was read until then counts.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}

/// The lines of a stream as they come.
fn lines(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver): (Sender<String>, _) = channel();
    thread::spawn(move || {
        let Some(stream) = stream else { return };
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|count| count > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
