//! Removes what an inventory says was made, in the reverse of the order in which it went in.

mod class;
mod foreign;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crds::inventory::InventoryObject;
use futures::{StreamExt as _, stream};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, DynamicObject, Preconditions},
};
use tokio::time::{Instant, sleep, timeout_at};

pub use class::{Class, classes};
use foreign::Ours;

use crate::{
    apply::{ApplyError, ApplyOptions, learn},
    ask::ask,
    found::found,
    object::Identity,
    resource::Resources,
};

/// First and longest pause between two looks at what is being deleted.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long what is removed together may take: pods get their grace, controllers let go of what they hold.
const CLASS_WITHIN: Duration = Duration::from_mins(3);

/// Why something of an inventory is still there.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// The kinds of the inventory cannot be learnt.
    #[error(transparent)]
    Kinds(#[from] ApplyError),
    /// Nobody can say what else goes with an object that is removed.
    #[error("the namespaces of the cluster, and what runs in them, cannot be looked at: {reason}")]
    Owners {
        /// What the API server says.
        reason: String,
    },
    /// The API server refuses to delete an object.
    #[error("{object} cannot be removed: {reason}")]
    Refused {
        /// Which.
        object: String,
        /// What the API server says.
        reason: String,
    },
    /// The deadline passed while an object was being deleted.
    #[error("{object} is still being removed{}", held(.finalizers))]
    Deadline {
        /// Which.
        object: String,
        /// What must let go of it first.
        finalizers: Vec<String>,
    },
    /// Custom resources are still there.
    #[error(
        "what comes after custom resources was not removed, so that their controllers still run and can let go of them: \
         their logs say why they do not; a finalizer that nobody lets go of any more is taken away with `kubectl edit`"
    )]
    Stopped,
}

/// Who holds an object.
fn held(finalizers: &[String]) -> String {
    match finalizers {
        [] => "; its contents have not gone yet".to_owned(),
        names => format!(
            ": the finalizer {} is held; the controller that owns it must run, or remove the finalizer by hand",
            names.join(", ")
        ),
    }
}

/// What a removal came to.
#[derive(Debug, Default)]
pub struct Removed {
    /// How many objects are gone that were there.
    pub count: usize,
    /// What stays, as [`InventoryObject::needed_by`] says for whose sake.
    pub kept: Vec<InventoryObject>,
    /// What could not be removed.
    pub failures: Vec<RemoveError>,
}

/// Deletes every object that was made, and waits until it is gone. What was there before stays; so do an object that was
/// made anew by somebody else since, a CRD with instances of somebody else, a namespace in which somebody else runs
/// something, and what owns such a namespace. An object whose UID is not known was never made. Twice is as good as once.
///
/// A failure keeps nothing else from being removed, but for custom resources that do not go: what comes after them, their
/// controllers among it, stays then.
///
/// # Errors
/// The kinds of the objects cannot be learnt, or the namespaces not be looked at; nothing is removed then.
pub async fn remove(
    client: &Client,
    objects: &[InventoryObject],
    options: &ApplyOptions,
    progress: &mut (dyn FnMut(Class, usize) + Send),
) -> Result<Removed, RemoveError> {
    let made: Vec<&InventoryObject> = objects.iter().filter(|object| object.made).collect();
    let mut resources = Resources::default();
    let identities: Vec<Identity> = made.iter().map(|object| Identity::of(object)).collect();
    let first = options.at_most(CLASS_WITHIN);
    learn(client, &identities, &mut resources, &first).await?;
    let mut removed = Removed::default();
    let owners = kept_as_owners(client, &made, &first).await?;
    for (class, members) in classes(&made) {
        progress(class, members.len());
        // What holds one class for ever must not keep the others from going.
        let options = options.at_most(CLASS_WITHIN);
        // What stays keeps in turn what it needs: a custom resource its CRD.
        let stays = removed.kept.iter().filter_map(|object| object.uid.clone()).collect();
        let ours = Ours::of(client, &options, &made, &stays);
        let (options, resources, ours, owners) = (&options, &resources, &ours, &owners);
        let asked = stream::iter(members).map(|object| async move {
            delete_unless_needed(client, object, resources, ours, owners, options).await
        });
        let asked: Vec<_> = asked.buffer_unordered(options.concurrency.max(1)).collect().await;
        for outcome in asked {
            match outcome {
                Ok(Asked::Gone) => {}
                Ok(Asked::Kept(object)) => removed.kept.push(object),
                Ok(Asked::Deleting(deleting)) => match deleting.until_gone(options).await {
                    Ok(()) => removed.count += 1,
                    Err(error) => removed.failures.push(error),
                },
                Err(error) => removed.failures.push(error),
            }
        }
        if class == Class::CustomResources && !removed.failures.is_empty() {
            removed.failures.push(RemoveError::Stopped);
            break;
        }
    }
    Ok(removed)
}

/// What stays because the namespaces that it owns, which nobody recorded, would go with it; by UID, with what somebody else
/// runs there.
async fn kept_as_owners(
    client: &Client,
    made: &[&InventoryObject],
    options: &ApplyOptions,
) -> Result<BTreeMap<String, String>, RemoveError> {
    let ours = Ours::of(client, options, made, &BTreeSet::new());
    ours.kept_as_owners().await.map_err(|why| RemoveError::Owners { reason: why.to_string() })
}

/// What became of the request to remove one object.
enum Asked {
    /// It was not there, or it was not the one that was made.
    Gone,
    /// It stays.
    Kept(InventoryObject),
    /// It is on its way.
    Deleting(Box<Deleting>),
}

/// Asks for the deletion of one object, if it is the one that was made and nobody else needs it.
async fn delete_unless_needed(
    client: &Client,
    object: &InventoryObject,
    resources: &Resources,
    ours: &Ours<'_>,
    owners: &BTreeMap<String, String>,
    options: &ApplyOptions,
) -> Result<Asked, RemoveError> {
    let identity = Identity::of(object);
    let place = identity.to_string();
    let refused = |reason: String| RemoveError::Refused { object: place.clone(), reason };
    // A kind that nobody serves any more has no objects.
    let Some(resource) = resources.find(&identity).map_err(ApplyError::from)? else { return Ok(Asked::Gone) };
    let api = resource.api(client, &identity);
    let there = ask(options.patience(), || async { found(api.get_metadata(&object.name).await) }).await;
    let uid = there.map_err(|why| refused(why.to_string()))?.and_then(|there| there.uid());
    let Some(uid) = uid.filter(|uid| object.uid.as_ref() == Some(uid)) else { return Ok(Asked::Gone) };
    let needed = match owners.get(&uid) {
        Some(workload) => Some(workload.clone()),
        None => ours.kept_in(object).await.map_err(|why| refused(why.to_string()))?,
    };
    if let Some(other) = needed {
        return Ok(Asked::Kept(InventoryObject { needed_by: Some(other), ..object.clone() }));
    }
    let params = only(DeleteParams::foreground(), &uid);
    let deleted = ask(options.patience(), || async { gone(api.delete(&object.name, &params).await) }).await;
    deleted.map_err(|why| refused(why.to_string()))?;
    Ok(Asked::Deleting(Box::new(Deleting { api, name: object.name.clone(), uid, place })))
}

/// An object that is being deleted.
struct Deleting {
    api: Api<DynamicObject>,
    name: String,
    uid: String,
    place: String,
}

impl Deleting {
    /// Waits until it is gone.
    async fn until_gone(self, options: &ApplyOptions) -> Result<(), RemoveError> {
        let mut pause = PAUSES.0;
        loop {
            let until = options.deadline.min(Instant::now() + options.request_timeout);
            let (reason, finalizers) =
                match timeout_at(until, self.api.get_metadata(&self.name)).await.map(found) {
                    Ok(Ok(None)) => return Ok(()),
                    Ok(Ok(Some(found))) if found.uid().as_deref() != Some(self.uid.as_str()) => return Ok(()),
                    Ok(Ok(Some(found))) => (None, found.finalizers().to_vec()),
                    Ok(Err(error)) => (Some(error.to_string()), Vec::new()),
                    Err(_) => (Some("the API server did not answer".into()), Vec::new()),
                };
            if Instant::now() + pause >= options.deadline {
                return Err(match reason {
                    Some(reason) => RemoveError::Refused { object: self.place, reason },
                    None => RemoveError::Deadline { object: self.place, finalizers },
                });
            }
            // One request an object and second at most; hundreds of watches would cost the API server more.
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }
}

/// Deletes that one object and no other of its name.
pub fn only(params: DeleteParams, uid: &str) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..params
    }
}

/// That a deletion of [`only`] one object was accepted, or there was nothing of that UID to delete: it is gone, or was
/// replaced since it was looked at.
///
/// # Errors
/// Any other answer.
pub fn gone<T>(answer: kube::Result<T>) -> kube::Result<()> {
    match answer {
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        other => other.map(drop),
    }
}

#[cfg(test)]
mod tests;
