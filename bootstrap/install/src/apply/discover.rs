//! The fallback for kinds whose CRD is in the cluster and not in the set: one request for their group and version.

use kube::Client;

use super::{ApplyError, ApplyOptions};
use crate::{ask::ask, found::found, object::Identity, resource::Resources};

/// Learns the kinds of these objects, as far as nothing else tells them.
pub(crate) async fn learn<'a>(
    client: &Client,
    objects: impl IntoIterator<Item = &'a Identity>,
    resources: &mut Resources,
    options: &ApplyOptions,
) -> Result<(), ApplyError> {
    for api_version in resources.unknown(objects)? {
        discover(client, &api_version, resources, options).await?;
    }
    Ok(())
}

/// Learns the kinds of one `apiVersion`; one that the API server does not serve has none.
async fn discover(
    client: &Client,
    api_version: &str,
    resources: &mut Resources,
    options: &ApplyOptions,
) -> Result<(), ApplyError> {
    let request = || async {
        found(if api_version.contains('/') {
            client.list_api_group_resources(api_version).await
        } else {
            client.list_core_api_resources(api_version).await
        })
    };
    let served = ask(options.patience(), request)
        .await
        .map_err(|why| ApplyError::Discovery { api_version: api_version.into(), reason: why.to_string() })?;
    let served = served.map(|list| list.resources).unwrap_or_default();
    for resource in served.iter().filter(|resource| !resource.name.contains('/')) {
        resources.learn(api_version, &resource.kind, &resource.name, resource.namespaced);
    }
    Ok(())
}
