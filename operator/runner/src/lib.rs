//! Runs a notebook, a script or a program inside a test's pod, and ships what it leaves.
//!
//! One static program in three containers: `install` copies it into the pod, `notebook`, `script` or `program` runs the test
//! in the test's own image, `results` is the sidecar that ships the files. What a test's end means is decided by
//! pure functions ([`notebook::verdict`], [`script::verdict`]); everything else feeds them.

pub mod ansi;
pub mod children;
pub mod command_line;
pub mod console;
pub mod install;
pub mod kernel;
pub mod notebook;
pub mod oom;
pub mod progress;
pub mod receipt;
pub mod requirements;
pub mod results;
pub mod script;
pub mod stop;
pub mod tail;
pub mod verdict_file;
pub mod whole_file;
pub mod workplace;

use std::{ffi::OsString, io, io::Write as _, process::ExitCode};

use crds::{names::pod, v1alpha1::TestReason, verdict::Verdict};

use crate::{
    command_line::{Command, Run},
    console::Console,
};

/// Exit code for a command line that cannot be understood.
const USAGE: u8 = 2;

/// Does what the command line asks for: exit code 0 when it is done or the test passed, 1 when not, 2 on wrong usage.
pub fn run(words: impl Iterator<Item = OsString>) -> ExitCode {
    let command = match command_line::parse(words) {
        Ok(command) => command,
        Err(error) => {
            complain(&error);
            return ExitCode::from(USAGE);
        }
    };
    let done = match command {
        Command::Help => {
            Console::stdout().write(command_line::HELP.as_bytes()).map(|()| true).map_err(Into::into)
        }
        Command::Install { dest } => install::install(&dest).map(|()| true).map_err(Into::into),
        Command::Results { dir } => in_runtime(results::serve(&dir)).map(|()| true),
        Command::Notebook { run, source, parameters } => {
            test(&run, notebook::run(&run, &source, &parameters))
        }
        Command::Script { run, source, interpreter, args } => {
            test(&run, script::run_script(&run, &source, &interpreter, &args))
        }
        Command::Program { run, words } => test(&run, script::run_program(&run, &words)),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Why a command was not done. A test that fails is no such error: it has a verdict.
type Failure = Box<dyn std::error::Error>;

/// Runs a test and writes its verdict; whether it passed. What goes wrong with the runner itself fails the test too:
/// without a verdict nobody would learn why.
fn test(run: &Run, test: impl Future<Output = Result<Verdict, io::Error>>) -> Result<bool, Failure> {
    let verdict = in_runtime(test).unwrap_or_else(|error| {
        Verdict::failed(TestReason::NonZeroExit, &format!("the runner failed: {error}"), None)
    });
    let verdict = receipt::judge(verdict, run.receipt, &run.results.join(pod::RECEIPT_FILE));
    let told = verdict_file::tell(&verdict, &run.termination_log);
    // The copy for the report is tried whatever became of the message, and lost without it: a full volume must not turn
    // a pass into a failure.
    if let Err(error) = verdict_file::keep(&verdict, &run.results) {
        complain(&error);
    }
    told?;
    // The verdict is written: a log that nobody reads any more cannot change it.
    let _ = Console::stdout().line(&verdict_file::sentence(&verdict));
    Ok(verdict.passed)
}

/// Runs a future on a runtime of this one thread: threads would cost memory beside the test.
fn in_runtime<T, E: Into<Failure>>(future: impl Future<Output = Result<T, E>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(future).map_err(Into::into);
    runtime.shutdown_background();
    result
}

/// One line on stderr.
fn complain(error: &dyn std::fmt::Display) {
    // Nobody is left to tell when stderr is closed; the exit code still says it.
    let _ = writeln!(io::stderr(), "runner: {error}");
}
