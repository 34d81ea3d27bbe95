//! Which objects of a set are in the cluster already.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;

use crate::{
    apply::{ApplyError, ApplyOptions, learn},
    ask::ask,
    found::found,
    object::Object,
    resource::Resources,
};

use super::{RecordedError, store::failed};

/// One answer for each object of the set, in its order. An object of a kind that is not served yet is not there.
pub(super) async fn present(
    client: &Client,
    objects: &[Object],
    options: &ApplyOptions,
) -> Result<Vec<bool>, RecordedError> {
    let mut resources = Resources::of(objects);
    learn(client, objects.iter().map(Object::identity), &mut resources, options).await?;
    let resources = &resources;
    let asked = stream::iter(objects).map(|object| async move {
        let identity = object.identity();
        let Some(resource) = resources.find(identity).map_err(ApplyError::from)? else { return Ok(false) };
        let api = resource.api(client, identity);
        let there = ask(options.patience(), || async { found(api.get_metadata(&identity.name).await) }).await;
        let there = there
            .map_err(|why| failed(format!("whether {identity} is there already cannot be told: {why}")))?;
        Ok::<_, RecordedError>(there.is_some())
    });
    asked.buffered(options.concurrency.max(1)).try_collect().await
}
