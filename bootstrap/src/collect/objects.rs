//! The objects that explain a run: the `E2ETest`, its Jobs and pods, the events of the cluster.

use std::{collections::BTreeSet, fmt::Debug, fs, path::Path};

use crds::v1alpha1::E2ETest;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::{Event, Node, Pod},
};
use kube::{Api, Client, Resource, api::ListParams};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Writes one YAML file a kind below `folder`: of what belongs to these namespaces, or to any, and of what belongs to none.
/// Secrets are never read. Returns what could not be had.
pub async fn collect(client: &Client, namespaces: Option<&BTreeSet<String>>, folder: &Path) -> Vec<String> {
    if let Err(error) = fs::create_dir_all(folder) {
        return vec![format!("objects: {}: {error}", folder.display())];
    }
    let outcomes = [
        kind::<E2ETest>(client, namespaces, folder, "e2etests").await,
        kind::<Job>(client, namespaces, folder, "jobs").await,
        kind::<Pod>(client, namespaces, folder, "pods").await,
        kind::<Deployment>(client, namespaces, folder, "deployments").await,
        kind::<StatefulSet>(client, namespaces, folder, "statefulsets").await,
        kind::<DaemonSet>(client, namespaces, folder, "daemonsets").await,
        kind::<Node>(client, namespaces, folder, "nodes").await,
        kind::<Event>(client, namespaces, folder, "events").await,
    ];
    outcomes.into_iter().filter_map(Result::err).collect()
}

async fn kind<K>(
    client: &Client,
    namespaces: Option<&BTreeSet<String>>,
    folder: &Path,
    plural: &str,
) -> Result<(), String>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let list = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    let mut list = list.map_err(|error| format!("objects: {plural}: {error}"))?;
    let belongs = |object: &K| {
        let own = object.meta().namespace.as_ref();
        namespaces.zip(own).is_none_or(|(namespaces, own)| namespaces.contains(own))
    };
    list.items.retain(belongs);
    for object in &mut list.items {
        let metadata = object.meta_mut();
        metadata.managed_fields = None;
        // kubectl keeps a copy of the whole object there, values of variables included.
        if let Some(annotations) = &mut metadata.annotations {
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    let mut value = serde_json::to_value(&list).map_err(|error| format!("objects: {plural}: {error}"))?;
    redact(&mut value);
    let text = serde_saphyr::to_string(&value).map_err(|error| format!("objects: {plural}: {error}"))?;
    let path = folder.join(format!("{plural}.yaml"));
    fs::write(&path, text).map_err(|error| format!("objects: {}: {error}", path.display()))
}

/// Takes the values out of every list `env`, wherever it stands: people put tokens there, and names explain enough.
fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let variables = fields.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten();
            for value in variables.filter_map(|variable| variable.get_mut("value")) {
                *value = "(redacted)".into();
            }
            fields.values_mut().for_each(redact);
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_variables_never_leave() {
        let mut pod = json!({"spec": {"containers": [{"env": [{"name": "A", "value": "canary"}, {"name": "B"}], "args": ["x"]}]}});
        redact(&mut pod);
        assert_eq!(
            pod,
            json!({"spec": {"containers": [{"env": [{"name": "A", "value": "(redacted)"}, {"name": "B"}], "args": ["x"]}]}})
        );
    }
}
