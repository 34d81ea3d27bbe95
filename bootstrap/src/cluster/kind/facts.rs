//! What the record of a cluster says, and what its clusters share on one machine.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{anyhow, bail};
use bootstrap_embedded::Lock;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{containers::Container, engine::Engine, kernel::Raises};
use crate::{
    cluster::{ClusterKind, Record, Say},
    failure::Failure,
    tool::Cancel,
};

/// How long another command may be at work on the same cluster.
const BUSY_LIMIT: Duration = Duration::from_mins(30);

/// How long `kind` may take; a node image of a gigabyte may have to be pulled.
pub(super) const CREATE_LIMIT: Duration = Duration::from_mins(20);
/// By how much a runtime's clock may differ from what was measured of it; containers' times are whole seconds.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(2);

/// The form of the record that this program writes, and the newest that it reads.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// The record of one cluster, written before anything of it is made. What an older form lacks is what says least of it is
/// ours.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    /// The form of this record.
    #[serde(default)]
    pub(super) schema_version: u32,
    /// Where its containers are.
    pub(super) engine: Engine,
    /// Whether it was there before and is somebody's: `--reuse`.
    #[serde(default)]
    pub(super) found: bool,
    /// Of one that was found: the runs that were about to claim it. What one of these made in it is what is removed.
    #[serde(default)]
    pub(super) invocations: BTreeSet<String>,
    /// When it was begun, by its runtime's clock: what is older is not of this attempt.
    #[serde(default)]
    pub(super) begun: Timestamp,
    /// Whether it was made to the end.
    #[serde(default)]
    pub(super) complete: bool,
    /// The containers of one that was made to the end, by their identity: a name may be somebody else's by now.
    #[serde(default)]
    pub(super) containers: BTreeSet<String>,
    /// Number of nodes that were asked for.
    #[serde(default)]
    pub(super) nodes: usize,
    /// The node image that was asked for.
    #[serde(default)]
    pub(super) image: Option<String>,
    /// Whether the network of its containers goes with the last cluster of ours: it was not there before the first.
    #[serde(default)]
    pub(super) network_is_ours: bool,
    /// What was changed in the kernel for the first cluster of ours.
    #[serde(default)]
    pub(super) raised: Raises,
}

impl Facts {
    /// Reads a record; `None` where there is none.
    pub(super) fn read(record: &Record) -> anyhow::Result<Option<Self>> {
        let facts: Option<Self> = record.read()?;
        if let Some(version) =
            facts.as_ref().map(|facts| facts.schema_version).filter(|it| *it > SCHEMA_VERSION)
        {
            bail!(
                "{}: it has schemaVersion {version}, and this kfe2e reads up to {SCHEMA_VERSION}: use the newer kfe2e \
                 that wrote it",
                record.file("record.json").display()
            );
        }
        Ok(facts)
    }

    /// Whether this container is of the cluster that the record stands for, and was made by us. Before the cluster is
    /// complete nobody knows its containers but by their time.
    pub(super) fn made(&self, container: &Container) -> bool {
        if self.found {
            return false;
        }
        if self.complete {
            return self.containers.contains(&container.id);
        }
        container.created.is_some_and(|created| {
            let since = created.duration_since(self.begun);
            let limit = SignedDuration::try_from(CREATE_LIMIT).unwrap_or(SignedDuration::MAX);
            since >= -CLOCKS_DIFFER && since <= limit
        })
    }
}

/// What is known of our other clusters.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Those whose records can be read.
    pub(super) facts: Vec<Facts>,
    /// Why the others' cannot.
    pub(super) unreadable: Vec<String>,
}

impl Others {
    /// Whether there is none for certain.
    pub(super) const fn is_none(&self) -> bool {
        self.facts.is_empty() && self.unreadable.is_empty()
    }

    /// Whether one of them has its containers at this runtime, or may have.
    pub(super) fn may_use(&self, engine: &Engine) -> bool {
        !self.unreadable.is_empty() || self.facts.iter().any(|facts| facts.engine == *engine)
    }

    /// A line for each record that cannot be read.
    pub(super) fn complaints(&self) -> impl Iterator<Item = String> {
        let say = |reason: &String| {
            format!(
                "{reason}; what clusters share stays as if that one were there: remove its folder if it is of no use"
            )
        };
        self.unreadable.iter().map(say)
    }
}

/// Our other clusters.
pub(super) fn of_others(name: &str) -> anyhow::Result<Others> {
    let mut others = Others::default();
    for other in Record::names(ClusterKind::Kind)?.into_iter().filter(|other| other != name) {
        match Facts::read(&Record::of(ClusterKind::Kind, &other)) {
            // One that ended meanwhile has none.
            Ok(facts) => others.facts.extend(facts.filter(|facts| !facts.found)),
            Err(error) => others.unreadable.push(error.to_string()),
        }
    }
    Ok(others)
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
        bootstrap_embedded::Error::Cancelled(_) => Failure::cancelled(error.to_string()).into(),
        error => anyhow!("{error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::kind::{containers, runtime::Runtime};

    #[test]
    fn ours_is_what_the_record_names_or_what_began_with_it() {
        let list = "1\ta\trunning\t\t2026-11-23 16:20:00 +0000 UTC\n2\tb\trunning\t\t2026-11-23 16:40:01 +0000 UTC\n\
                    3\tc\trunning\t\t2026-11-23 16:19:57 +0000 UTC\n4\td\trunning\t\tyesterday\n";
        let text = r#"{"engine": {"runtime": "docker", "variables": {}}, "begun": "2026-11-23T16:20:00.4Z"}"#;
        let begun: Facts = serde_json::from_str(text).unwrap();
        let made = |facts: &Facts| -> Vec<String> {
            let all = containers::parse(list).into_iter();
            all.filter(|container| facts.made(container)).map(|container| container.id).collect()
        };
        assert_eq!(made(&begun), ["1"]);
        assert_eq!(made(&Facts { complete: true, ..begun.clone() }), [""; 0]);
        let complete = Facts { complete: true, containers: ["2".into(), "9".into()].into(), ..begun.clone() };
        assert_eq!(made(&complete), ["2"]);
        assert_eq!(made(&Facts { found: true, ..complete }), [""; 0]);
    }

    #[test]
    fn a_record_that_cannot_be_read_may_be_of_any_cluster() {
        let docker = Engine::here(Runtime::Docker);
        assert!(Others::default().is_none() && !Others::default().may_use(&docker));
        let bad = Others { unreadable: vec!["b/record.json: expected value".into()], ..Others::default() };
        assert!(!bad.is_none() && bad.may_use(&docker));
        assert!(bad.complaints().next().unwrap().starts_with("b/record.json: expected value; "));
    }

    #[test]
    fn a_record_of_a_newer_kfe2e_is_not_guessed_at() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        assert_eq!(Facts::read(&record).unwrap(), None);
        let mut text = serde_json::json!({"engine": {"runtime": "docker", "variables": {}}});
        record.write(&text).unwrap();
        assert_eq!(Facts::read(&record).unwrap().unwrap().schema_version, 0);
        text["schemaVersion"] = 2.into();
        record.write(&text).unwrap();
        assert!(Facts::read(&record).unwrap_err().to_string().contains("schemaVersion 2"));
    }
}
