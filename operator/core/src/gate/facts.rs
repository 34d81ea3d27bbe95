//! What the gate's watches have read, one table a source.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;

use super::{
    inventory::{InventoryMap, InventoryRow},
    object::{Fact, Judged, Key, KindId, Object, Plain, Watched},
    webhook::{EndpointSlice, WebhookConfiguration},
    workload::BlockedPod,
};

/// What one watch reads.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Source {
    /// The objects of a kind, to be judged.
    Objects(KindId),
    /// Pods that something keeps from being ready, for what they tell of their workloads.
    Pods,
    /// Services with an endpoint that is ready.
    Endpoints,
    /// The inventories in the operator's namespace.
    Inventories,
}

impl Source {
    /// The kind that is read.
    pub fn kind(&self) -> KindId {
        match self {
            Self::Objects(kind) => kind.clone(),
            Self::Pods => KindId::new("", "v1", "Pod"),
            Self::Endpoints => KindId::new("discovery.k8s.io", "v1", "EndpointSlice"),
            Self::Inventories => KindId::new("", "v1", "ConfigMap"),
        }
    }
}

/// How far a watch has come.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Reading {
    /// Not everything has been read yet.
    #[default]
    Pending,
    /// All that is there is known.
    Done,
    /// The API server does not serve the kind.
    NotServed,
    /// It cannot be read; the API server's sentence.
    Unreadable(String),
}

/// What one watch has read.
#[derive(Clone, Debug)]
pub struct Table<Row> {
    reading: Reading,
    rows: BTreeMap<Key, Row>,
    history: History,
}

/// How much has happened to what is read: a number is another one after each time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct History {
    /// Changes of what is known.
    pub changes: u64,
    /// Times in which nobody could follow it: what broke then and was mended again is in no change.
    pub breaks: u64,
}

impl<Row> Default for Table<Row> {
    fn default() -> Self {
        Self { reading: Reading::Pending, rows: BTreeMap::new(), history: History::default() }
    }
}

impl<Row: PartialEq> Table<Row> {
    /// Takes over all that is there. Returns whether anything is different.
    pub fn replace(&mut self, rows: BTreeMap<Key, Row>) -> bool {
        let differs = self.reading != Reading::Done || self.rows != rows;
        self.reading = Reading::Done;
        self.rows = rows;
        self.changed(differs)
    }

    /// Takes over one object; `None` where nothing of it has to be kept. Returns whether anything is different.
    pub fn put(&mut self, key: Key, row: Option<Row>) -> bool {
        let differs = match row {
            None => self.rows.remove(&key).is_some(),
            Some(row) if self.rows.get(&key) == Some(&row) => false,
            Some(row) => {
                self.rows.insert(key, row);
                true
            }
        };
        self.changed(differs)
    }

    /// Its watch goes on from where it was.
    pub fn recovered(&mut self) -> bool {
        let differs = !matches!(self.reading, Reading::Done | Reading::Pending);
        if differs {
            self.reading = Reading::Done;
        }
        self.changed(differs)
    }

    /// Its watch cannot go on. Of errors that follow each other the first is kept: they take turns, and a status that
    /// tells each would be written with every try.
    pub fn failed(&mut self, reading: Reading) -> bool {
        let both_unreadable =
            matches!((&self.reading, &reading), (Reading::Unreadable(_), Reading::Unreadable(_)));
        let differs = !both_unreadable && self.reading != reading;
        if differs {
            self.reading = reading;
            self.history.breaks += 1;
        }
        self.changed(differs)
    }

    /// Its watch was away for longer than it seemed. Returns true: whoever counts on it has to know.
    pub const fn missed(&mut self) -> bool {
        self.history.breaks += 1;
        true
    }

    /// How far its watch has come.
    pub(super) const fn reading(&self) -> &Reading {
        &self.reading
    }

    /// One object.
    pub(super) fn get(&self, key: &Key) -> Option<&Row> {
        self.rows.get(key)
    }

    /// All that is kept.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// What is in one namespace, by name.
    pub(super) fn of_namespace(&self, namespace: &str) -> impl Iterator<Item = (&Key, &Row)> {
        let all = self.rows.range(Key::namespaced(namespace, "")..);
        all.take_while(move |(key, _)| key.namespace.as_deref() == Some(namespace))
    }

    const fn changed(&mut self, differs: bool) -> bool {
        if differs {
            self.history.changes += 1;
        }
        differs
    }
}

/// What all watches have read.
#[derive(Debug, Default)]
pub struct Facts {
    pub(super) objects: HashMap<KindId, Table<Fact>>,
    pub(super) pods: Table<BlockedPod>,
    pub(super) endpoints: Table<Key>,
    pub(super) inventories: Table<InventoryRow>,
}

impl Facts {
    /// How far the watch of a kind's objects has come.
    pub(super) fn reading_of(&self, kind: &KindId) -> &Reading {
        self.objects.get(kind).map_or(&Reading::Pending, Table::reading)
    }

    /// How far the watch of a source has come.
    pub(super) fn reading(&self, source: &Source) -> &Reading {
        match source {
            Source::Objects(kind) => self.reading_of(kind),
            Source::Pods => self.pods.reading(),
            Source::Endpoints => self.endpoints.reading(),
            Source::Inventories => self.inventories.reading(),
        }
    }

    /// How much has happened to these sources.
    pub fn history<'a>(&self, sources: impl IntoIterator<Item = &'a Source>) -> History {
        let of = |source: &Source| match source {
            Source::Objects(kind) => {
                self.objects.get(kind).map_or_else(History::default, |table| table.history)
            }
            Source::Pods => self.pods.history,
            Source::Endpoints => self.endpoints.history,
            Source::Inventories => self.inventories.history,
        };
        sources.into_iter().map(of).fold(History::default(), |sum, one| History {
            changes: sum.changes + one.changes,
            breaks: sum.breaks + one.breaks,
        })
    }

    /// Forgets what nobody follows any more.
    pub fn forget(&mut self, sources: &BTreeSet<Source>) {
        for source in sources {
            match source {
                Source::Objects(kind) => drop(self.objects.remove(kind)),
                Source::Pods => self.pods = Table::default(),
                Source::Endpoints => self.endpoints = Table::default(),
                Source::Inventories => self.inventories = Table::default(),
            }
        }
    }
}

/// An object with a table of its own.
pub trait Followed: Watched {
    /// The table of objects of that kind.
    fn table<'a>(facts: &'a mut Facts, kind: &KindId) -> &'a mut Table<Self::Row>;
}

/// The table of a kind that is judged.
fn judged<'a>(facts: &'a mut Facts, kind: &KindId) -> &'a mut Table<Fact> {
    facts.objects.entry(kind.clone()).or_default()
}

impl<Status: Judged> Followed for Object<Status::Spec, Status>
where
    Status::Spec: DeserializeOwned,
{
    fn table<'a>(facts: &'a mut Facts, kind: &KindId) -> &'a mut Table<Fact> {
        judged(facts, kind)
    }
}

impl Followed for Plain {
    fn table<'a>(facts: &'a mut Facts, kind: &KindId) -> &'a mut Table<Fact> {
        judged(facts, kind)
    }
}

impl Followed for WebhookConfiguration {
    fn table<'a>(facts: &'a mut Facts, kind: &KindId) -> &'a mut Table<Fact> {
        judged(facts, kind)
    }
}

impl Followed for Pod {
    fn table<'a>(facts: &'a mut Facts, _: &KindId) -> &'a mut Table<BlockedPod> {
        &mut facts.pods
    }
}

impl Followed for EndpointSlice {
    fn table<'a>(facts: &'a mut Facts, _: &KindId) -> &'a mut Table<Key> {
        &mut facts.endpoints
    }
}

impl Followed for InventoryMap {
    fn table<'a>(facts: &'a mut Facts, _: &KindId) -> &'a mut Table<InventoryRow> {
        &mut facts.inventories
    }
}
