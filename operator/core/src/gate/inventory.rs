//! Inventories as the gate reads them: ConfigMaps in the operator's namespace.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crds::gate_inventory::{GateInventory, GateObject, KEY};
use serde::Deserialize;

use super::{
    facts::Source,
    object::{Key, KindId, Meta, Watched},
};

/// A ConfigMap that may hold an inventory.
#[derive(Clone, Debug, Deserialize)]
pub struct InventoryMap {
    #[serde(default)]
    metadata: Meta,
    data: Option<BTreeMap<String, String>>,
}

/// The objects that an inventory names, or why it cannot be used.
pub type InventoryRow = Result<Arc<Listed>, String>;

/// The objects that an inventory names.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct Listed {
    /// The objects, by kind.
    pub(super) objects: BTreeMap<KindId, Vec<Key>>,
}

impl Listed {
    /// All that is read for a judgement of it.
    pub(super) fn sources(&self) -> BTreeSet<Source> {
        let read = self.objects.keys().filter(|kind| !kind.is_secret());
        read.flat_map(KindId::sources).collect()
    }
}

impl FromIterator<GateObject> for Listed {
    fn from_iter<I: IntoIterator<Item = GateObject>>(objects: I) -> Self {
        let mut listed: BTreeMap<KindId, Vec<Key>> = BTreeMap::new();
        for object in objects {
            let kind = KindId::new(object.group(), object.version(), &object.kind);
            listed.entry(kind).or_default().push(Key { namespace: object.namespace, name: object.name });
        }
        for keys in listed.values_mut() {
            keys.sort();
            keys.dedup();
        }
        Self { objects: listed }
    }
}

impl Watched for InventoryMap {
    type Meta = Meta;
    type Row = InventoryRow;

    fn meta(&self) -> &Meta {
        &self.metadata
    }

    fn row(&self, _: &KindId) -> Option<InventoryRow> {
        let text = self.data.as_ref()?.get(KEY)?;
        Some(GateInventory::parse(text).map(|inventory| Arc::new(inventory.objects.into_iter().collect())))
    }
}
