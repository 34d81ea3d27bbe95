//! The inventory's place: a ConfigMap in the operator's namespace. Every write of it is bound to what was read before.

use std::collections::BTreeMap;

use crate::{
    ask::{Patience, ask},
    found::found,
};
use crds::{
    inventory::{Inventory, KEY, NAME},
    names::{INSTALL_FIELD_MANAGER, SYSTEM_NAMESPACE, label},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, PostParams, Preconditions},
};

/// How often a write is tried again that somebody else's came before.
pub(super) const ATTEMPTS: usize = 10;

/// The inventory cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The API server does not let it.
    #[error("the inventory {SYSTEM_NAMESPACE}/{NAME}: {0}")]
    Failed(String),
    /// It is not this invocation's any more.
    #[error("the inventory {SYSTEM_NAMESPACE}/{NAME}: somebody removes, or has removed, what this run made")]
    Lost,
}

/// The inventory as it was read.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it says.
    pub inventory: Inventory,
    uid: String,
    resource_version: String,
}

impl Held {
    fn of(map: &ConfigMap) -> Result<Self, InventoryError> {
        let text = map.data.as_ref().and_then(|data| data.get(KEY));
        let text = text.ok_or_else(|| failed(format!("it has no key {KEY}")))?;
        Ok(Self {
            inventory: Inventory::parse(text).map_err(failed)?,
            uid: map.metadata.uid.clone().unwrap_or_default(),
            resource_version: map.metadata.resource_version.clone().unwrap_or_default(),
        })
    }

    /// Which ConfigMap of the name it is: one that was deleted and made again is another claim.
    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Whether both are of the same invocation, in the same ConfigMap.
    pub(super) fn is_same_claim(&self, other: &Self) -> bool {
        self.uid == other.uid && self.inventory.invocation == other.inventory.invocation
    }
}

/// The inventory; `None` where there is none.
///
/// # Errors
/// It cannot be read.
pub async fn read(client: &Client) -> Result<Option<Held>, InventoryError> {
    let api = api(client);
    answered(|| async { found(api.get(NAME).await) }).await?.as_ref().map(Held::of).transpose()
}

/// Makes the inventory; `None` if there is one, which may be of an earlier request whose answer was lost.
pub(super) async fn create(client: &Client, inventory: &Inventory) -> Result<Option<Held>, InventoryError> {
    let (api, params, map) = (api(client), params(), map(inventory, None)?);
    written(|| api.create(&params, &map)).await
}

/// Writes the inventory anew; `None` if it is not as it was read any more, which may be by an earlier request whose answer
/// was lost.
pub(super) async fn replace(
    client: &Client,
    held: &Held,
    inventory: &Inventory,
) -> Result<Option<Held>, InventoryError> {
    let (api, params, map) = (api(client), params(), map(inventory, Some(held))?);
    written(|| api.replace(NAME, &params, &map)).await
}

/// Deletes the inventory; `false` if it is not as it was read any more, or gone.
pub(super) async fn delete(client: &Client, held: &Held) -> Result<bool, InventoryError> {
    let preconditions =
        Preconditions { uid: Some(held.uid.clone()), resource_version: Some(held.resource_version.clone()) };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    let api = api(client);
    answered(|| async {
        match api.delete(NAME, &params).await {
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(false),
            other => other.map(|_| true),
        }
    })
    .await
}

fn api(client: &Client) -> Api<ConfigMap> {
    Api::namespaced(client.clone(), SYSTEM_NAMESPACE)
}

pub(super) fn params() -> PostParams {
    PostParams { field_manager: Some(INSTALL_FIELD_MANAGER.into()), ..PostParams::default() }
}

/// The ConfigMap of an inventory, in the place of the one that was read.
fn map(inventory: &Inventory, held: Option<&Held>) -> Result<ConfigMap, InventoryError> {
    let text = serde_json::to_string(inventory).map_err(|error| failed(error.to_string()))?;
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            uid: held.map(|held| held.uid.clone()),
            resource_version: held.map(|held| held.resource_version.clone()),
            labels: Some(BTreeMap::from([(label::MANAGED_BY.into(), label::MANAGED_BY_VALUE.into())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.into(), text)])),
        ..ConfigMap::default()
    })
}

/// What a write comes to; `None` if what it was bound to is gone, or something is there already.
async fn written<F>(write: impl Fn() -> F) -> Result<Option<Held>, InventoryError>
where
    F: Future<Output = kube::Result<ConfigMap>>,
{
    let map = answered(|| async {
        match write().await {
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            // A namespace that is gone is told from an inventory that is: only the one is a failure.
            Err(kube::Error::Api(status))
                if status.code == 404 && status.details.as_ref().is_none_or(|it| it.kind != "namespaces") =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    });
    map.await?.as_ref().map(Held::of).transpose()
}

/// The answer to a question about the inventory, or its namespace.
pub(super) async fn answered<T, F>(request: impl Fn() -> F) -> Result<T, InventoryError>
where
    F: Future<Output = kube::Result<T>>,
{
    ask(Patience::of_a_restart(), request).await.map_err(|why| failed(why.to_string()))
}

pub(super) const fn failed(reason: String) -> InventoryError {
    InventoryError::Failed(reason)
}
