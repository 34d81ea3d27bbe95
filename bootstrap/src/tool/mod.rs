//! Other programs that `kfe2e` drives (`docker`, `kind`, `snap`), each run to its end under a deadline.

mod ended;
mod group;
mod streams;

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{ErrorKind, Write},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// One for programs and for what the embedded cluster fetches and builds: whoever interrupts means both.
pub use bootstrap_embedded::Cancel;

pub use self::ended::{Ended, ToolError};
use self::{
    ended::in_words,
    group::Group,
    streams::{Source, Watched, collect, feed},
};

/// How long a program that does one small thing may take.
const SHORT: Duration = Duration::from_mins(1);

/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long a program that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// A program to run.
pub struct Tool<'a> {
    command: Command,
    words: Vec<OsString>,
    limit: Duration,
    input: Option<Source>,
    output: Option<File>,
    cancel: Option<&'a Cancel>,
    secret: bool,
}

impl<'a> Tool<'a> {
    /// A program by name, looked for on the PATH, or by path.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        // A process group of its own: Ctrl-C in the terminal reaches `kfe2e`, which ends things in order.
        command.env("LC_ALL", "C").process_group(0);
        Self {
            command,
            words: vec![program.as_ref().to_owned()],
            limit: SHORT,
            input: None,
            output: None,
            cancel: None,
            secret: false,
        }
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

    /// Where its output goes, instead of to the caller: there it also is when the caller does not live to read it. A lock
    /// on the file is held until both have closed it.
    #[must_use]
    pub fn output_into(mut self, file: File) -> Self {
        self.output = Some(file);
        self
    }

    /// Ends it when `cancel` says so.
    #[must_use]
    pub const fn cancelled_by(mut self, cancel: &'a Cancel) -> Self {
        self.cancel = Some(cancel);
        self
    }

    /// What it prints to standard output is secret: where it fails, nobody gets that, and it is in no error.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
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
        self.command.stdout(self.output.take().map_or_else(Stdio::piped, Stdio::from)).stderr(Stdio::piped());
        self.command.stdin(if self.input.is_some() { Stdio::piped() } else { Stdio::null() });
        let mut child = self.command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => ToolError::Missing { program: self.words[0].to_string_lossy().into() },
            _ => failed(error),
        })?;
        let group = Group::of(&child);
        let fed = feed(child.stdin.take(), self.input.take());
        let stdout = collect(child.stdout.take());
        let mut watched = Watched::new(child.stderr.take(), line);
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
        let stdout = stdout.recv_timeout(GRACE);
        if status.success() {
            if stdout.is_err() {
                // Half an output is none.
                let reason = "it ended, and something that it started holds its output open".to_owned();
                return Err(ToolError::Io { line: words, reason });
            }
            let fed = fed.recv_timeout(GRACE).unwrap_or_else(|_| Err("its input was not read".to_owned()));
            fed.map_err(|reason| ToolError::Io { line: words.clone(), reason })?;
        }
        let failed = (!status.success()).then(|| in_words(status));
        let stdout = stdout.ok().filter(|_| failed.is_none() || !self.secret).unwrap_or_default();
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
    fn a_failure_does_not_tell_a_secret() {
        let printed = "`sh -c echo key; exit 3` failed: ";
        let said = |tool: Tool<'_>| tool.run().unwrap_err().to_string();
        assert_eq!(said(sh("echo key; exit 3")), format!("{printed}key"));
        assert_eq!(said(sh("echo key; exit 3").secret()), format!("{printed}it exited with code 3"));
        assert!(said(sh("echo key; echo no room >&2; exit 3").secret()).ends_with(" failed: no room"));
        assert_eq!(sh("echo key").secret().run().unwrap(), "key\n");
    }

    #[test]
    fn an_output_that_is_held_open_is_no_success() {
        // Its own standard error is closed, so that only the output is held.
        let held = |code: u8| sh(&format!("echo half; sleep 20 2>&- & exit {code}"));
        let failing = std::thread::spawn(move || held(3).run());
        let error = held(0).run().unwrap_err();
        assert!(error.to_string().ends_with("something that it started holds its output open"), "{error}");
        assert!(matches!(failing.join().unwrap(), Err(ToolError::Failed { .. })));
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
