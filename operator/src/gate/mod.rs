//! The gate's watches: opened when a run's gate begins, shared between runs, closed when the last of them is over.
//!
//! What they read is judged once for all runs with the same gate, a moment after the first of several changes; only a
//! judgement that differs makes these runs pass again.

mod follow;
mod judge;
mod spawn;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures::{
    Stream,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
};
use kube::Client;
use operator_core::gate::{Facts, Readiness, Sighting, Source, Target, Unbroken};
use parking_lot::Mutex;
use tokio::{sync::watch, task::AbortHandle};

use crate::clock::{Clock, Moment};

/// All gates under which a run waits or runs.
#[derive(Debug)]
pub struct Gates {
    shared: Arc<Shared>,
    triggers: Mutex<Option<UnboundedReceiver<String>>>,
}

/// What the gates' tasks work on.
struct Shared {
    client: Client,
    clock: Arc<Clock>,
    /// Every change of it is told.
    facts: watch::Sender<Facts>,
    registry: Mutex<Registry>,
    /// Names of the runs that are to pass again.
    triggers: UnboundedSender<String>,
}

/// Who needs what.
#[derive(Debug, Default)]
struct Registry {
    runs: HashMap<String, Arc<Target>>,
    gates: HashMap<Arc<Target>, Gate>,
    watches: HashMap<Source, Watch>,
}

/// One gate, for all the runs that have it.
#[derive(Debug)]
struct Gate {
    runs: BTreeSet<String>,
    readiness: Option<Arc<Readiness>>,
    /// Lost with the process: nobody looks then.
    unbroken: Unbroken,
    /// By what its looks are counted, evenly; its runs may have begun by a clock that was set since.
    began: Moment,
    _task: Task,
}

impl Gate {
    /// A look at how everything stands, as far as that is known.
    fn look(&mut self) -> Option<Sighting> {
        let readiness = self.readiness.as_ref()?;
        Some(self.unbroken.look(readiness, self.began.now()))
    }

    /// A look for a run, by the run's own time.
    fn look_for(&mut self, run: Moment) -> Option<Sighting> {
        let seen = self.look()?;
        let ready_since = seen.ready_since.map(|since| run.as_counted(since, self.began));
        Some(Sighting { ready_since, ..seen })
    }
}

/// One watch, for all the gates that need it.
#[derive(Debug)]
struct Watch {
    gates: Vec<Arc<Target>>,
    _task: Task,
}

/// A task that ends when nobody holds it any more.
#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Gates {
    /// No gate yet.
    pub fn new(client: Client, clock: Arc<Clock>) -> Self {
        let (triggers, triggered) = unbounded();
        let shared =
            Shared { client, clock, facts: watch::Sender::default(), registry: Mutex::default(), triggers };
        Self { shared: Arc::new(shared), triggers: Mutex::new(Some(triggered)) }
    }

    /// Names of runs whose gate is judged differently than before. It can be taken once.
    pub fn triggers(&self) -> impl Stream<Item = String> + Send + use<> {
        let (_, nothing) = unbounded();
        self.triggers.lock().take().unwrap_or(nothing)
    }

    /// How everything under the run's gate stands, and from now on also what changes; `None` while it is not known.
    pub(crate) fn look(&self, run: &str, target: &Target) -> Option<Sighting> {
        let began = self.shared.clock.began(run);
        let mut registry = self.shared.registry.lock();
        if registry.runs.get(run).is_some_and(|known| **known != *target) {
            // Another run of the same name.
            let unused = registry.leave(run);
            self.shared.forget(&unused);
        }
        if let Some(gate) = registry.gates.get_mut(target) {
            if gate.runs.insert(run.to_owned()) {
                let target = registry.gates.get_key_value(target).map(|(target, _)| Arc::clone(target));
                registry.runs.extend(target.map(|target| (run.to_owned(), target)));
            }
            return registry.gates.get_mut(target)?.look_for(began);
        }
        let target = Arc::new(target.clone());
        let task = tokio::spawn(judge::judge(Arc::clone(&self.shared), Arc::clone(&target)));
        let runs = [run.to_owned()].into();
        let unbroken = Unbroken::default();
        let gate = Gate { runs, readiness: None, unbroken, began, _task: Task(task.abort_handle()) };
        registry.runs.insert(run.to_owned(), Arc::clone(&target));
        registry.gates.insert(target, gate);
        None
    }

    /// The run is over, or gone.
    pub(crate) fn leave(&self, run: &str) {
        let unused = self.shared.registry.lock().leave(run);
        self.shared.forget(&unused);
    }
}

impl Registry {
    /// Takes a run out; returns what nobody reads any more.
    fn leave(&mut self, run: &str) -> BTreeSet<Source> {
        let Some(target) = self.runs.remove(run) else { return BTreeSet::new() };
        let Some(gate) = self.gates.get_mut(&target) else { return BTreeSet::new() };
        gate.runs.remove(run);
        if !gate.runs.is_empty() {
            return BTreeSet::new();
        }
        self.gates.remove(&target);
        self.only(&target, &BTreeSet::new())
    }

    /// Ends what a gate does not need but for these sources; returns what nobody reads any more.
    fn only(&mut self, target: &Arc<Target>, sources: &BTreeSet<Source>) -> BTreeSet<Source> {
        let mut unused = BTreeSet::new();
        self.watches.retain(|source, watch| {
            if !sources.contains(source) {
                watch.gates.retain(|gate| !Arc::ptr_eq(gate, target));
            }
            let used = !watch.gates.is_empty();
            if !used {
                unused.insert(source.clone());
            }
            used
        });
        unused
    }
}

impl Shared {
    /// Makes sure that exactly these sources are followed for a gate.
    fn follow(self: &Arc<Self>, target: &Arc<Target>, sources: &BTreeSet<Source>) {
        let mut registry = self.registry.lock();
        // A gate that was closed a moment ago opens nothing any more.
        if !registry.gates.contains_key(target) {
            return;
        }
        for source in sources {
            let new = || Watch { gates: Vec::new(), _task: spawn::spawn(Arc::clone(self), source.clone()) };
            let watch = registry.watches.entry(source.clone()).or_insert_with(new);
            if !watch.gates.iter().any(|gate| Arc::ptr_eq(gate, target)) {
                watch.gates.push(Arc::clone(target));
            }
        }
        let unused = registry.only(target, sources);
        self.forget(&unused);
    }

    /// Forgets what nobody follows any more: no gate has to be told.
    fn forget(&self, unused: &BTreeSet<Source>) {
        self.facts.send_if_modified(|facts| {
            facts.forget(unused);
            false
        });
    }

    /// Changes the facts, and tells the gates if that made a difference.
    fn change(&self, change: impl FnOnce(&mut Facts) -> bool) {
        self.facts.send_if_modified(change);
    }

    /// A look at a gate, after a break in looking if there was one. A judgement that differs lets the gate's runs pass.
    fn look(&self, target: &Arc<Target>, was_broken: bool, differs: Option<&Arc<Readiness>>) {
        let mut registry = self.registry.lock();
        let Some(gate) = registry.gates.get_mut(target) else { return };
        if was_broken {
            gate.unbroken.looked_away();
        }
        if let Some(readiness) = differs {
            gate.readiness = Some(Arc::clone(readiness));
            for run in &gate.runs {
                // The controller has ended, and the process with it.
                let _ = self.triggers.unbounded_send(run.clone());
            }
        }
        gate.look();
    }
}
