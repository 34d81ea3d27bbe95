//! The log of every container of every pod, as files.

use std::{collections::BTreeSet, fs, path::Path};

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, LogParams},
};

/// Bytes of one container's log that are kept at most: what kubelets keep by default in one file, several times.
const MAX_LOG_BYTES: i64 = 64 * 1024 * 1024;

/// Logs read at once.
const CONCURRENCY: usize = 8;

/// One container of one pod.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Container {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Name of the container.
    pub name: String,
    /// Whether the log of the container before its last restart is meant.
    pub previous: bool,
}

/// Writes `NAMESPACE/POD/CONTAINER.log` below `folder` for every container that ever started, in these namespaces or all.
/// Returns what could not be had.
pub async fn collect(client: &Client, namespaces: Option<&BTreeSet<String>>, folder: &Path) -> Vec<String> {
    let pods = match Api::<Pod>::all(client.clone()).list(&ListParams::default()).await {
        Ok(pods) => pods,
        Err(error) => return vec![format!("logs: listing pods: {error}")],
    };
    let concerns = |pod: &&Pod| {
        namespaces.is_none_or(|namespaces| pod.namespace().is_some_and(|name| namespaces.contains(&name)))
    };
    let containers: Vec<Container> = pods.iter().filter(concerns).flat_map(started_containers).collect();
    let problems = stream::iter(containers).map(|container| async move {
        let place = format!("log of {}/{} container {}", container.namespace, container.pod, container.name);
        let text = read(client, &container).await.map_err(|error| format!("{place}: {error}"))?;
        let pod_folder = folder.join(&container.namespace).join(&container.pod);
        let suffix = if container.previous { ".previous.log" } else { ".log" };
        fs::create_dir_all(&pod_folder)
            .and_then(|()| fs::write(pod_folder.join(format!("{}{suffix}", container.name)), text))
            .map_err(|error| format!("{place}: {}: {error}", pod_folder.display()))
    });
    problems.buffer_unordered(CONCURRENCY).filter_map(|outcome| async { outcome.err() }).collect().await
}

/// The log of one container.
pub async fn read(client: &Client, container: &Container) -> kube::Result<String> {
    let params = LogParams {
        container: Some(container.name.clone()),
        previous: container.previous,
        limit_bytes: Some(MAX_LOG_BYTES),
        ..LogParams::default()
    };
    Api::<Pod>::namespaced(client.clone(), &container.namespace).logs(&container.pod, &params).await
}

/// The containers of a pod that have a log: init, main and sidecars, and the run before a restart.
fn started_containers(pod: &Pod) -> Vec<Container> {
    let Some(status) = &pod.status else { return Vec::new() };
    let lists =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    lists.into_iter().flatten().flatten().flat_map(|status| runs(pod, status)).collect()
}

/// The current and the previous run of a container, where there is one.
fn runs(pod: &Pod, status: &ContainerStatus) -> Vec<Container> {
    let container = |previous| Container {
        namespace: pod.namespace().unwrap_or_default(),
        pod: pod.name_any(),
        name: status.name.clone(),
        previous,
    };
    let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    let mut runs = Vec::new();
    if status.restart_count > 0 {
        runs.push(container(true));
    }
    if status.container_id.is_some() && !(waits && status.restart_count == 0) {
        runs.push(container(false));
    }
    runs
}
