//! Trying a test again: an attempt that did not pass is kept, and the next begins.

use crds::v1alpha1::{TestState, TestStatus};

use super::Context;
use crate::clock::stamp;

/// The test with its next attempt, if the one that has just ended is to be followed by another.
///
/// The number of the next attempt is written down with the end of the one before, so that no Job of it can be asked for
/// earlier. Nothing is tried again once the run has to end.
pub(crate) fn next(context: Context<'_>, entry: &TestStatus) -> Option<TestStatus> {
    let did_not_pass = match entry.state {
        TestState::Failed | TestState::Error | TestState::Inconclusive => true,
        TestState::Pending | TestState::Running | TestState::Passed | TestState::NotRun => false,
    };
    let retry = did_not_pass && entry.attempt <= context.test.retries && !context.end.passed(context.now);
    retry.then(|| TestStatus {
        name: entry.name.clone(),
        state: TestState::Running,
        attempt: entry.attempt + 1,
        start_time: Some(stamp(context.now)),
        attempts: entry.attempts.iter().cloned().chain([entry.as_earlier_attempt()]).collect(),
        ..TestStatus::default()
    })
}
