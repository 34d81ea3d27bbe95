//! The one decision: from a run and what was seen of the world to what to do, what to say and when to look again.
//!
//! Nothing is remembered between two passes but what the status says, and that holds only what cannot be seen again: when
//! things began and ended, the number of an attempt, the UID of its Job, the verdicts.

use std::time::Duration;

use crds::v1alpha1::{
    ConditionType, E2ETest, E2ETestStatus, GateReason, RunReason, TestState, TestStatus, find,
};
use jiff::Timestamp;

use crate::{
    attempt::{self, Context},
    clock::{after, spoken, stamp, until},
    conditions::{Saying, Truth, set},
    effect::Batch,
    gate,
    observed::Observed,
    plan::{Draft, Plan, Requeue, say},
    settings::Settings,
    validate::{Run, validate},
};

/// How long a run that goes on is left alone at most: a watch may miss an event.
const SAFETY_NET: Duration = Duration::from_mins(5);

/// Decides one pass.
pub fn decide(test: &E2ETest, observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let before = test.status.clone().unwrap_or_default();
    if is_finished(&before) || test.metadata.deletion_timestamp.is_some() {
        return Plan::nothing(before.clone(), before);
    }
    let run = match validate(test) {
        Ok(run) => run,
        Err(invalid) => return invalid_spec(test, before, &invalid.to_string(), now),
    };

    let mut status = begin(&run, &before, test.metadata.generation, now);
    let deadline = after(status.start_time.as_ref().map_or(now, |start| start.0), run.timeout);
    let mut wakes = vec![deadline, after(now, SAFETY_NET)];

    let began = status.tests.iter().any(|entry| entry.attempt > 0);
    let judged = gate::judge(run.gate.as_ref(), observed.gate.as_deref(), &status, began, now);
    wakes.extend(judged.wake);
    record_gate(&mut status, &judged, test.metadata.generation, now);

    let effects = attempts(&run, &mut status, observed, settings, deadline, &mut wakes, now);
    let started = if judged.reason == GateReason::TimedOut {
        skip_pending(&mut status, "Kubeflow did not become ready", now);
        false
    } else if now >= deadline {
        skip_pending(&mut status, &format!("the run's timeout of {} passed", spoken(run.timeout)), now);
        false
    } else {
        judged.open && start_pending(&run, &mut status, now)
    };

    let requeue = if started { Requeue::Now } else { next_look(&status, &wakes, now) };
    Plan::new(before, effects, Draft { status, generation: test.metadata.generation, deadline, now }, requeue)
}

/// Whether the run is over: nothing of it changes any more.
pub fn is_finished(status: &E2ETestStatus) -> bool {
    find(&status.conditions, ConditionType::Finished).is_some_and(|condition| condition.status == "True")
}

/// A spec that cannot be run ends the run at once, and says so where people look.
fn invalid_spec(test: &E2ETest, before: E2ETestStatus, message: &str, now: Timestamp) -> Plan {
    let generation = test.metadata.generation;
    let mut status = before.clone();
    status.observed_generation = generation;
    status.start_time.get_or_insert_with(|| stamp(now));
    let saying = Saying {
        truth: Truth::Unknown,
        reason: GateReason::NotRequested.as_str(),
        message: "the spec cannot be run, so nobody looked at Kubeflow",
    };
    set(&mut status.conditions, ConditionType::KubeflowReady, &saying, generation, now);
    say(&mut status, RunReason::InvalidSpec, message, generation, now);
    Plan::nothing(before, status)
}

/// The status that this pass starts from: one entry for each test, in the order of the spec.
fn begin(run: &Run, before: &E2ETestStatus, generation: Option<i64>, now: Timestamp) -> E2ETestStatus {
    let mut status = before.clone();
    status.observed_generation = generation;
    status.start_time.get_or_insert_with(|| stamp(now));
    status.tests = run
        .tests
        .iter()
        .map(|test| {
            let known = before.tests.iter().find(|entry| entry.name == test.name);
            known.cloned().unwrap_or_else(|| TestStatus { name: test.name.clone(), ..TestStatus::default() })
        })
        .collect();
    status
}

/// What the gate says goes into the status.
fn record_gate(
    status: &mut E2ETestStatus,
    judged: &gate::Judgement,
    generation: Option<i64>,
    now: Timestamp,
) {
    let truth = match judged.reason {
        GateReason::Ready => Truth::True,
        GateReason::NotRequested => Truth::Unknown,
        GateReason::Waiting | GateReason::Lapsed | GateReason::TimedOut => Truth::False,
    };
    let saying = Saying { truth, reason: judged.reason.as_str(), message: &judged.message };
    set(&mut status.conditions, ConditionType::KubeflowReady, &saying, generation, now);
    status.kubeflow.clone_from(&judged.shown);
}

/// Takes every attempt that is not over one step further.
fn attempts(
    run: &Run,
    status: &mut E2ETestStatus,
    observed: &Observed,
    settings: &Settings,
    deadline: Timestamp,
    wakes: &mut Vec<Timestamp>,
    now: Timestamp,
) -> Vec<Batch> {
    let mut batches = Vec::new();
    for (entry, test) in status.tests.iter_mut().zip(&run.tests) {
        if entry.attempt == 0 || entry.state.is_final() {
            continue;
        }
        let step = attempt::advance(Context { run, test, observed, settings, now, deadline }, entry);
        *entry = step.status;
        wakes.extend(step.wake);
        if !step.effects.is_empty() {
            batches.push(Batch { test: test.name.clone(), effects: step.effects });
        }
    }
    batches
}

/// Tests whose turn will not come.
fn skip_pending(status: &mut E2ETestStatus, why: &str, now: Timestamp) {
    for entry in status.tests.iter_mut().filter(|entry| entry.state == TestState::Pending) {
        entry.state = TestState::NotRun;
        entry.message = Some(why.to_owned());
        entry.completion_time = Some(stamp(now));
    }
}

/// Writes down the first attempt of as many tests as may run at once. Their Jobs are asked for only by a pass that reads
/// this from the status: a Job without its attempt written down can never be.
fn start_pending(run: &Run, status: &mut E2ETestStatus, now: Timestamp) -> bool {
    let running = status.tests.iter().filter(|entry| entry.state == TestState::Running).count();
    let free = run.max_parallel.saturating_sub(running);
    let mut started = false;
    for entry in status.tests.iter_mut().filter(|entry| entry.state == TestState::Pending).take(free) {
        entry.state = TestState::Running;
        entry.attempt = 1;
        entry.start_time = Some(stamp(now));
        started = true;
    }
    started
}

/// The earliest moment at which something changes by itself.
fn next_look(status: &E2ETestStatus, wakes: &[Timestamp], now: Timestamp) -> Requeue {
    if status.tests.iter().all(|entry| entry.state.is_final()) {
        return Requeue::Never;
    }
    let next = wakes.iter().copied().filter(|wake| *wake > now).min();
    Requeue::After(next.map_or(SAFETY_NET, |next| until(now, next)))
}
