//! The gate's watches: opened when a run's gate begins, shared between runs, closed when the last of them is over.
//!
//! What they read is judged once for all runs with the same gate, a moment after the first of several changes; only a
//! judgement that differs makes these runs pass again.

mod follow;
mod spawn;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{
    Stream,
    channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
};
use kube::Client;
use operator_core::gate::{Facts, Readiness, Source, Target};
use tokio::{
    sync::{Mutex, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

/// How long changes are gathered before they are judged.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// How often the runs of a gate that stays closed are told what has changed, at most.
const PROGRESS: Duration = Duration::from_secs(1);

/// All gates under which a run waits or runs.
#[derive(Debug)]
pub struct Gates {
    shared: Arc<Shared>,
    triggers: Mutex<Option<UnboundedReceiver<String>>>,
}

/// What the gates' tasks work on.
struct Shared {
    client: Client,
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
    _task: Task,
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
    pub fn new(client: Client) -> Self {
        let (triggers, triggered) = unbounded();
        let shared = Shared { client, facts: watch::Sender::default(), registry: Mutex::default(), triggers };
        Self { shared: Arc::new(shared), triggers: Mutex::new(Some(triggered)) }
    }

    /// Names of runs whose gate is judged differently than before. It can be taken once.
    pub async fn triggers(&self) -> impl Stream<Item = String> + Send + use<> {
        let (_, nothing) = unbounded();
        self.triggers.lock().await.take().unwrap_or(nothing)
    }

    /// How everything under the run's gate stands, and from now on also what changes; `None` while it is not known.
    pub(crate) async fn readiness(&self, run: &str, target: &Target) -> Option<Arc<Readiness>> {
        let mut registry = self.shared.registry.lock().await;
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
            return registry.gates.get(target)?.readiness.clone();
        }
        let target = Arc::new(target.clone());
        let task = tokio::spawn(judge(Arc::clone(&self.shared), Arc::clone(&target)));
        let gate = Gate { runs: [run.to_owned()].into(), readiness: None, _task: Task(task.abort_handle()) };
        registry.runs.insert(run.to_owned(), Arc::clone(&target));
        registry.gates.insert(target, gate);
        None
    }

    /// The run is over, or gone.
    pub(crate) async fn leave(&self, run: &str) {
        let unused = self.shared.registry.lock().await.leave(run);
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
    async fn follow(self: &Arc<Self>, target: &Arc<Target>, sources: &BTreeSet<Source>) {
        let mut registry = self.registry.lock().await;
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

    /// Publishes a judgement, and lets the gate's runs pass.
    async fn publish(&self, target: &Arc<Target>, readiness: &Arc<Readiness>) {
        let mut registry = self.registry.lock().await;
        let Some(gate) = registry.gates.get_mut(target) else { return };
        gate.readiness = Some(Arc::clone(readiness));
        for run in &gate.runs {
            // The controller has ended, and the process with it.
            let _ = self.triggers.unbounded_send(run.clone());
        }
    }
}

/// Judges a gate after every change of what it looks at.
async fn judge(shared: Arc<Shared>, target: Arc<Target>) {
    let mut changes = shared.facts.subscribe();
    let mut sources = BTreeSet::new();
    let mut seen = None;
    let mut published: Option<(Arc<Readiness>, Instant)> = None;
    loop {
        let (wanted, now) = {
            let facts = changes.borrow_and_update();
            let wanted = target.sources(&facts);
            let now = facts.changes(&wanted);
            (wanted, now)
        };
        if wanted != sources {
            shared.follow(&target, &wanted).await;
            (sources, seen) = (wanted, None);
        }
        let mut due = None;
        if seen != Some(now) {
            let readiness = Readiness::of(&target, &shared.facts.borrow());
            match (readiness, &published) {
                (None, _) => {}
                (Some(next), Some((last, _))) if next == **last => seen = Some(now),
                // What only counts up is told at a pace that people can read; a gate that opens or closes, at once.
                (Some(next), Some((last, at)))
                    if !next.is_ready() && !last.is_ready() && at.elapsed() < PROGRESS =>
                {
                    due = Some(*at + PROGRESS);
                }
                (Some(next), _) => {
                    seen = Some(now);
                    let next = Arc::new(next);
                    shared.publish(&target, &next).await;
                    published = Some((next, Instant::now()));
                }
            }
        }
        tokio::select! {
            told = changes.changed() => {
                if told.is_err() {
                    return;
                }
                sleep(DEBOUNCE).await;
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }
}
