//! Which objects of a set are in the cluster already.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::{Api, Client, api::DynamicObject};
use tokio::time::{Instant, timeout_at};

use crate::{
    apply::{ApplyError, ApplyOptions, discover},
    found::found,
    object::Object,
    resource::Resources,
};

use super::InventoryError;
use super::RecordedError;

/// One answer for each object of the set, in its order. An object of a kind that is not served yet is not there.
///
/// # Errors
/// The API server does not say.
pub async fn present(
    client: &Client,
    objects: &[Object],
    options: &ApplyOptions,
) -> Result<Vec<bool>, RecordedError> {
    let mut resources = Resources::of(objects);
    for api_version in resources.unknown(objects).map_err(ApplyError::from)? {
        discover(client, &api_version, &mut resources, options).await?;
    }
    let resources = &resources;
    let asked = stream::iter(objects).map(|object| async move {
        let identity = object.identity();
        let Some(resource) = resources.find(identity).map_err(ApplyError::from)? else { return Ok(false) };
        let kind = resource.api_resource(identity);
        let api: Api<DynamicObject> = if resource.namespaced {
            let namespace = identity.namespace.as_deref().unwrap_or("default");
            Api::namespaced_with(client.clone(), namespace, &kind)
        } else {
            Api::all_with(client.clone(), &kind)
        };
        let until = options.deadline.min(Instant::now() + options.request_timeout);
        let fails = |reason: String| InventoryError {
            name: identity.to_string(),
            reason: format!("whether it is there already cannot be told: {reason}"),
        };
        let answer = timeout_at(until, api.get_metadata(&identity.name)).await;
        let answer = answer.map_err(|_| fails("the API server did not answer".into()))?;
        Ok::<_, RecordedError>(found(answer).map_err(|error| fails(error.to_string()))?.is_some())
    });
    asked.buffered(options.concurrency.max(1)).try_collect().await
}
