//! When a cluster that another program made is usable: pods can be made, a node takes them, and names resolve.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures::TryFutureExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, ServiceAccount},
};
use kube::{Api, Client, ResourceExt as _, runtime::watcher::Config};

use super::{Created, blocking::block_on, connect::client};
use crate::{
    failure::Failure,
    tool::Cancel,
    watched::{Wait, named, until},
};

/// How often a cancellation is looked for; it has no event.
const TICK: Duration = Duration::from_millis(100);

/// Blocks until the cluster has its default service account, so many ready nodes, and DNS; at most for `within`.
/// Returns when each of them was there, in seconds after `begin`.
pub(super) fn wait(
    created: &Created,
    nodes: usize,
    begin: Instant,
    within: Duration,
    cancel: &Cancel,
) -> anyhow::Result<BTreeMap<String, f64>> {
    block_on(async {
        let client = client(created).await?;
        tokio::select! {
            figures = usable(&client, nodes, begin, within) => figures,
            () = cancelled(cancel) => {
                Err(Failure::cancelled("cancelled while waiting for the cluster to be usable").into())
            }
        }
    })?
}

/// Returns when it is cancelled.
pub(super) async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        tokio::time::sleep(TICK).await;
    }
}

/// Waits for all three at once.
async fn usable(
    client: &Client,
    nodes: usize,
    begin: Instant,
    within: Duration,
) -> anyhow::Result<BTreeMap<String, f64>> {
    let seconds = |()| begin.elapsed().as_secs_f64();
    let deadline = tokio::time::Instant::now() + within;
    let wait = |what, objects| Wait { what, objects, deadline };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = until(accounts, wait("the service account `default`", named("default")), no_account);
    let nodes_ready = wait("the nodes to be ready", Config::default());
    let node = until(Api::<Node>::all(client.clone()), nodes_ready, |found| not_ready(found, nodes));
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "kube-system");
    let available = wait("DNS to be available", Config::default().labels("k8s-app=kube-dns"));
    let dns = until(deployments, available, no_dns);
    let (account, node, dns) =
        tokio::try_join!(account.map_ok(seconds), node.map_ok(seconds), dns.map_ok(seconds))?;
    Ok([("apiReadySeconds", account), ("nodeReadySeconds", node), ("dnsReadySeconds", dns)]
        .map(|(name, seconds)| (name.to_owned(), seconds))
        .into())
}

fn no_account(accounts: &[&ServiceAccount]) -> Option<String> {
    accounts.is_empty().then(|| "there is none in the namespace default".to_owned())
}

fn not_ready(nodes: &[&Node], wanted: usize) -> Option<String> {
    let reason = |node: &&Node| {
        let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
        let ready = conditions?.iter().find(|condition| condition.type_ == "Ready")?;
        (ready.status != "True").then(|| ready.message.clone().unwrap_or_default())
    };
    let waiting: Vec<String> = nodes
        .iter()
        .filter(|node| !is_ready(node))
        .map(|node| {
            format!("{}: {}", node.name_any(), reason(node).unwrap_or_else(|| "no word of it yet".into()))
        })
        .collect();
    let ready = nodes.len() - waiting.len();
    (ready < wanted).then(|| format!("{ready} of {wanted} are; {}", waiting.join("; ")))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
}

fn no_dns(deployments: &[&Deployment]) -> Option<String> {
    let Some(deployment) = deployments.first() else {
        return Some("there is no Deployment with the label k8s-app=kube-dns in kube-system".into());
    };
    let status = deployment.status.as_ref();
    let available = status
        .and_then(|status| status.conditions.as_ref())
        .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Available"));
    let observed = status.and_then(|status| status.observed_generation) == deployment.metadata.generation;
    if observed && available.is_some_and(|condition| condition.status == "True") {
        return None;
    }
    let why = available
        .and_then(|condition| condition.message.clone())
        .unwrap_or_else(|| "no word of it yet".into());
    Some(format!("Deployment {}: {why}", deployment.name_any()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn node(status: &Value) -> Node {
        from_value(json!({ "metadata": { "name": "a" }, "status": status })).unwrap()
    }

    #[test]
    fn a_node_counts_once_it_is_ready() {
        let condition = |status: &str| json!({ "conditions": [{ "type": "Ready", "status": status, "message": "no network" }] });
        let (ready, waiting, fresh) = (node(&condition("True")), node(&condition("False")), node(&json!({})));
        assert_eq!(not_ready(&[&ready], 1), None);
        assert_eq!(not_ready(&[&ready, &waiting], 2).unwrap(), "1 of 2 are; a: no network");
        assert_eq!(not_ready(&[&fresh], 1).unwrap(), "0 of 1 are; a: no word of it yet");
        assert_eq!(not_ready(&[], 1).unwrap(), "0 of 1 are; ");
    }

    #[test]
    fn dns_counts_once_what_was_last_asked_of_it_is_available() {
        let deployment = |observed: i64, status: &str| -> Deployment {
            from_value(json!({
                "metadata": { "name": "coredns", "generation": 2 },
                "status": { "observedGeneration": observed, "conditions": [
                    { "type": "Available", "status": status, "message": "no minimum availability" }
                ] }
            }))
            .unwrap()
        };
        assert_eq!(no_dns(&[&deployment(2, "True")]), None);
        assert_eq!(
            no_dns(&[&deployment(2, "False")]).unwrap(),
            "Deployment coredns: no minimum availability"
        );
        assert!(no_dns(&[&deployment(1, "True")]).is_some());
        assert!(no_dns(&[]).unwrap().contains("k8s-app=kube-dns"));
    }
}
