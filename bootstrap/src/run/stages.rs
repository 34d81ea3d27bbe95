//! Runs one stage after the other: measured, shown, ended by a signal or by the run's deadline.

use std::{collections::BTreeMap, future::Future, time::Duration};

use crds::{ExitCode, run_event::Stage, run_result::StageResult};
use tokio::time::Instant;

use crate::{failure::Failure, interrupt::Interrupt, progress::Progress};

/// What every stage needs.
#[derive(Debug)]
pub struct Stages {
    /// Where stages tell what they do.
    pub progress: Progress,
    interrupt: Interrupt,
    deadline: Instant,
    limit: Duration,
    done: Vec<StageResult>,
}

/// Durations that a stage reports beside its own, in seconds by name.
pub type Figures = BTreeMap<String, f64>;

impl Stages {
    /// Stages that end `limit` from now at the latest.
    pub fn new(progress: Progress, interrupt: Interrupt, limit: Duration) -> Self {
        Self { progress, interrupt, deadline: Instant::now() + limit, limit, done: Vec::new() }
    }

    /// Runs a stage of the way to the verdict. When a signal comes or the time is up it is dropped where it stands.
    pub async fn run<T>(
        &mut self,
        stage: Stage,
        work: impl Future<Output = Result<(T, Figures), Failure>>,
    ) -> Result<T, Failure> {
        let stops = self.stops();
        let limited = async {
            tokio::select! {
                outcome = work => outcome,
                stop = stops.stopped() => Err(stop),
            }
        };
        self.run_to_end(stage, limited).await
    }

    /// Runs a stage that must end by itself: clean-up and what precedes it are not stopped by a signal.
    pub async fn run_to_end<T>(
        &mut self,
        stage: Stage,
        work: impl Future<Output = Result<(T, Figures), Failure>>,
    ) -> Result<T, Failure> {
        self.progress.started(stage);
        let begin = Instant::now();
        let outcome = work.await;
        self.note(stage, begin, outcome)
    }

    /// What ends a run, for a stage that has to handle it itself.
    pub fn stops(&self) -> Stops {
        Stops { interrupt: self.interrupt.clone(), deadline: self.deadline, limit: self.limit }
    }

    /// What the stages came to.
    pub fn results(&self) -> &[StageResult] {
        &self.done
    }

    fn note<T>(
        &mut self,
        stage: Stage,
        begin: Instant,
        outcome: Result<(T, Figures), Failure>,
    ) -> Result<T, Failure> {
        let seconds = (begin.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let (value, figures, error) = match outcome {
            Ok((value, figures)) => (Ok(value), figures, None),
            Err(failure) => (Err(failure.clone()), Figures::new(), Some(failure.message)),
        };
        let result = StageResult { stage, seconds, figures, error };
        self.progress.finished(&result);
        self.done.push(result);
        value
    }
}

/// What ends a run before its verdict.
#[derive(Clone, Debug)]
pub struct Stops {
    interrupt: Interrupt,
    deadline: Instant,
    limit: Duration,
}

impl Stops {
    /// A signal alone.
    pub fn without_deadline(interrupt: Interrupt) -> Self {
        let limit = Duration::from_hours(24 * 365);
        Self { interrupt, deadline: Instant::now() + limit, limit }
    }

    /// Waits for a signal or for the run's deadline.
    pub async fn stopped(&self) -> Failure {
        tokio::select! {
            name = self.interrupt.signalled() => Failure::cancelled(format!("cancelled by {name}")),
            () = tokio::time::sleep_until(self.deadline) => Failure {
                code: ExitCode::TimedOut,
                message: format!("the run did not end within --timeout {}s", self.limit.as_secs()),
            },
        }
    }
}
