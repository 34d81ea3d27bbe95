//! Waits for the operator's Deployment, and says why it is not ready meanwhile.

use std::time::Duration;

use crds::{names, run_event::Stage};
use futures::StreamExt as _;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client,
    runtime::{WatchStreamExt as _, conditions::is_deployment_completed, wait::Condition as _, watcher},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    failure::Failure,
    progress::Progress,
    watched::{Unmet, Wait, named, until},
};

/// The pods of the operator, as its Deployment selects them.
const OPERATOR_PODS: &str = "app.kubernetes.io/name=kubeflow-e2e-operator";

/// How long the operator's Deployment may take to become ready.
const READY_WITHIN: Duration = Duration::from_mins(5);

/// How long its image may be refused before waiting longer makes no sense: a registry that is slow to answer has been
/// asked several times by then.
const IMAGE_WITHIN: Duration = Duration::from_mins(1);

/// Waits until the operator is ready; ends early when its image cannot be had.
pub async fn operator_ready(client: &Client, progress: &Progress) -> Result<(), Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let what = format!("Deployment {}/{} to be ready", names::SYSTEM_NAMESPACE, names::OPERATOR);
    let deadline = Instant::now() + READY_WITHIN;
    let ready =
        until(deployments, Wait { what: &what, objects: named(names::OPERATOR), deadline }, not_ready);
    let mut blocking = None;
    let outcome = {
        tokio::select! {
            ready = Box::pin(ready) => ready.map_err(Why::Unmet),
            why = Box::pin(no_image(client, progress, &mut blocking)) => Err(Why::Image(why)),
        }
    };
    outcome.map_err(|why| {
        Failure::infrastructure(match why {
            Why::Image(why) => why,
            Why::Unmet(unmet) => {
                let pods = format!("see `kubectl describe pods -n {}`", names::SYSTEM_NAMESPACE);
                format!("{unmet}; {}", blocking.map_or(pods, |blocking| blocking.to_string()))
            }
        })
    })
}

/// Why the operator is not ready.
enum Why {
    /// Its image cannot be had.
    Image(String),
    /// Nobody knows, or nobody says.
    Unmet(Unmet),
}

/// What the operator's Deployment lacks.
fn not_ready(found: &[&Deployment]) -> Option<String> {
    let Some(deployment) = found.first() else { return Some("it does not exist".to_owned()) };
    if is_deployment_completed().matches_object(Some(*deployment)) {
        return None;
    }
    let status = deployment.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut unavailable = conditions.filter(|condition| condition.status != "True");
    let said = unavailable.find_map(|condition| condition.message.clone());
    Some(said.unwrap_or_else(|| "its pods are on their way".to_owned()))
}

/// Follows the operator's pods; returns when their image has been refused for too long.
async fn no_image(client: &Client, progress: &Progress, blocking: &mut Option<Blocking>) -> String {
    let pods: Api<Pod> = Api::namespaced(client.clone(), names::SYSTEM_NAMESPACE);
    let mut pods = Box::pin(
        watcher(pods, watcher::Config::default().labels(OPERATOR_PODS)).default_backoff().applied_objects(),
    );
    let mut give_up = None;
    loop {
        let pod = tokio::select! {
            pod = pods.next() => pod,
            () = sleep_until(give_up.unwrap_or_else(Instant::now)), if give_up.is_some() => {
                let why = blocking.as_ref().map(ToString::to_string).unwrap_or_default();
                return format!(
                    "the operator cannot start: {why}; make the image pullable by the nodes, or, in a cluster that \
                     kfe2e makes, give a folder that holds it with --images"
                );
            }
        };
        let found = match pod {
            Some(Ok(pod)) => Blocking::of(&pod),
            Some(Err(error)) => {
                progress.say(Stage::Deploy, format!("the operator's pods cannot be watched: {error}"));
                continue;
            }
            // The watcher has no end; without it, the Deployment alone decides.
            None => std::future::pending().await,
        };
        // A container that starts after all ends the patience's count: pulling was tried again, and went well.
        let refused = found.as_ref().is_some_and(Blocking::is_image);
        give_up = refused.then(|| give_up.unwrap_or_else(|| Instant::now() + IMAGE_WITHIN));
        if let Some(found) = &found
            && blocking.as_ref().is_none_or(|known| known.reason != found.reason)
        {
            progress.say(Stage::Deploy, format!("the operator is not ready: {found}"));
        }
        *blocking = found;
    }
}

/// What keeps a pod's container from running.
#[derive(Debug, Eq, PartialEq)]
struct Blocking {
    reason: String,
    message: String,
    image: String,
}

impl Blocking {
    /// What the pod's first container waits for, unless it is only on its way.
    fn of(pod: &Pod) -> Option<Self> {
        let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.clone()?;
        if ["ContainerCreating", "PodInitializing"].contains(&reason.as_str()) {
            return None;
        }
        let message = waiting.message.clone().unwrap_or_default();
        Some(Self { reason, message, image: status.image.clone() })
    }

    /// Whether it is the image that cannot be had.
    fn is_image(&self) -> bool {
        self.reason.contains("Image")
    }
}

impl std::fmt::Display for Blocking {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { reason, message, image } = self;
        write!(formatter, "{reason} {message} (image {image})")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn waiting(reason: &str) -> Pod {
        serde_json::from_value(json!({"status": {"containerStatuses": [{
            "name": "manager", "image": "a:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "no"}},
        }]}}))
        .unwrap()
    }

    #[test]
    fn an_image_that_cannot_be_had_blocks_and_a_container_on_its_way_does_not() {
        assert_eq!(Blocking::of(&waiting("ContainerCreating")), None);
        for reason in ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"] {
            assert!(Blocking::of(&waiting(reason)).unwrap().is_image());
        }
        let crashing = Blocking::of(&waiting("CrashLoopBackOff")).unwrap();
        assert!(!crashing.is_image());
        assert_eq!(crashing.to_string(), "CrashLoopBackOff no (image a:1)");
    }
}
