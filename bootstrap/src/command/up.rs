//! `kfe2e up`.

use std::{
    io::{Write as _, stdout},
    path::Path,
};

use crate::{
    command::OneStage,
    command_line::UpArgs,
    failure::Failure,
    interrupt::Interrupt,
    progress::Output,
    run::{
        stages::Stops,
        up::{checked, interruptible},
    },
};
use crds::{ExitCode, run_event::Stage};

/// Makes a cluster, or finds it running. What is half made when it fails or is interrupted is removed again.
pub async fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    let (kind, because) = args.cluster.kind();
    let cluster = checked(&args.settings(kind), because.as_deref()).await?;
    let interrupt =
        Interrupt::listen().map_err(|error| Failure::infrastructure(format!("signals: {error}")))?;
    let command = OneStage::begin(Stage::Up, args.output);
    let progress = &command.progress;
    if let Some(because) = because {
        progress.say(Stage::Up, because);
    }
    let stops = Stops::without_deadline(interrupt);
    let outcome =
        interruptible(&cluster, &stops, progress, Stage::Up, |cluster, say| cluster.create(say)).await;
    let figures = outcome.as_ref().map(|created| created.figures.clone()).unwrap_or_default();
    let ended = command.end(figures, outcome.as_ref().map(|_| ()).map_err(Clone::clone));
    if let Ok(created) = &outcome {
        tell(args.output, &created.kubeconfig);
    }
    ended
}

/// Where the cluster's kubeconfig is. The cluster is there, also where nobody reads this.
fn tell(output: Output, kubeconfig: &Path) {
    let _ = match output {
        Output::Text => writeln!(stdout().lock(), "export KUBECONFIG={}", kubeconfig.display()),
        Output::Json => writeln!(stdout().lock(), "{}", serde_json::json!({ "kubeconfig": kubeconfig })),
    };
}
