//! `kfe2e down`.

use std::time::Instant;

use crds::{ExitCode, run_event::Stage, run_result::StageResult};

use crate::{cluster, command_line::DownArgs, failure::Failure, progress::Progress};

/// Removes a cluster and everything that it left.
pub fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let cluster = cluster::of(&args.cluster.settings(1, &[]));
    cluster.check_removal()?;
    let (progress, drawing) = Progress::start(args.output);
    let begin = Instant::now();
    progress.started(Stage::Down);
    let outcome = cluster.destroy(&mut |line| progress.say(Stage::Down, line)).map_err(Failure::from);
    progress.finished(&StageResult {
        stage: Stage::Down,
        seconds: begin.elapsed().as_secs_f64(),
        figures: std::collections::BTreeMap::new(),
        error: outcome.as_ref().err().map(|failure| failure.message.clone()),
    });
    drop(progress);
    drawing.finish();
    outcome.map(|()| ExitCode::Succeeded)
}
