//! The inventory of what is being removed: closed first, and given up last.

use std::time::Duration;

use crds::{
    inventory::{Inventory, InventoryObject, State},
    names::annotation::INVOCATION,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{
    Client, ResourceExt as _,
    api::{DynamicObject, PartialObjectMeta},
};
use tokio::time::Instant;

use super::{
    Claim, RecordedError, namespace,
    store::{self, ATTEMPTS, Held, InventoryError, failed},
};
use crate::{
    apply::{ApplyError, ApplyOptions, has_part, learn},
    ask::ask,
    found::found,
    object::Identity,
    remove::remove,
    resource::Resources,
};

/// How long it may take to remove what a run made after somebody had removed its inventory.
const TAKE_BACK_WITHIN: Duration = Duration::from_mins(5);

/// Closes an inventory: from now on nothing is added to it, and each object in it has the UID by which alone it is removed.
/// `None` if it is not there any more, or another invocation's.
///
/// What was about to be made when its invocation ended has no UID yet. An object in its place that our field manager has a
/// part in is looked up before the inventory is written: that it could be written says that nobody else had claimed the
/// cluster meanwhile, so that it can be nobody else's.
///
/// # Errors
/// The API server does not say.
pub async fn close(
    client: &Client,
    held: Held,
    options: &ApplyOptions,
) -> Result<Option<Held>, RecordedError> {
    let mut now = Some(held.clone());
    for _ in 0..ATTEMPTS {
        let Some(known) = now.filter(|known| known.is_same_claim(&held)) else { return Ok(None) };
        let mut inventory = known.inventory.clone();
        inventory.state = State::Removing;
        look_up(client, &mut inventory, options).await?;
        if let Some(closed) = store::replace(client, &known, &inventory).await? {
            return Ok(Some(closed));
        }
        now = store::read(client).await?;
    }
    Err(failed("others wrote it again and again".to_owned()).into())
}

/// Whether a closed inventory is still there, and closed.
///
/// # Errors
/// The API server does not say.
pub async fn is_closed(client: &Client, closed: &Held) -> Result<bool, InventoryError> {
    let now = store::read(client).await?;
    Ok(now.is_some_and(|now| now.is_same_claim(closed) && now.inventory.state == State::Removing))
}

/// Gives a closed inventory up: all in it is gone but what is `kept`, which stays written down.
///
/// # Errors
/// The API server does not say.
pub async fn give_up(
    client: &Client,
    closed: Held,
    kept: Vec<InventoryObject>,
) -> Result<(), InventoryError> {
    let left = Inventory { state: State::Left, objects: kept, ..closed.inventory.clone() };
    let mut now = Some(closed.clone());
    for _ in 0..ATTEMPTS {
        // Another removal may have come to the same end, and another run may have begun since.
        let Some(known) = now.filter(|known| known.is_same_claim(&closed)) else { return Ok(()) };
        let done = if left.objects.is_empty() {
            store::delete(client, &known).await?
        } else {
            store::replace(client, &known, &left).await?.is_some()
        };
        if done {
            return Ok(());
        }
        now = store::read(client).await?;
    }
    Err(failed("others wrote it again and again".to_owned()))
}

/// Removes what a run made, if somebody has removed its inventory, or is removing what it lists: whatever was under way
/// then is in no list that is left. Does nothing while the inventory is the run's.
///
/// The namespace of the inventory stays: whoever removes, or runs, has the inventory in it.
///
/// # Errors
/// The API server does not say what is there, or does not remove it.
pub async fn take_back(claim: &Claim) -> Result<(), RecordedError> {
    if !claim.is_lost().await {
        return Ok(());
    }
    let client = claim.client();
    let options = ApplyOptions::until(Instant::now() + TAKE_BACK_WITHIN);
    let mut inventory = claim.recorded();
    let own = namespace::entry();
    inventory.objects.retain(|object| object.made && !object.is_same(&own));
    let answered = inventory.objects.clone();
    look_up(client, &mut inventory, &options).await?;
    // Once another run has claimed the cluster, what was looked up may be its own.
    let now = store::read(client).await?;
    let nobody_elses = now.is_none_or(|now| now.inventory.invocation == inventory.invocation);
    let objects = if nobody_elses { inventory.objects } else { answered };
    let removed = remove(client, &objects, &options, &mut |_, _| ()).await?;
    removed.failures.into_iter().next().map_or(Ok(()), |failure| Err(failure.into()))
}

/// Finds the UIDs that are missing.
async fn look_up(
    client: &Client,
    inventory: &mut Inventory,
    options: &ApplyOptions,
) -> Result<(), RecordedError> {
    let invocation = inventory.invocation.clone();
    let missing = |object: &&mut InventoryObject| object.made && object.uid.is_none();
    let mut unknown: Vec<&mut InventoryObject> = inventory.objects.iter_mut().filter(missing).collect();
    let identities: Vec<Identity> = unknown.iter().map(|object| Identity::of(object)).collect();
    let mut resources = Resources::default();
    learn(client, &identities, &mut resources, options).await?;
    let (resources, invocation) = (&resources, invocation.as_str());
    let asked = stream::iter(&identities).map(|identity| async move {
        // A kind that nobody serves has no objects.
        let Some(resource) = resources.find(identity).map_err(ApplyError::from)? else { return Ok(None) };
        let api = resource.api(client, identity);
        let there = ask(options.patience(), || async { found(api.get_metadata(&identity.name).await) })
            .await
            .map_err(|why| failed(format!("whether {identity} was made cannot be told: {why}")))?;
        Ok::<_, RecordedError>(
            there.filter(|there| is_ours(there, invocation, options)).and_then(|it| it.uid()),
        )
    });
    let uids: Vec<_> = asked.buffered(options.concurrency.max(1)).try_collect().await?;
    for (object, uid) in unknown.iter_mut().zip(uids) {
        object.uid = uid;
    }
    Ok(())
}

/// Whether this invocation made an object. One that says which did, says it best.
fn is_ours(there: &PartialObjectMeta<DynamicObject>, invocation: &str, options: &ApplyOptions) -> bool {
    there
        .annotations()
        .get(INVOCATION)
        .map_or_else(|| has_part(there, &options.field_manager), |by| by == invocation)
}
