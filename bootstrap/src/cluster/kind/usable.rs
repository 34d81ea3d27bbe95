//! When a cluster can be used: its nodes are Ready, pods can be made in namespace `default`, and names resolve. All of it
//! is watched.

use std::{cell::RefCell, fmt, path::Path, time::Duration};

use anyhow::anyhow;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment},
    core::v1::{Node, ServiceAccount},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::facts;
use crate::{cluster::Created, run::up, tool::Cancel};

/// How long a node may take from the moment on that the API server serves.
const NODE_LIMIT: Duration = Duration::from_mins(5);
/// How long the cluster's DNS may take after that.
const DNS_LIMIT: Duration = Duration::from_mins(5);
/// How often a wait looks whether it is to end.
const TICK: Duration = Duration::from_millis(50);
/// How long to wait after a watch that broke off.
const PAUSE: Duration = Duration::from_millis(200);

/// A cluster that is becoming usable.
pub(super) struct Usable<'a> {
    runtime: tokio::runtime::Runtime,
    client: Client,
    cancel: &'a Cancel,
}

impl<'a> Usable<'a> {
    /// Of the cluster of this kubeconfig.
    pub(super) fn new(kubeconfig: &Path, context: &str, cancel: &'a Cancel) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let created = Created {
            kubeconfig: kubeconfig.to_owned(),
            context: Some(context.to_owned()),
            lasting: false,
            figures: std::collections::BTreeMap::new(),
        };
        let client = runtime.block_on(up::client(&created))?;
        Ok(Self { runtime, client, cancel })
    }

    /// Waits until all these nodes are Ready.
    pub(super) fn nodes(&self, names: &[String]) -> anyhow::Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let deadline = Instant::now() + NODE_LIMIT;
        let all = names.iter().map(|name| {
            let awaited = format!("node {name} to be Ready");
            self.until(nodes.clone(), name, awaited, deadline, NODE_LIMIT, |node| {
                condition(node.as_ref().map(|node| json!(node.status)), "Ready")
            })
        });
        self.run(futures::future::try_join_all(all)).map(drop)
    }

    /// Waits until pods can be made in namespace `default`, and names resolve.
    pub(super) fn default_account_and_dns(&self) -> anyhow::Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), "default");
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), "kube-system");
        let deadline = Instant::now() + DNS_LIMIT;
        let account = "the service account default of namespace default".to_owned();
        let dns = "Deployment coredns of namespace kube-system to be Available".to_owned();
        let account = self.until(accounts, "default", account, deadline, DNS_LIMIT, |account| {
            account.map(drop).ok_or_else(|| "there is none yet".to_owned())
        });
        let dns = self.until(deployments, "coredns", dns, deadline, DNS_LIMIT, |deployment| {
            condition(deployment.as_ref().map(|deployment| json!(deployment.status)), "Available")
        });
        self.run(async { futures::future::try_join(account, dns).await.map(drop) })
    }

    /// Takes the limits off the pods that make the nodes' network, which some node images have: they slow down every
    /// pod's start. Returns whether there were any.
    pub(super) fn lift_network_limits(&self) -> anyhow::Result<bool> {
        let sets: Api<DaemonSet> = Api::namespaced(self.client.clone(), "kube-system");
        let deadline = Instant::now() + NODE_LIMIT;
        self.run(async {
            let set = call(deadline, "reading DaemonSet kindnet", sets.get_opt("kindnet")).await?;
            let Some(patch) = set.as_ref().and_then(|set| without_limits(&json!(set))) else {
                return Ok(false);
            };
            let (params, patch) = (PatchParams::default(), Patch::Strategic(patch));
            call(deadline, "patching DaemonSet kindnet", sets.patch("kindnet", &params, &patch)).await?;
            let awaited = "DaemonSet kindnet of namespace kube-system to be rolled out".to_owned();
            self.until(sets, "kindnet", awaited, deadline, NODE_LIMIT, |set| rolled_out(&json!(set))).await?;
            Ok(true)
        })
    }

    /// Watches an object until `met` says nothing of what it lacks.
    async fn until<K>(
        &self,
        api: Api<K>,
        name: &str,
        awaited: String,
        deadline: Instant,
        limit: Duration,
        met: impl Fn(Option<K>) -> Result<(), String>,
    ) -> anyhow::Result<()>
    where
        K: Clone + fmt::Debug + Send + DeserializeOwned + Resource + 'static,
    {
        let lacks = RefCell::new("the API server has not answered yet".to_owned());
        let look = |object: Option<&K>| met(object.cloned()).map_err(|reason| lacks.replace(reason)).is_ok();
        let late = || anyhow!("waited {} s in vain for {awaited}: {}", limit.as_secs(), lacks.borrow());
        loop {
            match timeout_at(deadline, await_condition(api.clone(), name, look)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => drop(lacks.replace(error.to_string())),
                Err(_) => return Err(late()),
            }
            // The API server went away for a moment, which it may while a cluster begins.
            if timeout_at(deadline, sleep(PAUSE)).await.is_err() {
                return Err(late());
            }
        }
    }

    /// Runs to its end, or until the caller cancels.
    fn run<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        self.runtime.block_on(async {
            let cancelled = async {
                while !self.cancel.is_cancelled() {
                    sleep(TICK).await;
                }
            };
            tokio::select! {
                outcome = work => outcome,
                () = cancelled => Err(facts::cancelled("cancelled while waiting for the cluster").into()),
            }
        })
    }
}

/// One request with a deadline.
async fn call<T>(
    deadline: Instant,
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> anyhow::Result<T> {
    let answer =
        timeout_at(deadline, request).await.map_err(|_| anyhow!("{what}: the API server did not answer"))?;
    answer.map_err(|error| anyhow!("{what}: {error}"))
}

/// What a status lacks for a condition to be true.
fn condition(status: Option<Value>, type_: &str) -> Result<(), String> {
    let status = status.ok_or("it is not there yet")?;
    let all = status.get("conditions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let found =
        all.iter().find(|condition| condition["type"] == type_).ok_or("it has no such condition yet")?;
    let text = |field: &str| found.get(field).and_then(Value::as_str).unwrap_or_default();
    if text("status") == "True" { Ok(()) } else { Err(format!("{}: {}", text("reason"), text("message"))) }
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
    fn a_condition_that_is_not_true_says_why() {
        let status = |status: &str| {
            Some(
                json!({"conditions": [{"type": "Ready", "status": status, "reason": "R", "message": "cni missing"}]}),
            )
        };
        assert_eq!(condition(status("True"), "Ready"), Ok(()));
        assert_eq!(condition(status("False"), "Ready"), Err("R: cni missing".into()));
        assert_eq!(condition(status("True"), "Available"), Err("it has no such condition yet".into()));
        assert_eq!(condition(None, "Ready"), Err("it is not there yet".into()));
    }

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
