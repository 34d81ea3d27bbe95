//! Other programs that `kfe2e` drives (`docker`, `kind`, `snap`), each run to its end under a deadline.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{BufRead as _, BufReader, ErrorKind, Read, Write},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// How long a program that does one small thing may take.
const SHORT: Duration = Duration::from_mins(1);

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long a program that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Set from another thread to make running programs end.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Makes every program that was given this end soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether that was asked for.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why a program did not do its work.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ToolError {
    /// There is no such program.
    #[error("the program {program} is not installed, or not on the PATH")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It could not be started or waited for.
    #[error("`{line}`: {reason}")]
    Io {
        /// The command line.
        line: String,
        /// What the system says.
        reason: String,
    },
    /// It ended with an error.
    #[error("`{line}` failed: {}", said(.stderr, .status))]
    Failed {
        /// The command line.
        line: String,
        /// How it ended, in words.
        status: String,
        /// What it printed to standard error; where that is nothing, what it printed.
        stderr: String,
    },
    /// It took too long, and was ended.
    #[error("`{line}` did not end within {} s: {}", .limit.as_secs(), said(.stderr, "it printed nothing"))]
    TimedOut {
        /// The command line.
        line: String,
        /// How long it had.
        limit: Duration,
        /// What it printed to standard error until then.
        stderr: String,
    },
    /// The caller asked for its end.
    #[error("`{line}` was cancelled")]
    Cancelled {
        /// The command line.
        line: String,
    },
}

/// The last lines of what a program said, or `nothing`.
fn said(stderr: &str, nothing: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    if last.is_empty() { nothing.to_owned() } else { last.join("; ") }
}

/// A program that has ended, well or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ended {
    /// The command line.
    pub line: String,
    /// How it failed, in words; `None` when it succeeded.
    pub failed: Option<String>,
    /// What it printed.
    pub stdout: String,
    /// What it printed to standard error.
    pub stderr: String,
}

impl Ended {
    /// What it printed.
    ///
    /// # Errors
    /// It failed.
    pub fn expect_success(self) -> Result<String, ToolError> {
        let Some(status) = self.failed else { return Ok(self.stdout) };
        // Some programs print their errors like everything else.
        let stderr = if self.stderr.trim().is_empty() { self.stdout } else { self.stderr };
        Err(ToolError::Failed { line: self.line, status, stderr })
    }
}

/// Writes what a program reads.
type Source = Box<dyn FnOnce(&mut dyn Write) -> Result<(), String> + Send>;

/// A program to run.
pub struct Tool<'a> {
    command: Command,
    words: Vec<OsString>,
    limit: Duration,
    input: Option<Source>,
    cancel: Option<&'a Cancel>,
}

impl<'a> Tool<'a> {
    /// A program by name, looked for on the PATH, or by path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        // A process group of its own: Ctrl-C in the terminal reaches `kfe2e`, which ends things in order.
        command.env("LC_ALL", "C").process_group(0);
        Self { command, words: vec![program.as_ref().to_owned()], limit: SHORT, input: None, cancel: None }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self.words.push(arg.as_ref().to_owned());
            self.command.arg(arg);
        }
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Hides a variable of ours from it.
    #[must_use]
    pub fn without_env(mut self, key: &str) -> Self {
        self.command.env_remove(key);
        self
    }

    /// The folder to run in.
    #[must_use]
    pub fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// How long it may take; one minute unless told.
    #[must_use]
    pub const fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What it reads from standard input; nothing unless told.
    #[must_use]
    pub fn input(self, input: impl Into<Vec<u8>>) -> Self {
        let input = input.into();
        // A program that ends without reading everything says so by its exit code.
        self.stream(move |out| {
            drop(out.write_all(&input));
            Ok(())
        })
    }

    /// What it reads from standard input, written while it runs: too much to have in memory. An error of `source` is
    /// the program's failure.
    #[must_use]
    pub fn stream(
        mut self,
        source: impl FnOnce(&mut dyn Write) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.input = Some(Box::new(source));
        self
    }

    /// Ends it when `cancel` says so.
    #[must_use]
    pub const fn cancelled_by(mut self, cancel: &'a Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// The command line, for messages.
    pub fn line(&self) -> String {
        self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Runs it and returns what it printed.
    ///
    /// # Errors
    /// It is missing, fails, takes too long or is cancelled.
    pub fn run(self) -> Result<String, ToolError> {
        self.follow(&mut |_| {})
    }

    /// Runs it and returns what it printed; `line` gets each line of its standard error as it comes.
    ///
    /// # Errors
    /// As [`Tool::run`].
    pub fn follow(self, line: &mut dyn FnMut(&str)) -> Result<String, ToolError> {
        self.watch(line)?.expect_success()
    }

    /// Runs it and returns how it ended, well or not.
    ///
    /// # Errors
    /// It is missing, takes too long or is cancelled.
    pub fn ended(self) -> Result<Ended, ToolError> {
        self.watch(&mut |_| {})
    }

    fn watch(mut self, line: &mut dyn FnMut(&str)) -> Result<Ended, ToolError> {
        let words = self.line();
        let failed = |error: std::io::Error| ToolError::Io { line: words.clone(), reason: error.to_string() };
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => ToolError::Missing { program: self.words[0].to_string_lossy().into() },
            _ => failed(error),
        })?;
        let group = Group::of(&child);
        let fed = feed(child.stdin.take(), self.input.take());
        let stdout = collect(child.stdout.take());
        let lines = lines(child.stderr.take());
        let mut watched = Watched { stderr: String::new(), lines, line };
        let deadline = Instant::now() + self.limit;
        let status = loop {
            watched.read();
            if let Some(status) = child.try_wait().map_err(failed)? {
                break status;
            }
            if self.cancel.is_some_and(Cancel::is_cancelled) {
                group.end(&mut child).map_err(failed)?;
                return Err(ToolError::Cancelled { line: words });
            }
            if Instant::now() >= deadline {
                group.end(&mut child).map_err(failed)?;
                watched.read();
                return Err(ToolError::TimedOut { line: words, limit: self.limit, stderr: watched.stderr });
            }
        };
        watched.finish();
        // What it left running holds its output open; only what is there by now counts.
        let stdout = stdout.recv_timeout(GRACE).unwrap_or_default();
        if status.success() {
            let fed = fed.recv_timeout(GRACE).unwrap_or_else(|_| Err("its input was not read".to_owned()));
            fed.map_err(|reason| ToolError::Io { line: words.clone(), reason })?;
        }
        let failed = (!status.success()).then(|| in_words(status));
        Ok(Ended { line: words, failed, stdout, stderr: watched.stderr })
    }
}

/// Where a program is on the PATH.
pub fn on_the_path(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let is_program = |place: &PathBuf| {
        place.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&folders).map(|folder| folder.join(program)).find(is_program)
}

/// How a program ended.
fn in_words(status: ExitStatus) -> String {
    status.code().map_or_else(|| status.to_string(), |code| format!("it exited with code {code}"))
}

/// The process group of a program.
struct Group(Pid);

impl Group {
    fn of(child: &Child) -> Self {
        Self(Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX)))
    }

    /// Ends the program and what it started: asked first, killed when that does not help.
    fn end(&self, child: &mut Child) -> std::io::Result<()> {
        let deadline = Instant::now() + GRACE;
        // A group that is gone already is what is wanted.
        let _ = killpg(self.0, Signal::SIGTERM);
        while child.try_wait()?.is_none() {
            if Instant::now() >= deadline {
                let _ = killpg(self.0, Signal::SIGKILL);
                child.wait()?;
                return Ok(());
            }
            // A child's end has no event that can be waited for together with a deadline.
            thread::sleep(TICK);
        }
        let _ = killpg(self.0, Signal::SIGKILL);
        Ok(())
    }
}

/// Standard error as it comes.
struct Watched<'a> {
    stderr: String,
    lines: Receiver<String>,
    line: &'a mut dyn FnMut(&str),
}

impl Watched<'_> {
    /// Takes the lines that are there, and waits a moment for the first.
    fn read(&mut self) {
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
    fn finish(&mut self) {
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
fn feed(stdin: Option<ChildStdin>, input: Option<Source>) -> Receiver<Result<(), String>> {
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
fn collect(stream: Option<impl Read + Send + 'static>) -> Receiver<String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Tool<'static> {
        Tool::new("sh").args(["-c", script])
    }

    #[test]
    fn a_program_gives_its_output_and_its_lines() {
        let mut seen = Vec::new();
        let output =
            sh("cat; echo one >&2; echo two >&2").input("in").follow(&mut |line| seen.push(line.to_owned()));
        assert_eq!(output.unwrap(), "in");
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn an_input_may_be_written_while_the_program_runs() {
        let source = |out: &mut dyn Write| {
            (0..100_000).try_for_each(|_| out.write_all(b"0123456789")).map_err(|error| error.to_string())
        };
        assert_eq!(Tool::new("wc").args(["-c"]).stream(source).run().unwrap().trim(), "1000000");
        let broken = Tool::new("cat").stream(|_| Err("the layer is gone".to_owned())).run().unwrap_err();
        assert_eq!(broken.to_string(), "`cat`: the layer is gone");
    }

    #[test]
    fn a_failure_says_what_the_program_said() {
        assert_eq!(
            sh("echo no room >&2; exit 3").run().unwrap_err().to_string(),
            "`sh -c echo no room >&2; exit 3` failed: no room"
        );
        assert_eq!(
            sh("exit 3").run().unwrap_err().to_string(),
            "`sh -c exit 3` failed: it exited with code 3"
        );
        assert_eq!(
            sh("echo here too; exit 3").run().unwrap_err().to_string(),
            "`sh -c echo here too; exit 3` failed: here too"
        );
        let missing = Tool::new("kfe2e-no-such-program").run().unwrap_err();
        assert_eq!(missing, ToolError::Missing { program: "kfe2e-no-such-program".into() });
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let begin = Instant::now();
        let hanging = sh("sleep 60 & echo here >&2; wait").within(Duration::from_millis(300));
        let error = hanging.run().unwrap_err();
        assert!(matches!(&error, ToolError::TimedOut { stderr, .. } if stderr == "here\n"), "{error}");
        let cancel = Cancel::default();
        cancel.cancel();
        assert!(matches!(sh("sleep 60").cancelled_by(&cancel).run(), Err(ToolError::Cancelled { .. })));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }
}
