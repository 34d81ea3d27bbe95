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
    tool::{Cancel, ToolError},
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

/// Removes what the record stands for, and the record last. Twice is as good as once. A removal is not cancelled.
pub(super) fn remove(record: &Record, name: &str, known: &Facts, say: Say<'_>) -> anyhow::Result<()> {
    let engine = &known.engine;
    let ended = processes::end_all(name, PROCESSES_LIMIT)?;
    let broke_off = !known.complete || ended > 0;
    sweep(known, name, if broke_off { CALM } else { Duration::ZERO })?;
    let _shared = facts::lock_shared(&Cancel::default())?;
    let others = facts::of_others(name)?;
    others.complaints().for_each(&mut *say);
    if known.network_is_ours && !others.may_use(engine) {
        let network = engine.network();
        containers::remove_unused_network(engine, network).with_context(|| format!("network {network}"))?;
    }
    if others.is_none() {
        kernel::restore(&known.raised).into_iter().for_each(say);
    }
    record.remove()
}

/// The containers of the label that are ours.
pub(super) fn made(known: &Facts, name: &str) -> Result<Vec<Container>, ToolError> {
    let found = containers::of_cluster(&known.engine, name)?;
    Ok(found.into_iter().filter(|container| known.made(container)).collect())
}

/// Removes what is ours of the containers of the label until none has appeared for as long as `calm`.
fn sweep(known: &Facts, name: &str, calm: Duration) -> anyhow::Result<()> {
    let engine = &known.engine;
    let begin = Instant::now();
    let mut last_seen = begin;
    loop {
        let found = made(known, name)?;
        if found.is_empty() && last_seen.elapsed() >= calm {
            return Ok(());
        }
        if !found.is_empty() {
            containers::remove(engine, &found, CONTAINERS_LIMIT)?;
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
