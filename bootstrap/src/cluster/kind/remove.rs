//! Removing a cluster with all that it left, by its record and by the label of its containers. The container runtime
//! alone is enough for it: `kind` may be gone, and would remove no more than its containers.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow};

use super::{
    containers::{self, Container},
    existing, facts,
    facts::{Facts, Split},
    kernel, processes,
};
use crate::{
    cluster::{Record, Say},
    tool::Cancel,
};

/// How long programs that make the cluster may take to end.
const PROCESSES_LIMIT: Duration = Duration::from_secs(30);
/// How long removing containers may take; one command removes those of all nodes.
const CONTAINERS_LIMIT: Duration = Duration::from_mins(3);
/// How long none must have appeared after an attempt that broke off: the runtime finishes what it was told to start when
/// who told it is gone, and the container is listed only then, on a busy disk seconds later.
const CALM: Duration = Duration::from_secs(10);
/// How often containers are looked for meanwhile; each look starts a program.
const TICK: Duration = Duration::from_millis(250);

/// Removes what carries the mark of an attempt, and last its record, if that is still the name's. Twice is as good as once.
/// A removal is not cancelled.
pub(super) fn remove(record: &Record, name: &str, known: &Facts, say: Say<'_>) -> anyhow::Result<()> {
    // Of a cluster that was found, nothing was made.
    let Some(mark) = &known.mark else { return Ok(()) };
    let engine = &known.engine;
    let ended = processes::end_all(mark, PROCESSES_LIMIT)?;
    let broke_off = !known.complete || ended > 0;
    let others = sweep(known, name, if broke_off { CALM } else { Duration::ZERO })?;
    existing::stay(name, &others).into_iter().for_each(&mut *say);
    let _shared = facts::lock_shared(&Cancel::default())?;
    let others = facts::of_others(mark)?;
    others.complaints().for_each(&mut *say);
    if known.network_is_ours && !others.may_use(engine) {
        let network = engine.network();
        containers::remove_unused_network(engine, network).with_context(|| format!("network {network}"))?;
    }
    kernel::restore(mark)?.into_iter().for_each(say);
    let recorded = Facts::read(record, name)?;
    if recorded.is_some_and(|recorded| recorded.mark != known.mark) {
        return Ok(());
    }
    record.remove()
}

/// What is removed, as the container runtime has it.
struct Sweep<'a> {
    look: &'a mut dyn FnMut() -> anyhow::Result<Split>,
    remove: &'a mut dyn FnMut(&[Container]) -> anyhow::Result<()>,
    /// How long no new one must have appeared before any is removed.
    calm: Duration,
    limit: Duration,
}

impl Sweep<'_> {
    /// Removes what is ours once no more of it appears, and returns what is not. What stands before the nodes is known by
    /// them alone, and may appear after them: so they stand until then.
    fn run(self) -> anyhow::Result<Result<Vec<Container>, Vec<Container>>> {
        let begin = Instant::now();
        let (mut last_new, mut seen) = (begin, BTreeSet::new());
        loop {
            let Split { ours, others } = (self.look)()?;
            for one in &ours {
                if seen.insert(one.id.clone()) {
                    last_new = Instant::now();
                }
            }
            let is_calm = last_new.elapsed() >= self.calm;
            match (is_calm, ours.is_empty()) {
                (true, true) => return Ok(Ok(others)),
                (_, false) if begin.elapsed() > self.limit => return Ok(Err(ours)),
                (true, false) => (self.remove)(&ours)?,
                (false, _) => thread::sleep(TICK.min(self.calm)),
            }
        }
    }
}

/// Removes what is ours of the containers of the name, and returns what has the name and stays.
fn sweep(known: &Facts, name: &str, calm: Duration) -> anyhow::Result<Vec<Container>> {
    let engine = &known.engine;
    let mut look = || Ok(known.split(containers::of_cluster(engine, name)?));
    let mut remove = |found: &[Container]| {
        // Nodes last: what stands before them is known by them alone.
        let (nodes, balancers): (Vec<_>, Vec<_>) = found.iter().cloned().partition(Container::is_node);
        for some in [balancers, nodes].iter().filter(|some| !some.is_empty()) {
            containers::remove(engine, some, CONTAINERS_LIMIT)?;
        }
        Ok(())
    };
    let swept = Sweep { look: &mut look, remove: &mut remove, calm, limit: CONTAINERS_LIMIT }.run()?;
    swept.map_err(|left| {
        let names: Vec<_> = left.into_iter().map(|container| container.name).collect();
        anyhow!(
            "containers {} of cluster `{name}` are still there after {} s: remove them with `{} rm --force --volumes`, \
             then run `kfe2e down --cluster kind --name {name}` again",
            names.join(", "),
            CONTAINERS_LIMIT.as_secs(),
            engine.runtime.program()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::kind::{engine::Engine, runtime::Runtime};

    fn facts() -> Facts {
        Facts {
            schema_version: facts::SCHEMA_VERSION,
            engine: Engine::here(Runtime::Docker),
            mark: Some("m".into()),
            invocations: BTreeSet::new(),
            complete: false,
            nodes: 1,
            image: None,
            network_is_ours: false,
        }
    }

    fn node() -> Value {
        json!({"Id": "n", "Name": "a-control-plane", "Mounts": [{"Destination": "/kfe2e/m"}]})
    }

    fn balancer() -> Value {
        json!({"Id": "lb", "Name": "a-external-load-balancer",
            "Config": {"Labels": {"io.x-k8s.kind.role": "external-load-balancer"}}})
    }

    /// Sweeps a runtime in which, at each look, one more container appears. Returns what stays, and what is still ours.
    fn swept(
        mut appear: Vec<Value>,
        calm: Duration,
        limit: Duration,
        removes: bool,
    ) -> (Vec<String>, Vec<String>) {
        let there = RefCell::new(Vec::<Value>::new());
        appear.reverse();
        let mut look = || {
            there.borrow_mut().extend(appear.pop());
            let listed = Value::from(there.borrow().clone()).to_string();
            Ok(facts().split(containers::parse(&listed).unwrap()))
        };
        let mut remove = |found: &[Container]| {
            there.borrow_mut().retain(|one| !removes || found.iter().all(|found| one["Id"] != *found.id));
            Ok(())
        };
        let names = |all: Vec<Container>| all.into_iter().map(|one| one.name).collect::<Vec<_>>();
        match (Sweep { look: &mut look, remove: &mut remove, calm, limit }).run().unwrap() {
            Ok(others) => (names(others), Vec::new()),
            Err(left) => (Vec::new(), names(left)),
        }
    }

    const LONG: Duration = Duration::from_mins(1);
    const SHORT: Duration = Duration::from_millis(200);

    #[test]
    fn a_balancer_that_appears_after_its_nodes_goes_with_them() {
        let nothing = (Vec::new(), Vec::new());
        assert_eq!(swept(vec![node(), balancer()], SHORT, LONG, true), nothing);
        // Of a whole cluster, nothing appears any more.
        assert_eq!(swept(vec![node()], Duration::ZERO, LONG, true), nothing);
    }

    #[test]
    fn what_stays_and_what_cannot_be_removed_is_named() {
        let name = "a-external-load-balancer".to_owned();
        assert_eq!(swept(vec![balancer()], SHORT, LONG, true), (vec![name], Vec::new()));
        let left = (Vec::new(), vec!["a-control-plane".to_owned()]);
        assert_eq!(swept(vec![node()], Duration::ZERO, Duration::ZERO, false), left);
        // Calm may come after the limit.
        assert_eq!(swept(Vec::new(), SHORT, Duration::ZERO, true), (Vec::new(), Vec::new()));
    }
}
