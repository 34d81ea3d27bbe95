//! Wires watches to passes. Watches only trigger: no decision reads them.

use std::{fmt::Debug, sync::Arc, time::Duration};

use crds::{names::label, v1alpha1::E2ETest};
use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::{DaemonSet, Deployment, StatefulSet},
    batch::v1::Job,
    core::v1::Pod,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::{DeserializeGuard, PartialObjectMeta},
    runtime::{
        Config, Controller,
        reflector::{ObjectRef, Store},
        utils::Backoff,
        watcher,
    },
};
use operator_core::is_finished;
use tokio::sync::watch;

use crate::{
    error::ReconcileError,
    health::Missing,
    reconcile::{Context, on_error, reconcile},
};

/// Runs that are looked at side by side at most.
const CONCURRENCY: u16 = 64;
/// How long watches that broke wait before the next of them is opened again, at most. All of them take turns, and an API
/// server that comes back refuses each of them twice: while it learns of roles, and for versions that it has forgotten.
const LONGEST_BACKOFF: Duration = Duration::from_millis(100);
/// How long it waits the first time.
const SHORTEST_BACKOFF: Duration = Duration::from_millis(50);

/// A run as the controller caches it; one that cannot be read does not stop the others.
type Run = DeserializeGuard<E2ETest>;

/// Reconciles until `stop` resolves; passes that are under way then end first.
pub async fn run(
    client: Client,
    context: Arc<Context>,
    missing: watch::Sender<Missing>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let controller = Controller::new(Api::<Run>::all(client.clone()), watcher::Config::default());
    let store = controller.store();
    let ours =
        watcher::Config::default().labels(&format!("{}={}", label::MANAGED_BY, label::MANAGED_BY_VALUE));
    let controller = controller
        .with_config(Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(Doubling::default())
        .graceful_shutdown_on(stop)
        .watches(all::<Job>(&client), ours, |job| run_of(&job));
    let controller = gated::<Deployment>(controller, &client, &store);
    let controller = gated::<StatefulSet>(controller, &client, &store);
    let controller = gated::<DaemonSet>(controller, &client, &store);
    let of_pods = store.clone();
    let controller = controller.watches(all::<Pod>(&client), watcher::Config::default(), move |pod| {
        run_of(&pod).map_or_else(|| waiting_for(&of_pods, &pod), |run| vec![run])
    });

    let synced = async {
        if store.wait_until_ready().await.is_ok() {
            tracing::info!("E2ETests are synced");
            missing.send_replace(Missing::new());
        }
    };
    let passes = controller.run(reconcile, on_error, context).for_each(|result| async {
        if let Err(error) = result {
            log(&error);
        }
    });
    futures::future::join(synced, passes).await;
}

/// All objects of a kind, their metadata only.
fn all<K>(client: &Client) -> Api<PartialObjectMeta<K>>
where
    K: Resource<DynamicType = ()>,
{
    Api::all(client.clone())
}

/// Lets a kind of workload trigger the runs whose gate looks at it.
fn gated<K>(controller: Controller<Run>, client: &Client, store: &Store<Run>) -> Controller<Run>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    let store = store.clone();
    controller
        .watches(all::<K>(client), watcher::Config::default(), move |workload| waiting_for(&store, &workload))
}

/// The run to which an object belongs by its labels.
fn run_of<K>(object: &PartialObjectMeta<K>) -> Option<ObjectRef<Run>> {
    object.metadata.labels.as_ref()?.get(label::RUN).map(|name| ObjectRef::new(name))
}

/// The runs that are not over and whose gate looks at the object's namespace.
fn waiting_for<K>(store: &Store<Run>, object: &PartialObjectMeta<K>) -> Vec<ObjectRef<Run>> {
    let Some(namespace) = &object.metadata.namespace else { return Vec::new() };
    let waits = |run: &Run| {
        run.0.as_ref().is_ok_and(|run| {
            let gate = run.spec.kubeflow.as_ref();
            gate.is_some_and(|gate| gate.namespaces.contains(namespace))
                && !run.status.as_ref().is_some_and(is_finished)
        })
    };
    store.state_filter(waits).iter().map(|run| ObjectRef::new(&run.name_any())).collect()
}

/// Logs what the controller could not do.
fn log(error: &kube::runtime::controller::Error<ReconcileError, watcher::Error>) {
    use kube::runtime::controller::Error;
    match error {
        // The run was deleted between a trigger and its pass.
        Error::ObjectNotFound(_) => {}
        Error::ReconcilerFailed(error, run) => {
            tracing::warn!(run = run.name, step = error.step(), %error, "Pass was not finished");
        }
        other => tracing::warn!(error = %other, "Watch was interrupted"),
    }
}

/// Doubles from [`SHORTEST_BACKOFF`] to [`LONGEST_BACKOFF`]; the library's own goes on to half a minute, for which a run
/// would then stand still.
#[derive(Debug)]
struct Doubling {
    next: Duration,
}

impl Default for Doubling {
    fn default() -> Self {
        Self { next: SHORTEST_BACKOFF }
    }
}

impl Iterator for Doubling {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let now = self.next;
        self.next = (now * 2).min(LONGEST_BACKOFF);
        Some(now)
    }
}

impl Backoff for Doubling {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_come_back_soon() {
        let mut backoff = Doubling::default();
        assert_eq!(backoff.next(), Some(SHORTEST_BACKOFF));
        assert!((0..20).all(|_| backoff.next().is_some_and(|wait| wait <= LONGEST_BACKOFF)));
        backoff.reset();
        assert_eq!(backoff.next(), Some(SHORTEST_BACKOFF));
    }
}
