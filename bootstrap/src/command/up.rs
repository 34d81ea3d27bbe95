//! `kfe2e up`.

use std::{
    io::{Write as _, stdout},
    path::Path,
    time::Instant,
};

use crate::{
    command::shown,
    command_line::UpArgs,
    failure::Failure,
    interrupt::Interrupt,
    progress::{Output, Progress},
    run::{
        stages::Stops,
        up::{checked, interruptible},
    },
};
use crds::{ExitCode, run_event::Stage, run_result::StageResult};

/// Makes a cluster, or finds it running. What is half made when it fails or is interrupted is removed again.
pub async fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    let (kind, because) = args.cluster.kind();
    let cluster = checked(&args.settings(kind), because.as_deref()).await?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::infrastructure(format!("signals: {error}")))?;
    let (progress, drawing) = Progress::start(args.output);
    let begin = Instant::now();
    progress.started(Stage::Up);
    if let Some(because) = because {
        progress.say(Stage::Up, because);
    }
    let stops = Stops::without_deadline(interrupt);
    let outcome =
        interruptible(&cluster, &stops, &progress, Stage::Up, |cluster, say| cluster.create(say)).await;
    progress.finished(&StageResult {
        stage: Stage::Up,
        seconds: begin.elapsed().as_secs_f64(),
        figures: outcome.as_ref().map(|created| created.figures.clone()).unwrap_or_default(),
        error: outcome.as_ref().err().map(|failure| failure.message.clone()),
    });
    drop(progress);
    drawing.finish();
    match outcome {
        Ok(created) => {
            tell(args.output, &created.kubeconfig);
            Ok(ExitCode::Succeeded)
        }
        Err(failure) => shown(args.output, failure),
    }
}

/// Where the cluster's kubeconfig is. The cluster is there, also where nobody reads this.
fn tell(output: Output, kubeconfig: &Path) {
    let _ = match output {
        Output::Text => writeln!(stdout().lock(), "export KUBECONFIG={}", kubeconfig.display()),
        Output::Json => writeln!(stdout().lock(), "{}", serde_json::json!({ "kubeconfig": kubeconfig })),
    };
}
