//! What the record of a cluster says, and what its clusters share on one machine.

use std::{path::Path, time::Duration};

use anyhow::anyhow;
use bootstrap_embedded::Lock;
use serde::{Deserialize, Serialize};

use super::{engine::Engine, kernel::Raises};
use crate::{
    cluster::{ClusterKind, Record, Say},
    failure::Failure,
    tool::Cancel,
};
use crds::ExitCode;

/// How long another command may be at work on the same cluster.
const BUSY_LIMIT: Duration = Duration::from_mins(30);

/// The record of one cluster, written before anything of it is made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    /// Where its containers are.
    pub(super) engine: Engine,
    /// Whether it was there before and is somebody's: `--reuse`.
    pub(super) found: bool,
    /// Whether it was made to the end.
    pub(super) complete: bool,
    /// Number of nodes that were asked for.
    pub(super) nodes: usize,
    /// The node image that was asked for.
    pub(super) image: Option<String>,
    /// Whether the network of its containers goes with the last cluster of ours: it was not there before the first.
    pub(super) network_is_ours: bool,
    /// What was changed in the kernel for the first cluster of ours.
    pub(super) raised: Raises,
}

/// The facts of our other clusters.
pub(super) fn of_others(name: &str) -> anyhow::Result<Vec<Facts>> {
    let mut others = Vec::new();
    for other in Record::names(ClusterKind::Kind)?.into_iter().filter(|other| other != name) {
        // One that ended meanwhile has none.
        others.extend(Record::of(ClusterKind::Kind, &other).read::<Facts>()?);
    }
    Ok(others.into_iter().filter(|facts| !facts.found).collect())
}

/// Takes the lock of one cluster: who makes, uses or removes it is alone.
pub(super) fn lock_cluster(
    record: &Record,
    name: &str,
    cancel: &Cancel,
    say: Say<'_>,
) -> anyhow::Result<Lock> {
    let busy = || say(format!("another command is at work on cluster `{name}`: waiting for it"));
    lock(&record.lock(), cancel, busy)
}

/// Takes the lock of what our clusters share: their network and the kernel's limits.
pub(super) fn lock_shared(cancel: &Cancel) -> anyhow::Result<Lock> {
    lock(&Record::of(ClusterKind::Kind, "").lock(), cancel, || {})
}

fn lock(path: &Path, cancel: &Cancel, busy: impl FnMut()) -> anyhow::Result<Lock> {
    let awaited = format!("the lock {}", path.display());
    let mut tick = || {
        if cancel.is_cancelled() {
            Err(bootstrap_embedded::Error::Cancelled(awaited.clone()))
        } else {
            Ok(())
        }
    };
    Lock::take(path, BUSY_LIMIT, busy, &mut tick).map_err(|error| match error {
        bootstrap_embedded::Error::Cancelled(_) => cancelled(&error.to_string()).into(),
        error => anyhow!("{error}"),
    })
}

/// That a cancelled step ended is what was asked for, not an error of the machine.
pub(super) fn cancelled(message: &str) -> Failure {
    Failure { code: ExitCode::Cancelled, message: message.to_owned() }
}
