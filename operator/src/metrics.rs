//! Metrics for Prometheus. No label holds a name, a namespace or an error's text: those have no bound.

use std::{
    fmt,
    fmt::Error,
    sync::{OnceLock, atomic::AtomicU64},
    time::Duration,
};

use crds::v1alpha1::RunReason;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::{
    error::{Class, ReconcileError},
    stage::Stage,
};

/// Buckets of a pass's duration, in seconds.
const SECONDS: [f64; 8] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Labels of a pass.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Pass {
    result: &'static str,
}

/// Labels of an error.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Failure {
    step: &'static str,
    class: &'static str,
}

/// Labels of an effect.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Write {
    kind: &'static str,
    verb: &'static str,
    result: &'static str,
}

/// Labels of a pass's end.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Again {
    reason: &'static str,
}

/// Labels of a duration.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct StageTook {
    stage: &'static str,
}

/// Counts the runs that are not over.
type CountRuns = Box<dyn Fn() -> i64 + Send + Sync>;

/// Labels of a finished run.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Finish {
    outcome: String,
}

/// Buckets of a stage's duration, in seconds: from a test of moments to a Kubeflow that takes an hour.
const STAGE_SECONDS: [f64; 10] = [1.0, 5.0, 15.0, 30.0, 60.0, 180.0, 600.0, 1200.0, 2700.0, 5400.0];

/// A histogram of stages.
fn stages() -> Histogram {
    Histogram::new(STAGE_SECONDS)
}

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Pass, Counter>,
    duration: Histogram,
    errors: Family<Failure, Counter>,
    effects: Family<Write, Counter>,
    finished: Family<Finish, Counter>,
    events_lost: Counter,
    active: Gauge<i64, std::sync::atomic::AtomicI64>,
    status_writes: Counter<u64, AtomicU64>,
    requeues: Family<Again, Counter>,
    stages: Family<StageTook, Histogram, fn() -> Histogram>,
    runs_active: Gauge<i64, std::sync::atomic::AtomicI64>,
    count_runs: OnceLock<CountRuns>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").field("registry", &self.registry).finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("e2etest_operator"),
            reconciles: Family::default(),
            duration: Histogram::new(SECONDS),
            errors: Family::default(),
            effects: Family::default(),
            finished: Family::default(),
            events_lost: Counter::default(),
            active: Gauge::default(),
            status_writes: Counter::default(),
            requeues: Family::default(),
            stages: Family::new_with_constructor(stages),
            runs_active: Gauge::default(),
            count_runs: OnceLock::new(),
        };
        // A counter that appears with its first event shows no increase: those that alerts speak of begin at zero.
        for reason in RunReason::ALL.into_iter().filter(|reason| reason.is_verdict()) {
            all.finished.get_or_create(&Finish { outcome: reason.as_str().to_owned() }).inc_by(0);
        }
        for step in ReconcileError::STEPS {
            for class in Class::ALL {
                all.errors.get_or_create(&Failure { step, class: class.as_str() }).inc_by(0);
            }
        }
        let registry = &mut all.registry;
        registry.register("reconcile", "Passes over an E2ETest", all.reconciles.clone());
        registry.register("reconcile_duration_seconds", "Duration of a pass", all.duration.clone());
        registry.register("reconcile_errors", "Passes that could not be finished", all.errors.clone());
        registry.register("reconciles_active", "Passes that are under way", all.active.clone());
        registry.register(
            "requeue",
            "Ends of passes, by when the run is looked at again",
            all.requeues.clone(),
        );
        registry.register("effects", "Writes to the run's children", all.effects.clone());
        registry.register("status_writes", "Statuses written", all.status_writes.clone());
        registry.register("runs_active", "Runs that are not finished", all.runs_active.clone());
        registry.register("runs_finished", "Runs that got their verdict", all.finished.clone());
        registry.register("stage_duration_seconds", "Duration of a part of a run", all.stages.clone());
        registry.register("events_lost", "Events that could not be published", all.events_lost.clone());
        all
    }
}

impl Metrics {
    /// A pass begins.
    pub fn pass_began(&self) {
        self.active.inc();
    }

    /// A pass ended.
    pub fn pass_ended(&self, took: Duration, error: Option<&ReconcileError>) {
        self.active.dec();
        self.duration.observe(took.as_secs_f64());
        let result = if error.is_some() { "error" } else { "ok" };
        self.reconciles.get_or_create(&Pass { result }).inc();
        if let Some(error) = error {
            let failure = Failure { step: error.step(), class: error.class().as_str() };
            self.errors.get_or_create(&failure).inc();
        }
    }

    /// An effect was tried.
    pub fn effect(&self, verb_and_kind: (&'static str, &'static str), result: &'static str) {
        let (verb, kind) = verb_and_kind;
        self.effects.get_or_create(&Write { kind, verb, result }).inc();
    }

    /// A status was written.
    pub fn status_written(&self) {
        self.status_writes.inc();
    }

    /// A run got its verdict.
    pub fn run_finished(&self, outcome: &str) {
        self.finished.get_or_create(&Finish { outcome: outcome.to_owned() }).inc();
    }

    /// A pass ended, and the run is looked at again: now, later, or never.
    pub fn requeued(&self, reason: &'static str) {
        self.requeues.get_or_create(&Again { reason }).inc();
    }

    /// A part of a run is over.
    pub fn stage_took(&self, stage: Stage, took: Duration) {
        self.stages.get_or_create(&StageTook { stage: stage.as_str() }).observe(took.as_secs_f64());
    }

    /// How the runs that are not over are counted, whenever somebody asks for the metrics. The first way stays.
    pub fn count_runs_by(&self, count: impl Fn() -> i64 + Send + Sync + 'static) {
        self.count_runs.get_or_init(|| Box::new(count));
    }

    /// An event could not be published.
    pub fn event_lost(&self) {
        self.events_lost.inc();
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// Never in practice: writing to a String does not fail.
    pub fn text(&self) -> Result<String, Error> {
        if let Some(count) = self.count_runs.get() {
            self.runs_active.set(count());
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
