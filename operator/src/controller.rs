//! Wires watches to passes. Watches only trigger: no decision reads them.

use std::{future::ready, sync::Arc};

use crds::names::label;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::{
        Config, Controller, WatchStreamExt as _, controller,
        reflector::{self, ObjectRef},
        watcher,
    },
};
use operator_core::is_finished;
use tokio::sync::watch;

use crate::{
    backoff::Doubling,
    cache::{PAGE, Run, slim},
    error::ReconcileError,
    health::Missing,
    reconcile::{Context, Woken, on_error, reconcile},
};

/// Runs that are looked at side by side at most.
const CONCURRENCY: u16 = 64;

/// Reconciles until `stop` resolves; passes that are under way then end first.
pub async fn run(
    client: Client,
    context: Arc<Context>,
    woken: Woken,
    missing: watch::Sender<Missing>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let triggers = context.gates.triggers();
    let (store, writer) = reflector::store();
    let watching = Arc::clone(&context);
    let all_runs = watcher(Api::<Run>::all(client.clone()), watcher::Config::default().page_size(PAGE))
        .inspect_ok(move |event| watching.places.watched(event))
        .modify(slim)
        .reflect(writer)
        .applied_objects();
    let runs = store.clone();
    context.metrics.count_runs_by(move || {
        let active =
            |run: &Run| run.0.as_ref().is_ok_and(|run| !run.status.as_ref().is_some_and(is_finished));
        i64::try_from(runs.state_filter(active).len()).unwrap_or(i64::MAX)
    });
    let ours =
        watcher::Config::default().labels(&format!("{}={}", label::MANAGED_BY, label::MANAGED_BY_VALUE));
    let watching = Arc::clone(&context);
    let all_pods = watcher(all::<Pod>(&client), ours.clone())
        .touched_objects()
        .inspect_ok(move |pod| watching.pods.watched(pod));
    let controller = Controller::for_stream(all_runs, store.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .trigger_backoff(Doubling::of_all_watches())
        .graceful_shutdown_on(stop)
        .watches(all::<Job>(&client), ours.clone(), |job| run_of(&job))
        .watches_stream(all_pods, |pod| run_of(&pod))
        .reconcile_on(woken)
        .reconcile_on(triggers.map(|run| ObjectRef::new(&run)));

    let synced = async {
        if store.wait_until_ready().await.is_ok() {
            tracing::info!("E2ETests are synced");
            missing.send_replace(Missing::new());
        }
    };
    let known = Arc::clone(&context);
    let passes = controller.run(reconcile, on_error, context).for_each(|result| {
        match result {
            Ok(_) => {}
            // The run was deleted between a trigger and its pass.
            Err(controller::Error::ObjectNotFound(run)) => known.forget(&run.name),
            Err(error) => log(&error),
        }
        ready(())
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

/// The run to which an object belongs by its labels.
fn run_of<K>(object: &PartialObjectMeta<K>) -> Option<ObjectRef<Run>> {
    object.metadata.labels.as_ref()?.get(label::RUN).map(|name| ObjectRef::new(name))
}

/// Logs what the controller could not do.
fn log(error: &controller::Error<ReconcileError, watcher::Error>) {
    match error {
        controller::Error::ReconcilerFailed(error, run) => {
            tracing::warn!(run = run.name, step = error.step(), %error, "Pass was not finished");
        }
        other => tracing::warn!(error = %other, "Watch was interrupted"),
    }
}
