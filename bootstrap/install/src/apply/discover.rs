//! The fallback for kinds whose CRD is in the cluster and not in the set: one request for their group and version.

use kube::Client;
use tokio::time::{Instant, timeout_at};

use super::{ApplyError, ApplyOptions, Expected, Judgement, judge, send::backoff};
use crate::{object::Identity, resource::Resources};

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
    let mut attempt = 0;
    let served = loop {
        let request = async {
            if api_version.contains('/') {
                client.list_api_group_resources(api_version).await
            } else {
                client.list_core_api_resources(api_version).await
            }
        };
        let (reason, after) =
            match timeout_at(options.deadline.min(Instant::now() + options.request_timeout), request).await {
                Ok(Ok(list)) => break list.resources,
                Ok(Err(kube::Error::Api(status))) if status.code == 404 => return Ok(()),
                Ok(Err(error)) => {
                    match judge(&error, Expected { kind: api_version, fresh: false, namespace: true }) {
                        Judgement::Passing { reason, after } => (reason, after),
                        Judgement::Final(refusal) => {
                            return Err(ApplyError::Discovery {
                                api_version: api_version.into(),
                                reason: refusal.to_string(),
                            });
                        }
                    }
                }
                Err(_) => ("it does not answer".into(), None),
            };
        let delay = backoff(attempt, after);
        if Instant::now() + delay >= options.deadline {
            return Err(ApplyError::Discovery { api_version: api_version.into(), reason });
        }
        tokio::time::sleep(delay).await;
        attempt += 1;
    };
    for resource in served.iter().filter(|resource| !resource.name.contains('/')) {
        resources.learn(api_version, &resource.kind, &resource.name, resource.namespaced);
    }
    Ok(())
}
