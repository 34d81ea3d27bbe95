//! The inventory's place: a ConfigMap in the operator's namespace.

use std::{collections::BTreeMap, time::Duration};

use crds::{
    inventory::{Inventory, InventoryObject, KEY, OPERATOR},
    names::{INSTALL_FIELD_MANAGER, SYSTEM_NAMESPACE, annotation, label},
};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use tokio::time::timeout;

use crate::found;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(30);

/// The inventory cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the inventory {namespace}/{name}: {reason}", namespace = SYSTEM_NAMESPACE)]
pub struct InventoryError {
    /// Name of the ConfigMap.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The inventory of that name; `None` where there is none.
///
/// # Errors
/// It cannot be read.
pub async fn read(client: &Client, name: &str) -> Result<Option<Inventory>, InventoryError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let Some(map) = answered(name, api.get_opt(name)).await? else { return Ok(None) };
    let text = map.data.as_ref().and_then(|data| data.get(KEY));
    let text = text.ok_or_else(|| fails(name, format!("it has no key {KEY}")))?;
    Inventory::parse(text).map(Some).map_err(|reason| fails(name, reason))
}

/// Claims a cluster for one invocation of `kfe2e`: the request that makes the inventory [`OPERATOR`] is the claim, so that
/// of two only one can have it. Returns whether it is this invocation's.
///
/// # Errors
/// The API server does not say.
pub async fn claim(client: &Client, invocation: &str) -> Result<bool, InventoryError> {
    let made_namespace = ensure_namespace(client, OPERATOR).await?;
    let mut inventory = Inventory::default();
    if made_namespace {
        inventory.add([system_namespace()]);
    }
    let mut map = stored(OPERATOR, &inventory)?;
    map.metadata.annotations = Some(BTreeMap::from([(annotation::INVOCATION.into(), invocation.into())]));
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let params = PostParams { field_manager: Some(INSTALL_FIELD_MANAGER.into()), ..PostParams::default() };
    let refused = match timeout(WITHIN, api.create(&params, &map)).await {
        Ok(Ok(_)) => return Ok(true),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => None,
        // The answer may be what got lost.
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(no_answer()),
    };
    match (claimed_by(client).await?, refused) {
        (Some(holder), _) if holder == invocation => Ok(true),
        (_, None) => Ok(false),
        (_, Some(reason)) => Err(fails(OPERATOR, reason)),
    }
}

/// The invocation that claimed the cluster, if one did.
///
/// # Errors
/// The API server does not say.
pub async fn claimed_by(client: &Client) -> Result<Option<String>, InventoryError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let map = answered(OPERATOR, api.get_opt(OPERATOR)).await?;
    Ok(map.map(|map| map.annotations().get(annotation::INVOCATION).cloned().unwrap_or_default()))
}

/// Adds objects to the inventory of that name. Only the invocation that has claimed the cluster writes.
///
/// # Errors
/// It cannot be read or written.
pub async fn record(
    client: &Client,
    name: &str,
    objects: Vec<InventoryObject>,
) -> Result<(), InventoryError> {
    change(client, name, |inventory| inventory.add(objects)).await
}

/// Takes an object out of the inventory of that name again: it turned out to be somebody else's.
///
/// # Errors
/// It cannot be read or written.
pub async fn forget(client: &Client, name: &str, object: &InventoryObject) -> Result<(), InventoryError> {
    change(client, name, |inventory| inventory.objects.retain(|known| !known.is_same(object))).await
}

async fn change(
    client: &Client,
    name: &str,
    change: impl FnOnce(&mut Inventory),
) -> Result<(), InventoryError> {
    let known = read(client, name).await?;
    // The one of that name is the claim itself.
    let claimed = if name == OPERATOR { known.is_some() } else { claimed_by(client).await?.is_some() };
    if !claimed {
        return Err(fails(name, "it is gone: somebody has removed what this run made".to_owned()));
    }
    let mut inventory = known.clone().unwrap_or_default();
    change(&mut inventory);
    if Some(&inventory) == known.as_ref() {
        return Ok(());
    }
    let map = stored(name, &inventory)?;
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let params = PatchParams::apply(INSTALL_FIELD_MANAGER).force();
    let patch = Patch::Apply(&map);
    answered(name, api.patch(name, &params, &patch)).await.map(drop)
}

/// The ConfigMap of an inventory.
fn stored(name: &str, inventory: &Inventory) -> Result<ConfigMap, InventoryError> {
    let text = serde_json::to_string(inventory).map_err(|error| fails(name, error.to_string()))?;
    Ok(ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            labels: Some(BTreeMap::from([(label::MANAGED_BY.into(), label::MANAGED_BY_VALUE.into())])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.into(), text)])),
        ..ConfigMap::default()
    })
}

/// The one object that the record itself needs: asked whether it is there, the answer is always yes.
fn system_namespace() -> InventoryObject {
    InventoryObject {
        api_version: "v1".into(),
        kind: "Namespace".into(),
        namespace: None,
        name: SYSTEM_NAMESPACE.into(),
        uid: None,
        made: true,
    }
}

/// Deletes the inventory of that name, once nothing in it is left.
///
/// # Errors
/// It cannot be deleted; one that is not there is a success.
pub async fn delete(client: &Client, name: &str) -> Result<(), InventoryError> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let answer = timeout(WITHIN, api.delete(name, &DeleteParams::default())).await;
    let answer = answer.map_err(|_| fails(name, no_answer()))?;
    found(answer).map(drop).map_err(|error| fails(name, error.to_string()))
}

/// The namespace of the inventories, if it was made for them.
///
/// # Errors
/// The API server does not say.
pub async fn made_namespace(client: &Client) -> Result<Option<InventoryObject>, InventoryError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = answered(OPERATOR, api.get_opt(SYSTEM_NAMESPACE)).await?;
    Ok(namespace
        .filter(is_made)
        .map(|namespace| InventoryObject { uid: namespace.uid(), ..system_namespace() }))
}

/// Whether the namespace says that it was made for the inventories.
fn is_made(namespace: &Namespace) -> bool {
    namespace.annotations().contains_key(annotation::MADE)
}

/// Makes the namespace of the inventories where it is missing. Returns whether it is one that was made so.
async fn ensure_namespace(client: &Client, name: &str) -> Result<bool, InventoryError> {
    let api: Api<Namespace> = Api::all(client.clone());
    if let Some(namespace) = answered(name, api.get_opt(SYSTEM_NAMESPACE)).await? {
        return Ok(is_made(&namespace));
    }
    // That it was made here is said in the very request that makes it: there is no moment in which nobody knows.
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(SYSTEM_NAMESPACE.into()),
            annotations: Some(BTreeMap::from([(annotation::MADE.into(), INSTALL_FIELD_MANAGER.into())])),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let params = PostParams { field_manager: Some(INSTALL_FIELD_MANAGER.into()), ..PostParams::default() };
    match timeout(WITHIN, api.create(&params, &namespace)).await {
        Ok(Ok(_)) => Ok(true),
        // Somebody else was quicker; whose it is, it says itself.
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => {
            answered(name, api.get(SYSTEM_NAMESPACE)).await.map(|namespace| is_made(&namespace))
        }
        Ok(Err(error)) => Err(fails(name, format!("namespace {SYSTEM_NAMESPACE}: {error}"))),
        Err(_) => Err(fails(name, no_answer())),
    }
}

async fn answered<T>(
    name: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, InventoryError> {
    let answer = timeout(WITHIN, request).await.map_err(|_| fails(name, no_answer()))?;
    answer.map_err(|error| fails(name, error.to_string()))
}

fn no_answer() -> String {
    format!("the API server did not answer within {} s", WITHIN.as_secs())
}

fn fails(name: &str, reason: String) -> InventoryError {
    InventoryError { name: name.into(), reason }
}
