//! Metrics for Prometheus. No label holds a name, a namespace or an error's text: those have no bound.

use std::{fmt::Error, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::error::ReconcileError;

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

/// Labels of a finished run.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Finish {
    outcome: String,
}

/// All metrics of the operator.
#[derive(Debug)]
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
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("e2etest_operator");
        let metrics = (
            Family::default(),
            Histogram::new(SECONDS),
            Family::default(),
            Family::default(),
            Family::default(),
            Counter::default(),
            Gauge::default(),
            Counter::default(),
        );
        let (reconciles, duration, errors, effects, finished, events_lost, active, status_writes) = metrics;
        registry.register("reconcile", "Passes over an E2ETest", Family::clone(&reconciles));
        registry.register("reconcile_duration_seconds", "Duration of a pass", Histogram::clone(&duration));
        registry.register("reconcile_errors", "Passes that could not be finished", Family::clone(&errors));
        registry.register("effects", "Writes to the run's children", Family::clone(&effects));
        registry.register("runs_finished", "Runs that got their verdict", Family::clone(&finished));
        registry.register("events_lost", "Events that could not be published", Counter::clone(&events_lost));
        registry.register("reconciles_active", "Passes that are under way", Gauge::clone(&active));
        registry.register("status_writes", "Statuses written", Counter::clone(&status_writes));
        Self { registry, reconciles, duration, errors, effects, finished, events_lost, active, status_writes }
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

    /// An event could not be published.
    pub fn event_lost(&self) {
        self.events_lost.inc();
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// Never in practice: writing to a String does not fail.
    pub fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
