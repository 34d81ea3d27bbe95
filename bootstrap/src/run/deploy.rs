//! Stage deploy: the operator, and its right to run tests in the target namespace.

use std::time::Duration;

use crds::{names, run_event::Stage, v1alpha1::E2ETestSpec};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client,
    api::ListParams,
    runtime::{
        conditions::{is_created, is_deployment_completed},
        wait::await_condition,
    },
};

use super::{apply, stages::Figures};
use crate::{failure::Failure, manifests, progress::Progress};

/// How long the operator's Deployment may take to become ready.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// How often a cause is looked for while the operator is not ready.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How long the target namespace may take to appear: as long as Kubeflow itself.
const TARGET_WITHIN: Duration = Duration::from_mins(45);

/// Applies the operator and waits until it answers.
pub async fn deploy(
    client: &Client,
    spec: &E2ETestSpec,
    create_target: bool,
    progress: &Progress,
) -> Result<((), Figures), Failure> {
    let mut objects = manifests::operator().map_err(Failure::infrastructure)?;
    if create_target {
        let target = manifests::target(&spec.target_namespace, &spec.service_account_name);
        objects.extend(target.map_err(Failure::infrastructure)?);
    }
    apply(client, &objects, Stage::Deploy, progress).await?;
    target_exists(client, &spec.target_namespace, progress).await?;
    let binding = manifests::target_binding(&spec.target_namespace).map_err(Failure::infrastructure)?;
    apply(client, &binding, Stage::Deploy, progress).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let ready = await_condition(deployments, names::OPERATOR, is_deployment_completed());
    let ready = async {
        tokio::select! {
            ready = ready => ready,
            never = tell_causes(client, progress) => match never {},
        }
    };
    match tokio::time::timeout(READY_WITHIN, Box::pin(ready)).await {
        Ok(Ok(_)) => Ok(((), Figures::new())),
        Ok(Err(error)) => Err(Failure::infrastructure(format!("waiting for the operator: {error}"))),
        Err(_) => Err(Failure::infrastructure(format!(
            "Deployment {}/{} was not ready within {} s: {}",
            names::SYSTEM_NAMESPACE,
            names::OPERATOR,
            READY_WITHIN.as_secs(),
            cause(client).await
        ))),
    }
}

/// Says from time to time why the operator is not ready yet: an image that cannot be had looks like nothing else.
async fn tell_causes(client: &Client, progress: &Progress) -> std::convert::Infallible {
    let mut said = String::new();
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        let why = cause(client).await;
        if why != said {
            progress.say(Stage::Deploy, format!("the operator is not ready: {why}"));
            said = why;
        }
    }
}

/// Waits for the namespace of the tests: a profile's is made by Kubeflow's own controller, once that runs.
async fn target_exists(client: &Client, name: &str, progress: &Progress) -> Result<(), Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let place = format!("the target namespace {name}");
    let failed = |error: String| Failure::infrastructure(format!("{place}: {error}"));
    if api.get_opt(name).await.map_err(|error| failed(error.to_string()))?.is_some() {
        return Ok(());
    }
    progress.say(Stage::Deploy, format!("{place} does not exist yet: waiting for Kubeflow to make it"));
    match tokio::time::timeout(TARGET_WITHIN, await_condition(api, name, is_created())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!(
            "it did not appear within {} min: is it a profile of this Kubeflow? --target-namespace names another",
            TARGET_WITHIN.as_secs() / 60
        ))),
    }
}

/// Why the operator's pod is not ready, as its containers say.
async fn cause(client: &Client) -> String {
    let pods: Api<Pod> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let list = match pods.list(&ListParams::default()).await {
        Ok(list) => list,
        Err(error) => return format!("its pods cannot be listed: {error}"),
    };
    let waiting = list
        .iter()
        .filter_map(|pod| pod.status.as_ref()?.container_statuses.as_ref()?.first())
        .find_map(|status| {
            let waiting = status.state.as_ref()?.waiting.as_ref()?;
            let message = waiting.message.as_deref().unwrap_or_default();
            Some(format!(
                "{} {message} (image {})",
                waiting.reason.as_deref().unwrap_or_default(),
                status.image
            ))
        });
    waiting.unwrap_or_else(|| format!("see `kubectl describe pods -n {}`", names::SYSTEM_NAMESPACE))
}
