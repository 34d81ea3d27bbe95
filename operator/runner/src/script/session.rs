//! Drives a script from its file to its verdict.

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
    oom,
    stop::Stopper,
    workplace::{self, Workplace},
};

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
pub async fn run(run: &Run, interpreter: &[OsString], args: &[OsString]) -> Result<Verdict, io::Error> {
    let mut stopper = Stopper::new(run.timeout)?;
    let workplace = workplace::prepare(&run.results)?;
    if let Err(why) = check(&run.source) {
        return Ok(verdict(&End::NotRunnable(why), None));
    }
    let mut children = Children::new()?;
    let kills = oom::kills();
    let (pid, mut output) = match start(run, interpreter, args, &workplace)? {
        Ok(started) => started,
        Err(end) => return Ok(verdict(&end, None)),
    };
    let end = tokio::select! {
        exit = finish(pid, &mut children, &mut output) => End::Exited { exit, out_of_memory: oom::was_cause(exit, kills) },
        stop = stopper.requested() => {
            signal_group(pid, Signal::SIGTERM);
            if timeout(stop.grace(), finish(pid, &mut children, &mut output)).await.is_err() {
                signal_group(pid, Signal::SIGKILL);
                // One that even this does not end is left to the end of the container.
                let _ = timeout(KILL_TAKES, finish(pid, &mut children, &mut output)).await;
            }
            End::Stopped(stop)
        }
    };
    children.end_all(pid).await;
    // All writers are gone, so what is left is short; a writer that escaped must not hold the verdict up.
    let _ = timeout(OUTPUT_TAKES, output.read_all()).await;
    let verdict = verdict(&end, output.last_line().as_deref());
    if let Err(error) = output.finish() {
        Console::stderr().line(&format!("runner: the output cannot be kept for the report: {error}"))?;
    }
    Ok(verdict)
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

/// Starts the script in a process group of its own; an interpreter that cannot be run is an end of the test.
fn start(
    run: &Run,
    interpreter: &[OsString],
    args: &[OsString],
    workplace: &Workplace,
) -> io::Result<Result<(Pid, Output), End>> {
    let Some((program, words)) = interpreter.split_first() else {
        return Ok(Err(End::NoInterpreter(String::new())));
    };
    // The working directory is another one.
    let source = std::path::absolute(&run.source)?;
    let (out, out_writer) = io::pipe()?;
    let (err, err_writer) = io::pipe()?;
    let mut command = Command::new(program);
    command
        .args(words)
        .arg(source)
        .args(args)
        .envs(workplace::variables(workplace))
        .current_dir(&workplace.folder)
        .stdin(Stdio::null())
        .stdout(out_writer)
        .stderr(err_writer)
        .process_group(0);
    if env::var_os(UNBUFFERED.0).is_none() {
        command.env(UNBUFFERED.0, UNBUFFERED.1);
    }
    let output = Output::new(out.into(), err.into(), &run.results)?;
    match command.spawn() {
        Ok(child) => Ok(Ok((Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?), output))),
        Err(error) => {
            output.finish()?;
            Ok(Err(refused(program, &error)))
        }
    }
}

/// Why an interpreter cannot be run.
fn refused(program: &OsStr, error: &io::Error) -> End {
    let name = program.to_string_lossy().into_owned();
    match error.kind() {
        io::ErrorKind::NotFound => End::NoInterpreter(name),
        _ => End::BadInterpreter(name, error.to_string()),
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
