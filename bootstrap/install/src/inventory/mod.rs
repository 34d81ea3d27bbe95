//! Keeps record of what is applied, in the cluster itself and before it is applied: a removal must never touch what was
//! there before, and must find all that was not.

mod present;
mod store;

use crds::inventory::InventoryObject;
use kube::Client;

pub use present::present;
pub use store::{InventoryError, delete, read, record};

use crate::{
    apply::{Applied, ApplyError, ApplyOptions, Progress, apply},
    object::{Identity, Object},
    order::waves,
};

/// What is known of a cluster before anything is applied to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Before {
    /// It was made for this: whatever the set brings is new.
    Empty,
    /// It may hold objects of the set already, which are somebody's.
    Unknown,
}

/// Why a set is not applied, or not recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// The record.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The set.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Applies a set as [`apply`] does, and keeps the inventory `name` of it: which objects are about to be made is written
/// down first, their UIDs after.
///
/// # Errors
/// As [`apply`], and where the inventory cannot be read or written.
pub async fn apply_recorded(
    client: &Client,
    name: &str,
    objects: &[Object],
    before: Before,
    options: &ApplyOptions,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Applied, RecordedError> {
    let order: Vec<usize> = waves(objects).into_iter().flat_map(|wave| wave.objects).collect();
    let in_order = || order.iter().filter_map(|index| Some((*index, objects.get(*index)?)));
    let there = match before {
        Before::Empty => vec![false; objects.len()],
        Before::Unknown => present(client, objects, options).await?,
    };
    let made = |index: usize| there.get(index) == Some(&false);
    let entries = in_order().map(|(index, object)| entry(object.identity(), made(index), None));
    record(client, name, entries.collect()).await?;
    let applied = apply(client, objects, options, progress).await?;
    let uid = |index: usize| applied.objects.iter().find(|taken| taken.index == index)?.uid.clone();
    let entries = in_order().map(|(index, object)| entry(object.identity(), made(index), uid(index)));
    record(client, name, entries.collect()).await?;
    Ok(applied)
}

/// What the inventory says of one object.
pub fn entry(identity: &Identity, made: bool, uid: Option<String>) -> InventoryObject {
    InventoryObject {
        api_version: identity.api_version(),
        kind: identity.kind.clone(),
        namespace: identity.namespace.clone(),
        name: identity.name.clone(),
        uid,
        made,
    }
}
