//! Events, drafted from the difference of two statuses: each transition is told once.

use crds::v1alpha1::{
    ConditionType, E2ETestStatus, JobReference, RunReason, TestReason, TestState, TestStatus, find,
};

use crate::{decide::is_finished, verdict};

/// An event about the run, for the shell to publish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EventDraft {
    /// Whether it is a Warning.
    pub warning: bool,
    /// Why: a word in PascalCase.
    pub reason: String,
    /// What was being done: a word in PascalCase.
    pub action: &'static str,
    /// One sentence.
    pub note: String,
    /// The Job that it is about, beside the run. It also keeps events of several tests from being taken for one.
    pub job: Option<JobReference>,
}

/// What happened between two statuses.
pub(crate) fn between(old: &E2ETestStatus, new: &E2ETestStatus) -> Vec<EventDraft> {
    let mut drafts = Vec::new();
    if old.start_time.is_none() && !new.tests.is_empty() {
        let names: Vec<&str> = new.tests.iter().map(|test| test.name.as_str()).collect();
        drafts.push(normal("Started", "Start", format!("The run started; its tests: {}", names.join(", "))));
    }
    if old.cancel_time.is_none() && new.cancel_time.is_some() && !is_finished(new) {
        let note = "The run is being cancelled: what runs is ended, and nothing more is started";
        drafts.push(normal("Cancelling", "Cancel", note.to_owned()));
    }
    drafts.extend(gate(old, new));
    for test in &new.tests {
        let before = old.tests.iter().find(|before| before.name == test.name);
        drafts.extend(of_attempt(before, test));
        drafts.extend(of_test(before, test));
    }
    drafts.extend(finished(old, new));
    drafts
}

/// A Normal event.
fn normal(reason: &str, action: &'static str, note: String) -> EventDraft {
    EventDraft { warning: false, reason: reason.to_owned(), action, note, job: None }
}

/// The gate opened, or lapsed.
fn gate(old: &E2ETestStatus, new: &E2ETestStatus) -> Option<EventDraft> {
    let before = find(&old.conditions, ConditionType::KubeflowReady);
    let after = find(&new.conditions, ConditionType::KubeflowReady)?;
    if before.is_some_and(|before| before.status == after.status) {
        return None;
    }
    match after.status.as_str() {
        "True" => Some(normal("KubeflowReady", "Gate", after.message.clone())),
        "False" if before.is_some_and(|before| before.status == "True") => Some(EventDraft {
            warning: true,
            reason: "KubeflowLapsed".to_owned(),
            action: "Gate",
            note: after.message.clone(),
            job: None,
        }),
        _ => None,
    }
}

/// An attempt did not pass, and another follows.
fn of_attempt(before: Option<&TestStatus>, test: &TestStatus) -> Option<EventDraft> {
    let known = before.map_or(0, |before| before.attempts.len());
    let attempt = test.attempts.get(known)?;
    let message = attempt.message.as_deref().unwrap_or_default();
    let note = format!(
        "Attempt {} of test {} did not pass, and is followed by another: {message}",
        attempt.attempt, test.name
    );
    let reason = attempt.reason.map_or("NotPassed", TestReason::as_str).to_owned();
    Some(EventDraft { warning: true, reason, action: "Retry", note, job: attempt.job.clone() })
}

/// A test's Job was made, or the test is over.
fn of_test(before: Option<&TestStatus>, test: &TestStatus) -> Option<EventDraft> {
    let was = before.map(|before| before.state).unwrap_or_default();
    if test.state.is_final() && !was.is_final() {
        let message = test.message.as_deref().unwrap_or_default();
        let reason = test.reason.map_or("NotRun", TestReason::as_str);
        let job = test.job.clone();
        return Some(match test.state {
            TestState::Passed if test.flaky => {
                let note = format!("Test {} is flaky: {}", test.name, verdict::of_flaky(test));
                EventDraft { warning: true, reason: "TestFlaky".to_owned(), action: "Test", note, job }
            }
            TestState::Passed => {
                EventDraft { job, ..normal("TestPassed", "Test", format!("Test {} passed", test.name)) }
            }
            TestState::Pending
            | TestState::Running
            | TestState::Failed
            | TestState::Error
            | TestState::Inconclusive
            | TestState::NotRun => EventDraft {
                warning: true,
                reason: reason.to_owned(),
                action: "Test",
                note: format!("Test {} did not pass: {message}", test.name),
                job,
            },
        });
    }
    let had_job = before.is_some_and(|before| before.attempt == test.attempt && before.job.is_some());
    let job = test.job.as_ref().filter(|_| !had_job)?;
    let again = if test.attempt > 1 { format!(", attempt {}", test.attempt) } else { String::new() };
    let note = format!("Test {} runs as Job {}{again}", test.name, job.name);
    Some(EventDraft { job: Some(job.clone()), ..normal("TestStarted", "Test", note) })
}

/// The run is over.
fn finished(old: &E2ETestStatus, new: &E2ETestStatus) -> Option<EventDraft> {
    if is_finished(old) || !is_finished(new) {
        return None;
    }
    let condition = find(&new.conditions, ConditionType::Succeeded)?;
    Some(EventDraft {
        warning: condition.reason != RunReason::TestsPassed.as_str(),
        reason: condition.reason.clone(),
        action: "Finish",
        note: condition.message.clone(),
        job: None,
    })
}
