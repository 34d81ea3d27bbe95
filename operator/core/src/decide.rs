//! The one decision: from a run and what was seen of the world to what to do, what to say and when to look again.
//!
//! Nothing is remembered between two passes but what the status says, and that holds only what cannot be seen again: when
//! things began and ended, the number of an attempt, the UID of its Job, the verdicts.

use std::{num::NonZeroUsize, time::Duration};

use crds::v1alpha1::{
    ConditionType, E2ETest, E2ETestStatus, GateReason, RunReason, TestState, TestStatus, find,
};
use jiff::Timestamp;

use crate::{
    attempt::{self, Context},
    clock::{after, stamp, until},
    conditions::{Saying, Truth, set},
    effect::Batch,
    ending::{Cause, RunsEnd},
    expiry, gate,
    observed::Observed,
    plan::{Draft, Plan, Requeue, say},
    settings::Settings,
    validate::{Run, validate},
};

/// How long a run that goes on is left alone at most: a watch may miss an event.
const SAFETY_NET: Duration = Duration::from_mins(5);

/// How long a run that waits for a place among all runs is left alone at most: it is told when its turn has come, unless
/// the place became free by a run's deletion.
const ASK_FOR_A_PLACE: Duration = Duration::from_secs(30);

/// What is said of a run whose status has no room.
const NO_ROOM: &str = "the spec and the annotations leave no room for the status in what the API server stores of one object: move \
                       sources to ConfigMaps, or share the tests out over several runs";

/// Decides one pass.
pub fn decide(test: &E2ETest, observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let before = test.status.clone().unwrap_or_default();
    if test.metadata.deletion_timestamp.is_some() {
        return Plan::nothing(before.clone(), before);
    }
    if is_finished(&before) {
        return finished(test, before, now);
    }
    let run = match validate(test) {
        Ok(run) => run,
        Err(invalid) => return invalid_spec(test, before, &invalid.to_string(), now),
    };

    let mut status = begin(&run, &before, test.metadata.generation, now);
    let end = RunsEnd::of(&run, &status, now);
    let mut wakes = vec![end.at, after(now, SAFETY_NET)];

    let began = status.tests.iter().any(|entry| entry.attempt > 0);
    let course = gate::Course { status: &status, tests_began: began, end, now };
    let judged = gate::judge(run.gate.as_ref(), observed.gate.as_ref(), course);
    wakes.extend(judged.wake);
    record_gate(&mut status, &judged, test.metadata.generation, now);

    let passing = Passing { run: &run, observed, settings, end, now };
    let (effects, again) = attempts(&passing, &mut status, &mut wakes);
    let why_not = if judged.reason == GateReason::TimedOut && end.cause != Cause::Cancelled {
        Some("Kubeflow did not become ready".to_owned())
    } else if end.passed(now) {
        Some(end.sentence())
    } else {
        run.fail_fast.then(|| failed_test(&status)).flatten()
    };
    let started = match why_not {
        Some(why) => {
            skip_pending(&mut status, &why, now);
            false
        }
        None => judged.open && start_pending(&passing, &mut status, &mut wakes),
    };

    let requeue = if started || again { Requeue::Now } else { next_look(&status, &wakes, now) };
    Plan::new(before, effects, Draft { status, generation: test.metadata.generation, end, now }, requeue)
}

/// What one pass depends on.
struct Passing<'a> {
    run: &'a Run,
    observed: &'a Observed,
    settings: &'a Settings,
    end: RunsEnd,
    now: Timestamp,
}

/// A run that is over is kept for as long as it asks for, and nothing of it is written any more but that a newer spec was
/// seen: a run is cancelled after its end, or is to be kept for longer, and somebody may wait for the answer.
fn finished(test: &E2ETest, before: E2ETestStatus, now: Timestamp) -> Plan {
    let expired = expiry::expired(test, now);
    let requeue = match expiry::expires_at(test) {
        Some(at) if expired.is_none() => Requeue::After(until(now, at)),
        Some(_) | None => Requeue::Never,
    };
    let mut status = before.clone();
    if lags(test) && expired.is_none() {
        status.observed_generation = test.metadata.generation;
        for condition in &mut status.conditions {
            condition.observed_generation = test.metadata.generation;
        }
    }
    Plan::finished(before, status, expired, requeue)
}

/// Whether the run is over: nothing of what it came to changes any more.
pub fn is_finished(status: &E2ETestStatus) -> bool {
    find(&status.conditions, ConditionType::Finished).is_some_and(|condition| condition.status == "True")
}

/// Whether the status of a run that stays speaks of an older spec.
pub fn lags(test: &E2ETest) -> bool {
    let observed = test.status.as_ref().and_then(|status| status.observed_generation);
    test.metadata.deletion_timestamp.is_none() && observed < test.metadata.generation
}

/// Ends a run whose status the API server does not take because the object would be too large: with as little as can be said,
/// since a run that cannot say how it stands could never end. Jobs that it has made have deadlines of their own.
pub fn no_room(test: &E2ETest, now: Timestamp) -> Plan {
    let before = test.status.clone().unwrap_or_default();
    let Plan { status, .. } = invalid_spec(test, E2ETestStatus::default(), NO_ROOM, now);
    let start_time = before.start_time.clone().or(status.start_time);
    Plan::nothing(before, E2ETestStatus { start_time, ..status })
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
    if run.cancel {
        status.cancel_time.get_or_insert_with(|| stamp(now));
    }
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

/// Takes every attempt that is not over one step further; says whether one is to be followed by another at once.
fn attempts(
    passing: &Passing<'_>,
    status: &mut E2ETestStatus,
    wakes: &mut Vec<Timestamp>,
) -> (Vec<Batch>, bool) {
    let &Passing { run, observed, settings, end, now } = passing;
    let mut batches = Vec::new();
    let mut again = false;
    for (entry, test) in status.tests.iter_mut().zip(&run.tests) {
        if entry.attempt == 0 || entry.state.is_final() {
            continue;
        }
        let context = Context { run, test, observed, settings, now, end };
        let step = attempt::advance(context, entry);
        wakes.extend(step.wake);
        let next = attempt::again(context, &step.status);
        again |= next.is_some();
        *entry = next.unwrap_or(step.status);
        if !step.effects.is_empty() {
            batches.push(Batch { test: test.name.clone(), effects: step.effects });
        }
    }
    (batches, again)
}

/// Why no further test is started after one that did not pass, its retries included.
fn failed_test(status: &E2ETestStatus) -> Option<String> {
    let failed = status.tests.iter().find(|entry| {
        matches!(entry.state, TestState::Failed | TestState::Error | TestState::Inconclusive)
    })?;
    Some(format!("test {} did not pass, and failFast is set", failed.name))
}

/// Tests whose turn will not come.
fn skip_pending(status: &mut E2ETestStatus, why: &str, now: Timestamp) {
    for entry in status.tests.iter_mut().filter(|entry| entry.state == TestState::Pending) {
        entry.state = TestState::NotRun;
        entry.message = Some(why.to_owned());
        entry.completion_time = Some(stamp(now));
    }
}

/// Writes down the first attempt of as many tests as may run at once, in this run and over all runs. Their Jobs are asked
/// for only by a pass that reads this from the status: a Job without its attempt written down can never be.
fn start_pending(passing: &Passing<'_>, status: &mut E2ETestStatus, wakes: &mut Vec<Timestamp>) -> bool {
    let &Passing { run, observed, settings, now, .. } = passing;
    let running = status.tests.iter().filter(|entry| entry.state == TestState::Running).count();
    let free = run.max_parallel.saturating_sub(running);
    let places = observed.places.unwrap_or(free);
    let pending = status.tests.iter_mut().filter(|entry| entry.state == TestState::Pending).take(free);
    let mut started = false;
    for (position, entry) in pending.enumerate() {
        if position < places {
            entry.state = TestState::Running;
            entry.attempt = 1;
            entry.start_time = Some(stamp(now));
            entry.message = None;
            started = true;
        } else {
            let cap = settings.max_running.map_or(0, NonZeroUsize::get);
            entry.message = Some(format!("waits for its turn: the operator runs at most {cap} pods at once"));
            wakes.push(after(now, ASK_FOR_A_PLACE));
        }
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
