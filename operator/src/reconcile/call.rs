//! One call to the API server, under its own timeout.

use std::{fmt::Debug, time::Duration};

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use crate::{error::CallError, reconcile::Called};

/// How long one call may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Awaits a call for [`LIMIT`] at most; `verb` and `object` are for the error.
pub(crate) async fn call<T>(
    verb: &'static str,
    object: String,
    future: impl Future<Output = kube::Result<T>>,
) -> Called<T> {
    match tokio::time::timeout(LIMIT, future).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(source)) => Err(CallError::Api { verb, object, source }),
        Err(_) => Err(CallError::TimedOut { verb, object, limit: LIMIT }),
    }
}

/// Objects of one kind in one namespace.
pub(super) async fn list<K>(client: &Client, namespace: &str, parameters: ListParams) -> Called<Vec<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let object = format!("{} of namespace {namespace}", K::plural(&()));
    let api = Api::<K>::namespaced(client.clone(), namespace);
    Ok(call("list", object, api.list(&parameters)).await?.items)
}
