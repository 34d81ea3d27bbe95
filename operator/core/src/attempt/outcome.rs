//! What an attempt came to, and what its test then says.

use crds::{
    v1alpha1::{CellSummary, RunReason, TestReason, TestState, TestStatus},
    verdict::truncate,
};
use jiff::Timestamp;

use super::{Context, MAX_MESSAGE, Step, running};
use crate::{clock::stamp, effect::Effect, ending::Cause};

/// What an attempt came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Passed,
    DidNotPass(TestReason),
    /// The run was cancelled while it ran.
    CutShort,
    /// The run was cancelled before it started.
    NotRun,
}

/// How an attempt ended.
pub(super) struct Ending {
    pub(super) outcome: Outcome,
    pub(super) message: String,
    pub(super) cells: Option<CellSummary>,
    /// When, where the pod says so.
    pub(super) at: Option<Timestamp>,
}

impl Ending {
    /// An attempt that did not pass.
    pub(super) fn because(reason: TestReason, message: impl Into<String>) -> Self {
        Self::with(Outcome::DidNotPass(reason), message)
    }

    /// An attempt that the run's end cut short; `started` says whether its test ran.
    pub(super) fn by_the_runs_end(context: Context<'_>, started: bool) -> Self {
        let outcome = match context.end.cause {
            Cause::Timeout(_) => Outcome::DidNotPass(TestReason::TimedOut),
            Cause::Cancelled if started => Outcome::CutShort,
            Cause::Cancelled => Outcome::NotRun,
        };
        Self::with(outcome, context.end.sentence())
    }

    /// An attempt of which nothing more is known.
    pub(super) fn with(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), cells: None, at: None }
    }
}

/// An attempt that is over.
pub(super) fn over(context: Context<'_>, entry: &TestStatus, ending: &Ending, stop: Option<Effect>) -> Step {
    let mut status = entry.clone();
    (status.state, status.reason) = match ending.outcome {
        Outcome::Passed => (TestState::Passed, None),
        Outcome::DidNotPass(reason) => (state_of(reason), Some(reason)),
        Outcome::CutShort => (TestState::Inconclusive, None),
        Outcome::NotRun => (TestState::NotRun, None),
    };
    status.flaky = status.state == TestState::Passed && !status.attempts.is_empty();
    status.message = Some(truncate(&ending.message, MAX_MESSAGE)).filter(|message| !message.is_empty());
    status.cells = ending.cells.or_else(|| entry.cells.map(running::last_known));
    status.completion_time = Some(stamp(ending.at.unwrap_or(context.now)));
    Step { status, effects: stop.into_iter().collect(), wake: None }
}

/// The state of a test that ended for this reason.
pub(crate) const fn state_of(reason: TestReason) -> TestState {
    match reason.verdict() {
        RunReason::TestsFailed => TestState::Failed,
        RunReason::InfrastructureError => TestState::Error,
        // A test's reason leads to one of these three; should one ever lead elsewhere, nobody can say that it passed.
        RunReason::Inconclusive
        | RunReason::WaitingForKubeflow
        | RunReason::Running
        | RunReason::TestsPassed
        | RunReason::KubeflowNotReady
        | RunReason::TimedOut
        | RunReason::Cancelled
        | RunReason::InvalidSpec => TestState::Inconclusive,
    }
}
