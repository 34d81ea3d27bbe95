//! The namespace of the inventory, which may have to be made before anything can be written down.

use std::collections::BTreeMap;

use crds::{
    inventory::InventoryObject,
    names::{INSTALL_FIELD_MANAGER, SYSTEM_NAMESPACE, annotation},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, ResourceExt as _, api::ObjectMeta};

use super::store::{InventoryError, answered, params};
use crate::found::found;

/// The namespace of the inventory, if it was made for it.
#[derive(Clone, Debug)]
pub struct OwnNamespace {
    /// What the inventory says of it.
    pub object: InventoryObject,
    /// Whether it is being removed.
    pub is_going: bool,
}

/// The namespace of the inventory, if it was made for it.
///
/// # Errors
/// The API server does not say.
pub async fn own(client: &Client) -> Result<Option<OwnNamespace>, InventoryError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let namespace = answered(|| async { found(api.get(SYSTEM_NAMESPACE).await) }).await?;
    Ok(namespace.filter(is_own).map(|namespace| OwnNamespace {
        is_going: namespace.metadata.deletion_timestamp.is_some(),
        object: InventoryObject { uid: namespace.uid(), ..entry() },
    }))
}

/// The one object that the inventory itself needs: asked whether it is there, the answer is always yes.
pub(super) fn entry() -> InventoryObject {
    InventoryObject {
        api_version: "v1".into(),
        kind: "Namespace".into(),
        namespace: None,
        name: SYSTEM_NAMESPACE.into(),
        uid: None,
        made: true,
        needed_by: None,
    }
}

/// Whether the namespace says that it was made for the inventory.
fn is_own(namespace: &Namespace) -> bool {
    namespace.annotations().contains_key(annotation::MADE)
}

/// Makes the namespace where it is missing. Returns whether it is one that was made so.
pub(super) async fn ensure(client: &Client) -> Result<bool, InventoryError> {
    let api: Api<Namespace> = Api::all(client.clone());
    if let Some(namespace) = answered(|| async { found(api.get(SYSTEM_NAMESPACE).await) }).await? {
        return Ok(is_own(&namespace));
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
    let params = params();
    let namespace = answered(|| async {
        match api.create(&params, &namespace).await {
            // Somebody else was quicker, or the answer before was lost; whose it is, it says itself.
            Err(kube::Error::Api(status)) if status.code == 409 => api.get(SYSTEM_NAMESPACE).await,
            other => other,
        }
    });
    namespace.await.map(|namespace| is_own(&namespace))
}
