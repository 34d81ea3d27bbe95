//! What a pass intends, and what it says once its effects were tried.

use std::time::Duration;

use crds::{
    v1alpha1::{ConditionType, E2ETestStatus, RunReason, TestReason, TestState, TestStatus},
    verdict::truncate,
};
use jiff::Timestamp;

use crate::{
    attempt::{FOR_POD, MAX_MESSAGE, not_served_sentence, state_of},
    clock::stamp,
    conditions::{Saying, Truth, set},
    decide::is_finished,
    effect::{Acted, Batch, Outcome},
    ending::RunsEnd,
    event::{self, EventDraft},
    expiry::Expired,
    verdict,
};

/// When to look at the run again, if nothing that is watched changes before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Requeue {
    /// At once: this pass wrote down what the next one acts on.
    Now,
    /// After this long.
    After(Duration),
    /// Never: the run is over.
    Never,
}

/// What a pass intends.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What to do.
    pub effects: Vec<Batch>,
    /// What to say if all of it is done.
    pub status: E2ETestStatus,
    /// When to look again.
    pub requeue: Requeue,
    /// The run itself, if it is to be deleted: nothing else is to be done then.
    pub expired: Option<Expired>,
    /// The status before this pass.
    before: E2ETestStatus,
    /// The status after this pass without what is concluded from the tests, and what that needs; `None` where nothing is
    /// left to conclude.
    draft: Option<Draft>,
}

/// What the run's conditions are concluded from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Draft {
    pub(crate) status: E2ETestStatus,
    pub(crate) generation: Option<i64>,
    pub(crate) end: RunsEnd,
    pub(crate) now: Timestamp,
}

impl Draft {
    /// Lets the tests that had not begun before this pass wait for the next one.
    fn not_begun_again(&mut self, before: &E2ETestStatus) {
        for entry in &mut self.status.tests {
            let known = before.tests.iter().find(|known| known.name == entry.name);
            if known.is_none_or(|known| known.state == TestState::Pending) {
                *entry = known
                    .cloned()
                    .unwrap_or_else(|| TestStatus { name: entry.name.clone(), ..TestStatus::default() });
            }
        }
    }
}

/// What to say after a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The status to write; `None` where it is the same as before.
    pub status: Option<E2ETestStatus>,
    /// Events to publish once the status is written.
    pub events: Vec<EventDraft>,
    /// When to look again.
    pub requeue: Requeue,
}

impl Plan {
    /// Nothing to do, nothing to say, for good.
    pub(crate) const fn nothing(before: E2ETestStatus, status: E2ETestStatus) -> Self {
        Self::finished(before, status, None, Requeue::Never)
    }

    /// Nothing to do for a run that is over, unless its time has come.
    pub(crate) const fn finished(
        before: E2ETestStatus,
        status: E2ETestStatus,
        expired: Option<Expired>,
        requeue: Requeue,
    ) -> Self {
        Self { effects: Vec::new(), status, requeue, expired, before, draft: None }
    }

    /// These effects, and the conditions that the draft leads to.
    pub(crate) fn new(before: E2ETestStatus, effects: Vec<Batch>, draft: Draft, requeue: Requeue) -> Self {
        Self { effects, status: conclude(&draft), requeue, expired: None, before, draft: Some(draft) }
    }

    /// What to say now that the effects were tried: what is not done is not said to be done.
    pub fn settle(&self, acted: &Acted) -> Report {
        let mut requeue = self.requeue;
        let status = self.draft.as_ref().map_or_else(
            || self.status.clone(),
            |draft| {
                let mut draft = draft.clone();
                if acted.values().any(|outcome| matches!(outcome, Outcome::Failed { .. })) {
                    // What was decided for tests that had not begun may follow from what was not done.
                    draft.not_begun_again(&self.before);
                }
                for (test, outcome) in acted {
                    let before = self.before.tests.iter().find(|entry| entry.name == *test);
                    let Some(entry) = draft.status.tests.iter_mut().find(|entry| entry.name == *test) else {
                        continue;
                    };
                    if settle_test(entry, before, outcome, draft.now) {
                        requeue = Requeue::Now;
                    }
                }
                conclude(&draft)
            },
        );
        // An end that was put off, since a write that it depends on failed, is not the end.
        if requeue == Requeue::Never && self.draft.is_some() && !is_finished(&status) {
            requeue = Requeue::Now;
        }
        let events = event::between(&self.before, &status);
        Report { status: (status != self.before).then_some(status), events, requeue }
    }
}

/// Corrects one test by what became of its effects. Returns whether the next pass should follow at once.
fn settle_test(
    entry: &mut TestStatus,
    before: Option<&TestStatus>,
    outcome: &Outcome,
    now: Timestamp,
) -> bool {
    match outcome {
        Outcome::Done => false,
        Outcome::JobCreated(job) => {
            entry.job = Some(job.clone());
            entry.message = Some(FOR_POD.to_owned());
            false
        }
        Outcome::JobExists => true,
        Outcome::PodDefaultNotServed => {
            end(entry, TestReason::PodDefaultNotInjected, not_served_sentence(), now);
            false
        }
        // An attempt that is over stays over: what could not be stopped ends at its own deadline.
        Outcome::Refused { .. }
            if entry.state.is_final() || before.is_some_and(|before| before.attempt != entry.attempt) =>
        {
            false
        }
        Outcome::Refused { message, permanent: true } => {
            end(entry, TestReason::PodCreationRefused, message, now);
            false
        }
        Outcome::Refused { message, permanent: false } => {
            entry.message = Some(truncate(message, MAX_MESSAGE));
            false
        }
        Outcome::Failed { .. } => {
            if let Some(before) = before {
                *entry = before.clone();
            }
            false
        }
    }
}

/// Ends a test for a reason that its effects brought to light. It is not tried again: the same would be refused again.
fn end(entry: &mut TestStatus, reason: TestReason, message: &str, now: Timestamp) {
    entry.state = state_of(reason);
    entry.reason = Some(reason);
    entry.message = Some(truncate(message, MAX_MESSAGE));
    entry.completion_time = Some(stamp(now));
}

/// The whole status: summary, `Finished` and `Succeeded`, and the end of the run.
fn conclude(draft: &Draft) -> E2ETestStatus {
    let mut status = draft.status.clone();
    let passed = status.tests.iter().filter(|test| test.state == TestState::Passed).count();
    status.tests_summary = Some(format!("{passed}/{}", status.tests.len()));
    let (reason, message) = verdict::of(&status, &draft.end);
    say(&mut status, reason, &message, draft.generation, draft.now);
    status
}

/// Sets `Finished` and `Succeeded`, and the completion time with a verdict.
pub(crate) fn say(
    status: &mut E2ETestStatus,
    reason: RunReason,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) {
    let (finished, succeeded) = match (reason.is_verdict(), reason == RunReason::TestsPassed) {
        (false, _) => (Truth::False, Truth::Unknown),
        (true, true) => (Truth::True, Truth::True),
        (true, false) => (Truth::True, Truth::False),
    };
    let reason_text = reason.as_str();
    for (type_, truth) in [(ConditionType::Finished, finished), (ConditionType::Succeeded, succeeded)] {
        set(&mut status.conditions, type_, &Saying { truth, reason: reason_text, message }, generation, now);
    }
    if reason.is_verdict() {
        status.completion_time.get_or_insert_with(|| stamp(now));
    }
}
