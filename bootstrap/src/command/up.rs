//! `kfe2e up`.

use std::{path::PathBuf, sync::Arc, time::Instant};

use crds::{ExitCode, run_event::Stage, run_result::StageResult};
use tokio::task::spawn_blocking;

use crate::{
    cluster::{self, Cluster, Created},
    command_line::UpArgs,
    failure::Failure,
    interrupt::Interrupt,
    progress::{Output, Progress},
};

/// Makes a cluster, or finds it running. What is half made when it fails or is interrupted is removed again.
pub async fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    let cluster: Arc<dyn Cluster> = Arc::from(cluster::of(&args.cluster.settings(args.nodes, &args.images)));
    cluster.check()?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::infrastructure(format!("signals: {error}")))?;
    let (progress, drawing) = Progress::start(args.output);
    let begin = Instant::now();
    progress.started(Stage::Up);
    let outcome = make(&cluster, &interrupt, &progress).await;
    progress.finished(&StageResult {
        stage: Stage::Up,
        seconds: begin.elapsed().as_secs_f64(),
        figures: outcome.as_ref().map(|created| created.figures.clone()).unwrap_or_default(),
        error: outcome.as_ref().err().map(|failure| failure.message.clone()),
    });
    drop(progress);
    drawing.finish();
    let created = outcome?;
    tell(args.output, &created.kubeconfig);
    Ok(ExitCode::Succeeded)
}

async fn make(
    cluster: &Arc<dyn Cluster>,
    interrupt: &Interrupt,
    progress: &Progress,
) -> Result<Created, Failure> {
    let (owned, lines) = (Arc::clone(cluster), progress.clone());
    let mut making = spawn_blocking(move || owned.create(&mut |line| lines.say(Stage::Up, line)));
    let failure = tokio::select! {
        made = &mut making => match crate::run::joined(made) {
            Ok(created) => return Ok(created),
            Err(failure) => failure,
        },
        name = interrupt.signalled() => {
            cluster.interrupt();
            // It has to have ended before it can be removed; how it ended no longer matters.
            let _ = making.await;
            Failure { code: ExitCode::Cancelled, message: format!("cancelled by {name}") }
        }
    };
    let (owned, lines) = (Arc::clone(cluster), progress.clone());
    let removed = spawn_blocking(move || owned.destroy(&mut |line| lines.say(Stage::Up, line))).await;
    match crate::run::joined(removed) {
        Ok(()) => Err(failure),
        Err(left) => {
            Err(Failure { message: format!("{failure}; and removing what was made: {left}"), ..failure })
        }
    }
}

#[allow(clippy::print_stdout, reason = "the result of the command")]
fn tell(output: Output, kubeconfig: &PathBuf) {
    match output {
        Output::Text => println!("export KUBECONFIG={}", kubeconfig.display()),
        Output::Json => println!("{}", serde_json::json!({ "kubeconfig": kubeconfig })),
    }
}
