//! Removing a cluster with all that it left, by its record and by the label of its containers. The container runtime
//! alone is enough for it: `kind` may be gone, and would remove no more than its containers.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    containers::{self, Container},
    facts,
    facts::Facts,
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
    sweep(known, name, if broke_off { CALM } else { Duration::ZERO })?;
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

/// Removes what is ours of the containers of the name until none has appeared for as long as `calm`.
fn sweep(known: &Facts, name: &str, calm: Duration) -> anyhow::Result<()> {
    let engine = &known.engine;
    let begin = Instant::now();
    let mut last_seen = begin;
    loop {
        let found = known.split(containers::of_cluster(engine, name)?).ours;
        if found.is_empty() && last_seen.elapsed() >= calm {
            return Ok(());
        }
        if !found.is_empty() {
            // What stands before the nodes is known by them alone.
            let (nodes, balancers): (Vec<_>, Vec<_>) = found.iter().cloned().partition(Container::is_node);
            for some in [balancers, nodes].iter().filter(|some| !some.is_empty()) {
                containers::remove(engine, some, CONTAINERS_LIMIT)?;
            }
            last_seen = Instant::now();
        }
        if begin.elapsed() > CONTAINERS_LIMIT {
            let names: Vec<_> = found.into_iter().map(|container| container.name).collect();
            bail!(
                "containers {} of cluster `{name}` are still there after {} s: remove them with `{} rm --force --volumes`, \
                 then run `kfe2e down --cluster kind --name {name}` again",
                names.join(", "),
                CONTAINERS_LIMIT.as_secs(),
                engine.runtime.program()
            );
        }
        if !calm.is_zero() {
            thread::sleep(TICK);
        }
    }
}
