//! Keeps record of what is applied, in the cluster itself and before it is applied: a removal must never touch what was
//! there before, and must find all that was not.

mod claim;
mod namespace;
mod present;
mod removal;
mod store;

use crds::inventory::InventoryObject;

pub use claim::{Claim, claim};
pub use namespace::{OwnNamespace, own as own_namespace};
use present::present;
pub use removal::{close, give_up, is_closed, take_back};
pub use store::{Held, InventoryError, read};

use crate::{
    apply::{Applied, ApplyError, ApplyOptions, Progress, apply_while},
    object::{Identity, Object},
    order::waves,
    remove::RemoveError,
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
    /// What was made when somebody had removed the rest.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

/// What became of a set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Recorded {
    /// What was applied; indices are of the objects that were not there.
    pub applied: Applied,
    /// What was there already, and was left as it is.
    pub kept: Vec<Identity>,
}

/// Applies those objects of a set that are not there as [`apply`] does, and keeps the inventory of the whole: which
/// objects are about to be made is written down first, their UIDs after. What is there already, or is when its turn comes,
/// is somebody's, and stays as it is.
///
/// Where somebody removes meanwhile what this run made, it ends before the next wave, and what it had made is removed.
///
/// # Errors
/// As [`apply`], and where the inventory cannot be read or written.
pub async fn apply_recorded(
    claim: &Claim,
    objects: &[Object],
    before: Before,
    options: &ApplyOptions,
    progress: &(dyn Fn(Progress<'_>) + Sync),
) -> Result<Recorded, RecordedError> {
    let order: Vec<usize> = waves(objects).into_iter().flat_map(|wave| wave.objects).collect();
    let there = match before {
        Before::Empty => vec![false; objects.len()],
        Before::Unknown => {
            let there = present(claim.client(), objects, options).await?;
            // What this very invocation has made before is its own.
            let known = claim.inventory().await?;
            let made = |object: &Object| known.made(&entry(object.identity(), true, None));
            objects.iter().zip(there).map(|(object, there)| there && !made(object)).collect()
        }
    };
    let in_order = order.iter().filter_map(|index| Some((objects.get(*index)?, *there.get(*index)?)));
    let (kept, new): (Vec<_>, Vec<_>) = in_order.partition(|(_, there)| *there);
    let entries = kept.iter().chain(&new).map(|(object, there)| entry(object.identity(), !there, None));
    claim.record(entries.collect()).await?;
    let new: Vec<Object> = new.into_iter().map(|(object, _)| object.clone()).collect();
    let options = ApplyOptions { only_new: before == Before::Unknown, ..options.clone() };
    let goes_on = || async { !claim.is_lost().await };
    let applied = apply_while(claim.client(), &new, &options, progress, goes_on).await;
    let taken = applied
        .iter()
        .flat_map(|applied| &applied.objects)
        .filter_map(|taken| Some(entry(new.get(taken.index)?.identity(), true, taken.uid.clone())));
    let recorded = claim.record(taken.collect()).await;
    // Who removes what this run made cannot have seen what was under way, and nobody else knows of it. A refusal is often
    // only what the removal brings about.
    if matches!(recorded, Err(InventoryError::Lost)) {
        take_back(claim).await?;
        return Err(InventoryError::Lost.into());
    }
    let applied = applied?;
    recorded?;
    let late: Vec<&Identity> = applied.found.iter().filter_map(|at| Some(new.get(*at)?.identity())).collect();
    for identity in &late {
        claim.forget(&entry(identity, false, None)).await?;
    }
    let kept = kept.into_iter().map(|(object, _)| object.identity()).chain(late).cloned().collect();
    Ok(Recorded { applied, kept })
}

/// What the inventory says of one object.
fn entry(identity: &Identity, made: bool, uid: Option<String>) -> InventoryObject {
    InventoryObject {
        api_version: identity.api_version(),
        kind: identity.kind.clone(),
        namespace: identity.namespace.clone(),
        name: identity.name.clone(),
        uid,
        made,
        needed_by: None,
    }
}

#[cfg(test)]
mod tests;
