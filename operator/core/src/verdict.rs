//! The run's verdict, from what its status says of the gate and of the tests, and the sentence that goes with it.

use std::collections::BTreeMap;

use crds::v1alpha1::{
    ConditionType, E2ETestStatus, GateReason, RunReason, TestReason, TestState, TestStatus, find,
};

use crate::ending::{Cause, RunsEnd};

/// Tests that a sentence names at most; the status has them all.
const NAMED: usize = 5;

/// The reason of `Finished` and `Succeeded`, and its sentence. Anything but a verdict means that the run goes on.
pub(crate) fn of(status: &E2ETestStatus, end: &RunsEnd) -> (RunReason, String) {
    let tests = &status.tests;
    let cancelled = end.cause == Cause::Cancelled;
    if gate_is(status, GateReason::TimedOut) && !cancelled {
        return (RunReason::KubeflowNotReady, gate_message(status));
    }
    if tests.iter().any(|test| !test.state.is_final()) {
        return under_way(status, cancelled);
    }
    let reason = match end.cause {
        Cause::Cancelled => RunReason::Cancelled,
        Cause::Timeout(_) if timed_out(tests, end) => RunReason::TimedOut,
        Cause::Timeout(_) => of_tests(tests),
    };
    (reason, sentence(reason, tests))
}

/// Where a run stands that is not over.
fn under_way(status: &E2ETestStatus, cancelled: bool) -> (RunReason, String) {
    let tests = &status.tests;
    if tests.iter().all(|test| test.attempt == 0) && !gate_is(status, GateReason::Ready) && has_gate(status) {
        return (RunReason::WaitingForKubeflow, format!("no test has started: {}", gate_message(status)));
    }
    let done = tests.iter().filter(|test| test.state.is_final()).count();
    let mut parts = vec![format!("{done} of {} tests done", tests.len())];
    parts.extend(cancelled.then(|| "the run is being cancelled".to_owned()));
    parts.extend(by_message(tests).into_iter().map(|(waits_for, names)| {
        let names = list(&names, ", ");
        match waits_for {
            None => format!("running: {names}"),
            Some(waits_for) => format!("{names}: {waits_for}"),
        }
    }));
    (RunReason::Running, parts.join("; "))
}

/// Names of the running tests by what they wait for, since many often wait for the same; those that wait for nothing first.
fn by_message(tests: &[TestStatus]) -> BTreeMap<Option<&str>, Vec<String>> {
    let mut by_message = BTreeMap::<_, Vec<String>>::new();
    for test in tests.iter().filter(|test| test.state == TestState::Running || test.message.is_some()) {
        if !test.state.is_final() {
            by_message.entry(test.message.as_deref()).or_default().push(again(test));
        }
    }
    by_message
}

/// A running test's name, and which attempt it is if there was one before.
fn again(test: &TestStatus) -> String {
    if test.attempt > 1 { format!("{} (attempt {})", test.name, test.attempt) } else { test.name.clone() }
}

/// Whether the run's own timeout ended it: a test was over, or given up, only after the deadline.
fn timed_out(tests: &[TestStatus], end: &RunsEnd) -> bool {
    tests.iter().any(|test| test.completion_time.as_ref().is_some_and(|completion| end.passed(completion.0)))
}

/// The verdict that the tests lead to: the first of failed, infrastructure, inconclusive; passed only if every test did.
fn of_tests(tests: &[TestStatus]) -> RunReason {
    let verdicts: Vec<RunReason> = tests
        .iter()
        .filter(|test| test.state != TestState::Passed)
        .map(|test| test.reason.map_or(RunReason::Inconclusive, TestReason::verdict))
        .collect();
    [RunReason::TestsFailed, RunReason::InfrastructureError, RunReason::Inconclusive]
        .into_iter()
        .find(|verdict| verdicts.contains(verdict))
        .unwrap_or(if verdicts.is_empty() && !tests.is_empty() {
            RunReason::TestsPassed
        } else {
            RunReason::Inconclusive
        })
}

/// The sentence of a finished run: how many tests, and what became of those that did not pass.
fn sentence(reason: RunReason, tests: &[TestStatus]) -> String {
    let total = tests.len();
    if reason == RunReason::TestsPassed {
        let all = if total == 1 { "the test passed".to_owned() } else { format!("all {total} tests passed") };
        return with_flaky(all, tests);
    }
    let passed = tests.iter().filter(|test| test.state == TestState::Passed).count();
    if passed == total {
        let why =
            if reason == RunReason::Cancelled { "the run was cancelled" } else { "the run's time was up" };
        return with_flaky(format!("{why}; all {total} tests passed"), tests);
    }
    let (failed, others): (Vec<_>, Vec<_>) = tests
        .iter()
        .filter(|test| test.state != TestState::Passed)
        .partition(|test| reason == RunReason::TestsFailed && test.state == TestState::Failed);
    let named =
        |tests: &[&TestStatus]| list(&tests.iter().map(|test| of_one(test)).collect::<Vec<_>>(), "; ");
    let text = match (failed.len(), others.len()) {
        (failures, 0) => format!("{failures} of {total} tests failed: {}", named(&failed)),
        (0, rest) => format!("{rest} of {total} tests did not pass: {}", named(&others)),
        (failures, rest) => format!(
            "{failures} of {total} tests failed: {}; {rest} more did not pass: {}",
            named(&failed),
            named(&others)
        ),
    };
    with_flaky(text, tests)
}

/// Adds the tests that passed only after an attempt that did not.
fn with_flaky(text: String, tests: &[TestStatus]) -> String {
    let flaky: Vec<String> = tests.iter().filter(|test| test.flaky).map(of_flaky).collect();
    if flaky.is_empty() { text } else { format!("{text}; flaky: {}", list(&flaky, "; ")) }
}

/// One flaky test in a few words.
pub(crate) fn of_flaky(test: &TestStatus) -> String {
    let last = test.attempts.last();
    let reason = last.and_then(|attempt| attempt.reason).map_or("did not pass", TestReason::as_str);
    let message = last.and_then(|attempt| attempt.message.as_deref()).map(|message| format!(": {message}"));
    format!(
        "{} passed in attempt {}, attempt {}: {reason}{}",
        test.name,
        test.attempt,
        test.attempt - 1,
        message.unwrap_or_default()
    )
}

/// One test that did not pass, in a few words. Of a failed test the message (cell, exception, exit code) says all; of
/// others the reason helps.
fn of_one(test: &TestStatus) -> String {
    let ended = if test.state == TestState::NotRun { "not run" } else { "cut short" };
    let reason = test.reason.map_or(ended, TestReason::as_str);
    match (&test.message, test.state == TestState::Failed) {
        (Some(message), true) => format!("{}: {message}", test.name),
        (Some(message), false) => format!("{}: {reason}: {message}", test.name),
        (None, _) => format!("{}: {reason}", test.name),
    }
}

/// The first few, and how many more there are.
fn list(all: &[String], separator: &str) -> String {
    let more = all.len().saturating_sub(NAMED);
    let rest = (more > 0).then(|| format!("and {more} more"));
    let shown: Vec<&str> = all.iter().take(NAMED).map(String::as_str).chain(rest.as_deref()).collect();
    shown.join(separator)
}

/// Whether `KubeflowReady` has this reason.
fn gate_is(status: &E2ETestStatus, reason: GateReason) -> bool {
    find(&status.conditions, ConditionType::KubeflowReady)
        .is_some_and(|condition| condition.reason == reason.as_str())
}

/// Whether there is a gate.
fn has_gate(status: &E2ETestStatus) -> bool {
    !gate_is(status, GateReason::NotRequested)
}

/// What `KubeflowReady` says.
fn gate_message(status: &E2ETestStatus) -> String {
    find(&status.conditions, ConditionType::KubeflowReady)
        .map(|condition| condition.message.clone())
        .unwrap_or_default()
}
