//! Drives a script or program to its verdict.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use crds::verdict::Verdict;
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::time::timeout;

use super::{
    output::Output,
    verdict::{End, verdict},
};
use crate::{
    children::{Children, Exit, signal_group},
    command_line::Run,
    console::Console,
    oom, requirements,
    stop::Stopper,
    workplace,
};

/// File of the output, below the results.
const LOG_FILE: &str = "output.log";

/// How long output may still come once every process of the script is gone.
const OUTPUT_TAKES: Duration = Duration::from_secs(2);

/// How long a killed script may take to be gone.
const KILL_TAKES: Duration = Duration::from_secs(5);

/// Variable that makes Python print at once: what a killed script had buffered would be lost.
const UNBUFFERED: (&str, &str) = ("PYTHONUNBUFFERED", "1");

/// Runs the script; the verdict says all that can go wrong with it.
///
/// # Errors
/// What goes wrong with the runner itself.
pub async fn run_script(
    run: &Run,
    source: &Path,
    interpreter: &[OsString],
    args: &[OsString],
) -> Result<Verdict, io::Error> {
    if let Err(why) = check(source) {
        return Ok(verdict(&End::NotRunnable(why), None));
    }
    // The working directory is another one.
    let source = std::path::absolute(source)?.into_os_string();
    let words: Vec<OsString> = interpreter.iter().chain([&source]).chain(args).cloned().collect();
    test(run, "interpreter", &words).await
}

/// Runs the program; the verdict says all that can go wrong with it.
///
/// # Errors
/// What goes wrong with the runner itself.
pub async fn run_program(run: &Run, words: &[OsString]) -> Result<Verdict, io::Error> {
    test(run, "program", words).await
}

/// Installs what the test asks for and runs the command. `what` says what its first word is.
async fn test(run: &Run, what: &str, words: &[OsString]) -> Result<Verdict, io::Error> {
    let mut stopper = Stopper::new(run.timeout)?;
    let workplace = workplace::prepare(run)?;
    let mut children = Children::new()?;
    let program = words.first().map(OsString::as_os_str);
    let refused = requirements::install(run, program, &workplace, &mut children, &mut stopper).await?;
    if let Some(verdict) = refused {
        return Ok(verdict);
    }
    let mut command = Command::new(program.unwrap_or_default());
    command
        .args(words.get(1..).unwrap_or_default())
        .envs(workplace::variables(&workplace))
        .current_dir(&workplace.folder);
    if env::var_os(UNBUFFERED.0).is_none() {
        command.env(UNBUFFERED.0, UNBUFFERED.1);
    }
    let log = run.results.join(LOG_FILE);
    let (end, last) = supervise(command, what, &log, &mut children, &mut stopper).await?;
    Ok(verdict(&end, last.as_deref()))
}

/// Runs a command to its end, and ends all that it started; how it ended, and the last line that it printed.
pub(crate) async fn supervise(
    command: Command,
    what: &str,
    log: &Path,
    children: &mut Children,
    stopper: &mut Stopper,
) -> io::Result<(End, Option<String>)> {
    let kills = oom::kills();
    let (pid, mut output) = match start(command, what, log)? {
        Ok(started) => started,
        Err(end) => return Ok((end, None)),
    };
    let end = tokio::select! {
        exit = finish(pid, children, &mut output) => End::Exited { exit, out_of_memory: oom::was_cause(exit, kills) },
        stop = stopper.requested() => {
            signal_group(pid, Signal::SIGTERM);
            if timeout(stop.grace(), finish(pid, children, &mut output)).await.is_err() {
                signal_group(pid, Signal::SIGKILL);
                // One that even this does not end is left to the end of the container.
                let _ = timeout(KILL_TAKES, finish(pid, children, &mut output)).await;
            }
            End::Stopped(stop)
        }
    };
    children.end_all(pid).await;
    // All writers are gone, so what is left is short; a writer that escaped must not hold the verdict up.
    let _ = timeout(OUTPUT_TAKES, output.read_all()).await;
    let last = output.last_line();
    if let Err(error) = output.finish() {
        Console::stderr().line(&format!("runner: the output cannot be kept for the report: {error}"))?;
    }
    Ok((end, last))
}

/// Whether the script is there and holds anything.
fn check(source: &Path) -> Result<(), String> {
    let place = source.display();
    let unreadable = |error: io::Error| format!("{place} cannot be read: {error}");
    let mut file = File::open(source).map_err(unreadable)?;
    let mut chunk = [0; 8192];
    loop {
        match file.read(&mut chunk).map_err(unreadable)? {
            0 => return Err(format!("{place} is empty, so nothing was tested")),
            count if chunk.iter().take(count).all(u8::is_ascii_whitespace) => {}
            _ => return Ok(()),
        }
    }
}

/// Starts the command in a process group of its own; one that cannot be started is an end too.
fn start(mut command: Command, what: &str, log: &Path) -> io::Result<Result<(Pid, Output), End>> {
    let (out, out_writer) = io::pipe()?;
    let (err, err_writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(out_writer).stderr(err_writer).process_group(0);
    let output = Output::new(out.into(), err.into(), log)?;
    match command.spawn() {
        Ok(child) => Ok(Ok((Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?), output))),
        Err(error) => {
            output.finish()?;
            Ok(Err(refused(what, command.get_program(), &error)))
        }
    }
}

/// Why a program cannot be started.
fn refused(what: &str, program: &OsStr, error: &io::Error) -> End {
    let name = format!("{what} {:?}", program.to_string_lossy());
    match error.kind() {
        io::ErrorKind::NotFound => End::NoProgram(name),
        _ => End::BadProgram(name, error.to_string()),
    }
}

/// Waits for the script's own end and reads its output meanwhile. Nothing is lost when this is cancelled.
async fn finish(pid: Pid, children: &mut Children, output: &mut Output) -> Exit {
    tokio::select! {
        biased;
        exit = children.exit_of(pid) => exit,
        () = output.read_all() => children.exit_of(pid).await,
    }
}
