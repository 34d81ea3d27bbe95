//! The limits of the pods that make the nodes' network.

use std::time::Duration;

use anyhow::Context as _;
use bootstrap_install::{Patience, ask, found};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    cluster::{Created, blocking::block_on, client, usable::cancelled},
    failure::Failure,
    tool::Cancel,
    watched::{Wait, named, until},
};

/// How long the pods may take to be made anew.
const WITHIN: Duration = Duration::from_mins(3);

/// Takes the limits off the pods that make the nodes' network, which some node images have: they slow down every pod's
/// start. Returns whether there were any.
pub(super) fn lift_limits(created: &Created, cancel: &Cancel) -> anyhow::Result<bool> {
    block_on(async {
        tokio::select! {
            lifted = lift(created) => lifted,
            () = cancelled(cancel) => {
                Err(Failure::cancelled("cancelled while lifting the limits of the nodes' network pods").into())
            }
        }
    })?
}

async fn lift(created: &Created) -> anyhow::Result<bool> {
    let deadline = Instant::now() + WITHIN;
    let sets: Api<DaemonSet> = Api::namespaced(client(created).await?, "kube-system");
    let set = ask(Patience::until(deadline), || async { found(sets.get("kindnet").await) });
    let set = set.await.context("reading DaemonSet kindnet")?;
    let Some(patch) = set.as_ref().and_then(|set| without_limits(&json!(set))) else {
        return Ok(false);
    };
    let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
    let patched = ask(Patience::until(deadline), || sets.patch("kindnet", &params, &patch)).await;
    patched.context("patching DaemonSet kindnet")?;
    let rollout = Wait { what: "the rollout of DaemonSet kindnet", objects: named("kindnet"), deadline };
    Box::pin(until(sets, rollout, |found| match found.first() {
        None => Some("it does not exist".to_owned()),
        Some(set) => rolled_out(&json!(set)).err(),
    }))
    .await?;
    Ok(true)
}

/// The patch that takes the limits off every container of a set that has any.
fn without_limits(set: &Value) -> Option<Value> {
    let containers = set.pointer("/spec/template/spec/containers").and_then(Value::as_array)?;
    let limited = containers
        .iter()
        .filter(|container| container.pointer("/resources/limits").is_some_and(|limits| !limits.is_null()));
    let patches: Vec<_> = limited
        .map(|container| json!({ "name": container["name"], "resources": { "limits": null } }))
        .collect();
    (!patches.is_empty()).then(|| json!({ "spec": { "template": { "spec": { "containers": patches } } } }))
}

fn rolled_out(set: &Value) -> Result<(), String> {
    let number = |pointer: &str| set.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let (wanted, updated, available) = (
        number("/status/desiredNumberScheduled"),
        number("/status/updatedNumberScheduled"),
        number("/status/numberAvailable"),
    );
    if number("/status/observedGeneration") >= number("/metadata/generation")
        && updated >= wanted
        && available >= wanted
    {
        return Ok(());
    }
    Err(format!("{updated} of {wanted} pods are updated, {available} available"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_limits_that_are_there_are_lifted() {
        let set = |resources: Value| json!({"spec": {"template": {"spec": {"containers": [{"name": "kindnet-cni", "resources": resources}]}}}});
        assert_eq!(without_limits(&set(json!({"requests": {"cpu": "100m"}}))), None);
        assert_eq!(without_limits(&set(json!({"limits": null}))), None);
        let patch = without_limits(&set(json!({"limits": {"cpu": "100m", "memory": "50Mi"}}))).unwrap();
        assert_eq!(
            patch["spec"]["template"]["spec"]["containers"],
            json!([{"name": "kindnet-cni", "resources": {"limits": null}}])
        );
    }

    #[test]
    fn a_set_is_rolled_out_when_all_its_pods_are_new_and_available() {
        let set = |generation: i64, updated: i64| {
            json!({
                "metadata": {"generation": 2},
                "status": {"observedGeneration": generation, "desiredNumberScheduled": 2,
                    "updatedNumberScheduled": updated, "numberAvailable": 2},
            })
        };
        assert_eq!(rolled_out(&set(2, 2)), Ok(()));
        assert_eq!(rolled_out(&set(2, 1)), Err("1 of 2 pods are updated, 2 available".into()));
        assert!(rolled_out(&set(1, 2)).is_err());
    }
}
