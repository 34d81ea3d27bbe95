//! The commands beside `run`, one file each.

pub mod assets;
pub mod deploy;
pub mod down;
pub mod image;
pub mod inventory;
pub mod up;

use std::{collections::BTreeMap, time::Instant};

use crds::{ExitCode, run_event::Stage, run_result::StageResult};

use crate::{
    failure::Failure,
    progress::{Drawing, Output, Progress},
};

/// A command that is one stage, from its begin to its exit code.
struct OneStage {
    stage: Stage,
    begin: Instant,
    output: Output,
    progress: Progress,
    drawing: Drawing,
}

impl OneStage {
    /// Starts the display, and the stage on it.
    fn begin(stage: Stage, output: Output) -> Self {
        let (progress, drawing) = Progress::start(output);
        let begin = Instant::now();
        progress.started(stage);
        Self { stage, begin, output, progress, drawing }
    }

    /// Shows how it ended; returns once all is drawn.
    fn end(self, figures: BTreeMap<String, f64>, outcome: Result<(), Failure>) -> Result<ExitCode, Failure> {
        let Self { stage, begin, output, progress, drawing } = self;
        progress.finished(&StageResult {
            stage,
            seconds: begin.elapsed().as_secs_f64(),
            figures,
            error: outcome.as_ref().err().map(|failure| failure.message.clone()),
        });
        drop(progress);
        drawing.finish();
        outcome.map_or_else(|failure| shown(output, failure), |()| Ok(ExitCode::Succeeded))
    }
}

/// How a command ends whose display has shown its failure. For people that was on standard error, where it would stand
/// twice; who reads JSON finds it there as well.
fn shown(output: Output, failure: Failure) -> Result<ExitCode, Failure> {
    match output {
        Output::Text => Ok(failure.code),
        Output::Json => Err(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_of_a_failure_once() {
        let failure = || Failure::infrastructure("no disk");
        assert_eq!(shown(Output::Text, failure()), Ok(ExitCode::Infrastructure));
        assert_eq!(shown(Output::Json, failure()), Err(failure()));
    }
}
