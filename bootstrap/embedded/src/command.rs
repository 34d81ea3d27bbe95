//! Running other programs: everything privileged is done by the host's own tools.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use bootstrap_image::ImageError;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use crate::{
    ClusterName, Error,
    error::tail,
    pipes::{Ended, Pipes},
    preflight::search_path,
};

/// The environment variable that marks every process of a cluster, so that `down` finds it again whatever
/// happened to its parent.
pub(crate) const MARKER: &str = "KFE2E_PROCESS_OF";
/// How often a running program is looked at.
const TICK: Duration = Duration::from_millis(10);

/// What a program that does one small thing may take on a busy machine.
const SHORT: Duration = Duration::from_mins(1);

/// What is asked at every tick of a wait; an error ends the wait.
pub(crate) type Tick<'a> = &'a mut dyn FnMut() -> Result<(), Error>;

/// A program to run to its end, with its output captured.
#[derive(Debug)]
pub(crate) struct Tool {
    command: Command,
    words: Vec<OsString>,
    errors: Option<PathBuf>,
}

impl Tool {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        // A process group of its own: Ctrl-C in the terminal reaches the caller, who cleans up in order.
        command.env("LC_ALL", "C").env("PATH", search_path()).process_group(0);
        Self { command, words: vec![program.as_ref().to_owned()], errors: None }
    }

    /// A program that the kernel ends when the thread that starts it does, even killed, where the host's
    /// `setpriv` can ask for that. What the program itself started may still finish its own small part.
    pub(crate) fn bound(program: &str) -> Self {
        let bind = ["--pdeathsig", "KILL"];
        if Self::new("setpriv").args(bind).arg("true").run().is_ok() {
            Self::new("setpriv").args(bind).arg(program)
        } else {
            Self::new(program)
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.words.push(arg.as_ref().to_owned());
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(crate) fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.command.current_dir(dir.into());
        self
    }

    /// Sends its standard error to a file, where a long run can be followed.
    pub(crate) fn errors_to(mut self, path: impl Into<PathBuf>) -> Self {
        self.errors = Some(path.into());
        self
    }

    /// Marks the process as one of the cluster's.
    pub(crate) fn of(self, cluster: &ClusterName) -> Self {
        self.env(MARKER, cluster.as_str())
    }

    /// The command line, for messages.
    pub(crate) fn line(&self) -> String {
        self.words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Runs a short program and returns what it printed.
    pub(crate) fn run(self) -> Result<String, Error> {
        let mut limit = limit(self.line());
        self.finish(Input::Nothing, &mut limit)
    }

    /// Runs a short program with `text` on its standard input.
    pub(crate) fn run_with(self, text: impl Into<String>) -> Result<String, Error> {
        let mut limit = limit(self.line());
        self.finish(Input::Text(text.into()), &mut limit)
    }

    /// Runs a longer program; it is killed as soon as `tick` fails.
    pub(crate) fn run_while(self, input: Input, tick: Tick<'_>) -> Result<String, Error> {
        self.finish(input, tick)
    }

    fn finish(mut self, input: Input, tick: Tick<'_>) -> Result<String, Error> {
        let line = self.line();
        let stdin = if matches!(input, Input::Nothing) { Stdio::null() } else { Stdio::piped() };
        self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = &self.errors {
            self.command.stderr(File::create(path).map_err(Error::io("create", path))?);
        }
        let mut child = self.command.spawn().map_err(|e| Error::program(&line, e.to_string()))?;
        let pipes = Pipes::of(&mut child, input);
        let Ended { out, err, fed, status } =
            pipes.follow(&mut child, &line, tick).inspect_err(|_| end_group(&mut child))?;
        // What could not be read is the cause of what the reader then says; a closed pipe is its effect.
        let fed = match fed {
            Some(Err(e)) if !is_closed_pipe(&e) => return Err(e),
            other => other,
        };
        if !status.success() {
            let err = self.errors.as_deref().map_or(err, |path| tail(path, 12));
            return Err(Error::program(line, explain(status, &out, &err)));
        }
        match fed {
            Some(Err(e)) => Err(e),
            Some(Ok(())) => Ok(out),
            None => Err(Error::program(line, "its input could not be produced")),
        }
    }
}

/// Writes what a program reads.
pub(crate) type Source = Box<dyn FnOnce(&mut dyn Write) -> Result<(), Error> + Send>;

/// What a program reads.
pub(crate) enum Input {
    /// An empty input.
    Nothing,
    /// A text.
    Text(String),
    /// What this writes.
    Stream(Source),
}

impl Input {
    pub(crate) fn feed(self, mut pipe: impl Write) -> Result<(), Error> {
        match self {
            Self::Nothing => Ok(()),
            // A program that ends without reading says why itself.
            Self::Text(text) => {
                let _closed = pipe.write_all(text.as_bytes());
                Ok(())
            }
            Self::Stream(write) => write(&mut pipe),
        }
    }
}

/// Waits for a child's end; what a failing tick is to do with the child is the caller's affair.
pub(crate) fn wait(child: &mut Child, line: &str, tick: Tick<'_>) -> Result<ExitStatus, Error> {
    // Most programs here end within a few milliseconds: look often at first.
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(|e| Error::program(line, e.to_string()))? {
            return Ok(status);
        }
        tick()?;
        thread::sleep(pause);
        pause = (pause * 2).min(TICK);
    }
}

/// A tick that allows a short program its time.
fn limit(line: String) -> impl FnMut() -> Result<(), Error> {
    let began = Instant::now();
    move || {
        if began.elapsed() < SHORT {
            return Ok(());
        }
        Err(Error::program(&line, format!("it did not end within {}s", SHORT.as_secs())))
    }
}

/// Ends a program with all that it started: it leads a process group of its own.
pub(crate) fn end_group(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // It may have ended by itself in the meantime; either way it is gone after this.
        let _gone = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _reaped = child.wait();
}

fn is_closed_pipe(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let io = match error {
        Error::Image(ImageError::Archive(io)) => Some(io),
        _ => source.and_then(|source| source.downcast_ref::<io::Error>()),
    };
    io.is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
}

/// A program's own words if it had any, otherwise how it ended.
fn explain(status: ExitStatus, out: &str, err: &str) -> String {
    let said = if err.trim().is_empty() { out.trim() } else { err.trim() };
    if said.is_empty() { status.to_string() } else { format!("{said} ({status})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_comes_back_and_failures_speak() {
        assert_eq!(Tool::new("sh").args(["-c", "echo a"]).run().unwrap(), "a\n");
        assert_eq!(Tool::new("cat").run_with("x").unwrap(), "x");
        let said =
            Tool::new("sh").args(["-c", "echo no such thing >&2; exit 3"]).run().unwrap_err().to_string();
        assert!(said.contains("no such thing") && said.contains('3'), "{said}");
        assert!(Tool::new("/no/such/program").run().unwrap_err().to_string().contains("/no/such/program"));
    }

    #[test]
    fn an_input_that_cannot_be_read_is_what_is_told() {
        let broken: Source = Box::new(|_| Err(Error::Host("the layer is gone".into())));
        let said =
            Tool::new("false").run_while(Input::Stream(broken), &mut || Ok(())).unwrap_err().to_string();
        assert_eq!(said, "the layer is gone");
        let endless: Source = Box::new(|out| {
            loop {
                out.write_all(&[0; 4096]).map_err(|e| Error::Image(ImageError::Archive(e)))?;
            }
        });
        let said = Tool::new("sh")
            .args(["-c", "echo full >&2; exit 1"])
            .run_while(Input::Stream(endless), &mut || Ok(()));
        assert!(said.unwrap_err().to_string().contains("full"));
    }

    #[test]
    fn an_output_that_another_holds_open_is_not_awaited_for_ever() {
        let mut ticks = 0;
        let began = Instant::now();
        let ended = Tool::new("sh").args(["-c", "sleep 60 & exit 0"]).run_while(Input::Nothing, &mut || {
            ticks += 1;
            if ticks > 2 { Err(Error::Cancelled("a test".into())) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(Error::Cancelled(_))));
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_bound_program_runs_like_any_other() {
        assert_eq!(Tool::bound("echo").args(["a", "--b"]).run().unwrap(), "a --b\n");
    }

    #[test]
    fn a_failing_tick_ends_the_program() {
        let mut ticks = 0;
        let ended = Tool::new("sleep").arg("60").run_while(Input::Nothing, &mut || {
            ticks += 1;
            if ticks > 2 { Err(Error::Cancelled("a test".into())) } else { Ok(()) }
        });
        assert!(matches!(ended, Err(Error::Cancelled(_))));
    }
}
