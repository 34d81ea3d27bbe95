//! Drives a notebook from its file to its verdict.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crds::{names::pod, progress::Progress, verdict::Verdict};
use jupyter_protocol::JupyterMessage;
use tokio::time::{sleep, timeout};

use super::{
    document::{CodeCell, Document},
    execute::Execution,
    outputs::Displays,
    verdict::{End, verdict},
};
use crate::{
    children::Children,
    command_line::Run,
    console::{Console, Echo},
    kernel::{
        client::{Client, ClientError, Message},
        connection::ConnectionFile,
        process::{Death, Process, Start},
        search,
        spec::{self, Kernel},
    },
    oom,
    progress::Teller,
    requirements,
    stop::{Stop, Stopper},
    whole_file,
    workplace::{self, Workplace},
};

/// How long a kernel may take to answer for the first time; the test's own timeout may be shorter.
const START_TAKES: Duration = Duration::from_mins(2);

/// How often a kernel is started: a port that was free may be taken when the kernel binds it.
const STARTS: usize = 3;

/// How long outputs may still come after the answer. A kernel that dropped its last message must not cost the test.
const OUTPUTS_TAKE: Duration = Duration::from_secs(4);

/// Quiet time after a kernel's death after which nothing of it is under way any more.
const LAST_MESSAGES_TAKE: Duration = Duration::from_millis(100);

/// How long a kernel may take to end by itself after the last cell.
const SHUTDOWN_TAKES: Duration = Duration::from_secs(5);

/// Runs the notebook; the verdict says all that can go wrong with it.
///
/// # Errors
/// What goes wrong with the runner itself.
pub async fn run(run: &Run, source: &Path, parameters: &[(String, String)]) -> Result<Verdict, io::Error> {
    let mut stopper = Stopper::new(run.timeout)?;
    let workplace = workplace::prepare(run)?;
    let mut document = match read(source, parameters) {
        Ok(document) => document,
        Err(why) => return Ok(verdict(&End::NotRunnable(why), 0, 0)),
    };
    let cells = document.code_cells();
    let total = i32::try_from(cells.len()).unwrap_or(i32::MAX);
    if cells.iter().all(|cell| cell.skipped) {
        let why = format!("{}: no code cell to execute, so nothing was tested", source.display());
        return Ok(verdict(&End::NotRunnable(why), 0, total));
    }
    cells.iter().filter(|cell| !cell.skipped).for_each(|cell| document.clear(cell.index));
    let mut notebook = Notebook {
        document,
        file: run.results.join(pod::EXECUTED_NOTEBOOK),
        echo: Echo::new(Console::stdout()),
        displays: Displays::default(),
        children: Children::new()?,
        progress: Teller::beside(&run.results),
        passed: 0,
        total,
    };
    notebook.save();
    let end = notebook.execute(run, &cells, &workplace, &mut stopper).await?;
    notebook.save();
    Ok(verdict(&end, notebook.passed, total))
}

/// Reads the notebook's file, and gives it its parameters.
fn read(source: &Path, parameters: &[(String, String)]) -> Result<Document, String> {
    let place = source.display();
    let bytes = fs::read(source).map_err(|error| format!("{place} cannot be read: {error}"))?;
    let mut document =
        Document::parse(&bytes).map_err(|error| format!("{place} cannot be run as a notebook: {error}"))?;
    if !parameters.is_empty() {
        document.parameterize(parameters).map_err(|error| format!("{place} takes no parameters: {error}"))?;
    }
    Ok(document)
}

/// A notebook under way.
struct Notebook {
    document: Document,
    file: PathBuf,
    echo: Echo,
    displays: Displays,
    children: Children,
    progress: Teller,
    passed: i32,
    total: i32,
}

/// A kernel that answers.
struct Ready {
    process: Process,
    client: Client,
    by_message: bool,
    /// Removed with the kernel.
    _connection: ConnectionFile,
}

/// How waiting for a cell ended.
enum Waited {
    Over,
    Died(Death),
    Lost(ClientError),
    Stopped(Stop),
}

impl Notebook {
    /// Starts the kernel, executes the cells, ends the kernel and all that it started.
    async fn execute(
        &mut self,
        run: &Run,
        cells: &[CodeCell],
        workplace: &Workplace,
        stopper: &mut Stopper,
    ) -> io::Result<End> {
        let folders = search::folders(|name| env::var_os(name));
        let kernel = match spec::find(&self.document.kernel(), &folders) {
            Ok(kernel) => kernel,
            Err(error) => return Ok(End::NoKernel(error.to_string())),
        };
        let program = kernel.command(Path::new(""), Path::exists).first().map(OsString::from);
        let refused =
            requirements::install(run, program.as_deref(), workplace, &mut self.children, stopper).await?;
        if let Some(verdict) = refused {
            return Ok(End::NoRequirements(verdict));
        }
        let mut ready = match self.start(&kernel, workplace, stopper).await {
            Ok(ready) => ready,
            Err(end) => return Ok(end),
        };
        let mut end = End::Finished;
        for cell in cells {
            if let Some(failure) = self.execute_cell(cell, &mut ready, stopper).await {
                end = failure;
                break;
            }
        }
        // A cell that did not end would not let the kernel end either.
        if !matches!(end, End::Stopped { .. } | End::Died { .. }) {
            // Whatever the kernel makes of it, it is ended next.
            let _ = timeout(SHUTDOWN_TAKES, async {
                if ready.client.shut_down().await.is_ok() {
                    ready.process.died(&mut self.children).await;
                }
            })
            .await;
        }
        self.children.end_all(ready.process.pid()).await;
        Ok(end)
    }

    /// Starts the kernel and connects to it.
    async fn start(
        &mut self,
        kernel: &Kernel,
        workplace: &Workplace,
        stopper: &mut Stopper,
    ) -> Result<Ready, End> {
        let refused =
            |why: String| End::NoKernel(format!("kernel {:?} cannot be started: {why}", kernel.name));
        let mut variables = kernel.variables(|name| env::var(name).ok());
        variables.extend(
            workplace::variables(workplace)
                .into_iter()
                .map(|(name, value)| (name.into(), value.to_string_lossy().into_owned())),
        );
        let kills = oom::kills();
        for attempt in 1..=STARTS {
            let connection =
                ConnectionFile::create(&workplace.folder, &kernel.name).await.map_err(|error| {
                    refused(format!("no connection file in {}: {error}", workplace.folder.display()))
                })?;
            let command = kernel.command(connection.path(), Path::exists);
            let program = command.first().cloned().unwrap_or_default();
            let start = Start { command, variables: variables.clone(), folder: workplace.folder.clone() };
            let mut process = Process::start(&start)
                .map_err(|error| refused(format!("{program} cannot be run: {error}")))?;
            let pid = process.pid();
            let end = tokio::select! {
                connected = Client::connect(&connection.info) => match connected {
                    Ok((client, language)) => {
                        self.document.set_language(language);
                        let by_message = kernel.interrupts_by_message();
                        return Ok(Ready { process, client, by_message, _connection: connection });
                    }
                    Err(error) => refused(error.to_string()),
                },
                death = process.died(&mut self.children) => {
                    if attempt < STARTS && death.last_words.contains("ddress already in use") {
                        continue;
                    }
                    End::Died { cell: None, out_of_memory: oom::was_cause(death.exit, kills), death }
                }
                () = sleep(START_TAKES) => refused(format!("it did not answer within {} s", START_TAKES.as_secs())),
                stop = stopper.requested() => End::Stopped { cell: None, stop },
            };
            self.children.end_all(pid).await;
            return Err(end);
        }
        Err(refused(format!("its ports were taken {STARTS} times")))
    }

    /// Executes one cell and puts its outcome into the notebook; returns an end if the cell did not pass.
    async fn execute_cell(
        &mut self,
        cell: &CodeCell,
        ready: &mut Ready,
        stopper: &mut Stopper,
    ) -> Option<End> {
        let title = cell.source.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let skipped = if cell.skipped { " (skipped by its tag)" } else { "" };
        self.echo.line(&format!("── cell {} of {}{skipped}: {title}", cell.number, self.total));
        if cell.skipped {
            return None;
        }
        self.progress.tell(&Progress::of(self.passed, self.total, Some(cell.number)));
        ready.process.forget_output();
        let kills = oom::kills();
        let request = Client::execute_request(&cell.source, cell.may_raise);
        let mut execution = Execution::new(cell, request.header.msg_id.clone());
        let waited = tokio::select! {
            waited = self.send_and_wait(request, &mut execution, ready) => waited,
            stop = stopper.requested() => Waited::Stopped(stop),
        };
        let waited = match waited {
            Waited::Stopped(stop) => {
                self.interrupt(&mut execution, ready, stop).await;
                Waited::Stopped(stop)
            }
            other => other,
        };
        let failure = execution.failure();
        let (count, timing, outputs) = execution.into_parts();
        self.document.record(cell.index, count, timing, outputs);
        self.save();
        match waited {
            Waited::Over => {
                self.passed += i32::from(failure.is_none());
                failure.map(|failure| End::Raised(cell.clone(), failure))
            }
            Waited::Died(death) => {
                let out_of_memory = oom::was_cause(death.exit, kills);
                Some(End::Died { cell: Some(cell.clone()), out_of_memory, death })
            }
            Waited::Lost(error) => Some(End::NoKernel(format!("cell {}: {error}", cell.number))),
            Waited::Stopped(stop) => Some(End::Stopped { cell: Some(cell.clone()), stop }),
        }
    }

    /// Sends the cell and waits for its end. One that the kernel does not take is stopped like one that does not end.
    async fn send_and_wait(
        &mut self,
        request: JupyterMessage,
        execution: &mut Execution,
        ready: &mut Ready,
    ) -> Waited {
        let sent = tokio::select! {
            sent = ready.client.send(request) => sent,
            death = ready.process.died(&mut self.children) => return Waited::Died(death),
        };
        match sent {
            Ok(()) => self.wait(execution, ready).await,
            Err(error) => Waited::Lost(error),
        }
    }

    /// Waits until the cell is over or the kernel is gone. Nothing is lost when this is cancelled.
    async fn wait(&mut self, execution: &mut Execution, ready: &mut Ready) -> Waited {
        while !execution.is_over() {
            tokio::select! {
                // What the kernel said before it died comes first.
                biased;
                message = ready.client.receive() => match message {
                    Ok(message) => self.take(execution, &message),
                    Err(error) => return Waited::Lost(error),
                },
                death = ready.process.died(&mut self.children) => {
                    while let Ok(Ok(message)) = timeout(LAST_MESSAGES_TAKE, ready.client.receive()).await {
                        self.take(execution, &message);
                    }
                    return if execution.is_over() { Waited::Over } else { Waited::Died(death) };
                }
                () = sleep(OUTPUTS_TAKE), if execution.is_answered() => {
                    self.echo.line("── the kernel did not say that its outputs are complete: some may be missing");
                    return Waited::Over;
                }
            }
        }
        Waited::Over
    }

    /// Takes in a message of the kernel.
    fn take(&mut self, execution: &mut Execution, message: &Message) {
        let taken = execution.take(message, &mut self.displays);
        self.echo.write(taken.echo.as_bytes());
        for (cell, output) in taken.updates {
            self.document.update_output(cell, output, &message.content);
        }
    }

    /// Interrupts a cell whose time is up, so that its traceback shows where it was.
    async fn interrupt(&mut self, execution: &mut Execution, ready: &mut Ready, stop: Stop) {
        // A kernel that does not heed it is killed next.
        let _ = timeout(stop.grace(), async {
            if !ready.by_message {
                ready.process.interrupt();
            } else if let Err(error) = ready.client.interrupt().await {
                self.echo.line(&format!("── the kernel cannot be interrupted: {error}"));
            }
            self.wait(execution, ready).await
        })
        .await;
    }

    /// Saves the notebook; a full disk must not change the verdict.
    fn save(&mut self) {
        if let Err(error) = whole_file::replace(&self.file, |writer| self.document.write(writer)) {
            self.echo.line(&format!("── {} cannot be saved: {error}", self.file.display()));
        }
    }
}
