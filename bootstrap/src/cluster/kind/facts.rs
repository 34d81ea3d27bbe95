//! What the record of a cluster says, and what its clusters share on one machine.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{anyhow, bail};
use bootstrap_embedded::Lock;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{containers::Container, engine::Engine, mark::Mark};
use crate::{
    cluster::{ClusterKind, Record, Say},
    failure::Failure,
    tool::Cancel,
};

/// How long another command may be at work on the same cluster.
const BUSY_LIMIT: Duration = Duration::from_mins(30);

/// The form of the record that this program writes and reads.
pub(super) const SCHEMA_VERSION: u32 = 2;

/// The record of one cluster, written before anything of it is made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Facts {
    /// The form of this record.
    pub(super) schema_version: u32,
    /// Where its containers are.
    pub(super) engine: Engine,
    /// What everything that we make of it carries; `None` of a cluster that was there before and is somebody's: `--reuse`.
    pub(super) mark: Option<Mark>,
    /// Of one that was there before: the runs that were about to claim it. What one of these made in it is what is removed.
    pub(super) invocations: BTreeSet<String>,
    /// Whether it was made to the end.
    pub(super) complete: bool,
    /// Number of nodes that were asked for.
    pub(super) nodes: usize,
    /// The node image that was asked for.
    pub(super) image: Option<String>,
    /// Whether the network of its containers goes with the last cluster of ours: it was not there before the first.
    pub(super) network_is_ours: bool,
}

/// The containers of a cluster's name, by who made them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Split {
    /// Those of the attempt that a record stands for.
    pub(super) ours: Vec<Container>,
    /// All others, which are never touched.
    pub(super) others: Vec<Container>,
}

impl Facts {
    /// Reads a record; `None` where there is none.
    pub(super) fn read(record: &Record, name: &str) -> anyhow::Result<Option<Self>> {
        let Some(value) = record.read::<Value>().map_err(|error| unreadable(record, name, &error))? else {
            return Ok(None);
        };
        let version = value.get("schemaVersion").and_then(Value::as_u64).unwrap_or_default();
        if version != u64::from(SCHEMA_VERSION) {
            bail!(
                "{} has schemaVersion {version}, and this kfe2e reads {SCHEMA_VERSION}: use the kfe2e that wrote it",
                record.path().display()
            );
        }
        let facts = serde_json::from_value(value);
        facts
            .map(Some)
            .map_err(|error| unreadable(record, name, &format!("{}: {error}", record.path().display())))
    }

    /// Whether we made it, in another attempt than the one with this mark.
    fn is_of_another(&self, mark: &Mark) -> bool {
        self.mark.as_ref().is_some_and(|own| own != mark)
    }

    /// Tells our containers from others of the same name.
    ///
    /// What stands before several control planes cannot be marked. It is ours where nodes of ours stand behind it and
    /// nobody else's; alone it may be anybody's.
    pub(super) fn split(&self, containers: Vec<Container>) -> Split {
        let Some(mark) = &self.mark else { return Split { ours: Vec::new(), others: containers } };
        let nodes = || containers.iter().filter(|container| container.is_node());
        let balancer_too = nodes().count() > 0 && nodes().all(|node| node.carries(mark));
        let is_ours =
            |container: &Container| container.carries(mark) || (balancer_too && !container.is_node());
        let (ours, others) = containers.into_iter().partition(is_ours);
        Split { ours, others }
    }
}

/// A record that says nothing that can be understood, with the way out.
fn unreadable(record: &Record, name: &str, error: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow!(
        "{error}; what is recorded of cluster `{name}` cannot be read: mend that file, or remove what there may be of the \
         cluster with `kind delete cluster --name {name}` and then the folder {}",
        record.file("").display()
    )
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
    /// Whether one of them has its containers in the network of this runtime, or may have.
    pub(super) fn may_use(&self, engine: &Engine) -> bool {
        let shares = |facts: &Facts| facts.engine.shares_network_with(engine);
        !self.unreadable.is_empty() || self.facts.iter().any(shares)
    }

    /// A line for each record that cannot be read.
    pub(super) fn complaints(&self) -> impl Iterator<Item = String> {
        let say = |reason: &String| {
            format!("{reason}; the network of its containers stays as if that one were there")
        };
        self.unreadable.iter().map(say)
    }
}

/// Our clusters but for the one with this mark.
pub(super) fn of_others(mark: &Mark) -> anyhow::Result<Others> {
    let mut others = Others::default();
    for name in Record::names(ClusterKind::Kind)? {
        match Facts::read(&Record::of(ClusterKind::Kind, &name), &name) {
            // One that ended meanwhile has none.
            Ok(facts) => others.facts.extend(facts.filter(|facts| facts.is_of_another(mark))),
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

/// Takes the lock of what our clusters share: their network.
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

    fn facts(mark: Option<&str>) -> Facts {
        Facts {
            schema_version: SCHEMA_VERSION,
            engine: Engine::here(Runtime::Docker),
            mark: mark.map(Mark::from),
            invocations: BTreeSet::new(),
            complete: false,
            nodes: 1,
            image: None,
            network_is_ours: false,
        }
    }

    #[test]
    fn ours_is_what_carries_the_mark_of_the_attempt() {
        let node = |id: &str, mark: &str| serde_json::json!({"Id": id, "Name": id, "Mounts": [{"Destination": format!("/kfe2e/{mark}")}]});
        let balancer = serde_json::json!({"Id": "lb", "Name": "lb",
            "Config": {"Labels": {"io.x-k8s.kind.role": "external-load-balancer"}}});
        let ours = |mark, listed: &[&Value]| -> Vec<String> {
            let containers = containers::parse(&serde_json::json!(listed).to_string()).unwrap();
            let split = facts(mark).split(containers);
            assert_eq!(split.ours.len() + split.others.len(), listed.len());
            split.ours.into_iter().map(|container| container.id).collect()
        };
        let (mine, theirs) = (node("1", "m"), node("2", "other"));
        assert_eq!(ours(Some("m"), &[&mine, &theirs]), ["1"]);
        assert_eq!(ours(None, &[&mine, &theirs]), [""; 0]);
        // A balancer goes with its nodes.
        assert_eq!(ours(Some("m"), &[&mine, &balancer]), ["1", "lb"]);
        assert_eq!(ours(Some("m"), &[&mine, &theirs, &balancer]), ["1"]);
        assert_eq!(ours(Some("m"), &[&theirs, &balancer]), [""; 0]);
        assert_eq!(ours(Some("m"), &[&balancer]), [""; 0]);
    }

    #[test]
    fn a_record_that_cannot_be_read_may_be_of_any_cluster() {
        let docker = Engine::here(Runtime::Docker);
        assert!(!Others::default().may_use(&docker));
        let bad = Others { unreadable: vec!["b/record.json: expected value".into()], ..Others::default() };
        assert!(bad.may_use(&docker));
        assert!(bad.complaints().next().unwrap().starts_with("b/record.json: expected value; "));
    }

    #[test]
    fn another_attempt_of_the_same_name_is_another_cluster() {
        let mark = Mark::from("m");
        let of_another = |own| facts(own).is_of_another(&mark);
        assert!(of_another(Some("n")) && !of_another(Some("m")) && !of_another(None));
    }

    #[test]
    fn a_record_that_is_not_understood_is_not_guessed_at() {
        let root = tempfile::tempdir().unwrap();
        let record = Record::below(root.path(), ClusterKind::Kind, "a");
        let read = || Facts::read(&record, "a");
        assert_eq!(read().unwrap(), None);
        record.write(&facts(Some("m"))).unwrap();
        assert_eq!(read().unwrap(), Some(facts(Some("m"))));
        for version in [1, 3] {
            record.write(&serde_json::json!({"schemaVersion": version})).unwrap();
            assert!(read().unwrap_err().to_string().contains(&format!("schemaVersion {version}, ")));
        }
        record.write(&serde_json::json!({"schemaVersion": 2})).unwrap();
        let lacking = read().unwrap_err().to_string();
        record.keep("record.json", b"{").unwrap();
        for said in [lacking, read().unwrap_err().to_string()] {
            assert!(said.contains(&record.path().display().to_string()), "{said}");
            assert!(said.contains("`kind delete cluster --name a` and then the folder "), "{said}");
        }
    }
}
