//! Wires watches to passes. Watches only trigger: no decision reads them.

use std::{fmt::Debug, future::ready, sync::Arc};

use crds::names::label;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    core::PartialObjectMeta,
    runtime::{
        Config, Controller, WatchStreamExt as _,
        controller::{self, Action},
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event, watcher},
    },
};
use operator_core::is_finished;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::{
    cache::{PAGE, Run, slim},
    error::ReconcileError,
    health::Missing,
    reconcile::{Context, Woken, reconcile, retry_after},
    watch::follow,
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
    let all = Api::<Run>::all(client.clone());
    let paged = watcher::Config::default().page_size(PAGE);
    let watching = Arc::clone(&context);
    let all_runs = follow("E2ETest".to_owned(), move || watcher(all.clone(), paged.clone()))
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
    let watching = Arc::clone(&context);
    let all_pods = children::<Pod>(&client).inspect_ok(move |event| watching.pods.watched(event));
    let controller = Controller::for_stream(all_runs, store.clone())
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(stop)
        .reconcile_on(runs_of_changed(children::<Job>(&client), store.clone()))
        .reconcile_on(runs_of_changed(all_pods, store.clone()))
        .reconcile_on(woken)
        .reconcile_on(triggers.map(|run| ObjectRef::new(&run)));

    let synced = async {
        if store.wait_until_ready().await.is_ok() {
            tracing::info!("E2ETests are synced");
            missing.send_replace(Missing::new());
        }
    };
    let known = Arc::clone(&context);
    let again = |run: Arc<Run>, error: &ReconcileError, context: Arc<Context>| {
        Action::requeue(retry_after(&run.name_any(), error, &context))
    };
    let passes = controller.run(reconcile, again, context).for_each(|result| {
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

/// What happens to the children of a kind, their metadata only.
fn children<K>(
    client: &Client,
) -> impl Stream<Item = watcher::Result<Event<PartialObjectMeta<K>>>> + Send + use<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let all = Api::<PartialObjectMeta<K>>::all(client.clone());
    let ours =
        watcher::Config::default().labels(&format!("{}={}", label::MANAGED_BY, label::MANAGED_BY_VALUE));
    follow(K::kind(&()).into_owned(), move || watcher(all.clone(), ours.clone()))
}

/// The runs whose children change.
fn runs_of_changed<K: Resource>(
    children: impl Stream<Item = watcher::Result<Event<PartialObjectMeta<K>>>> + Send,
    runs: Store<Run>,
) -> impl Stream<Item = ObjectRef<Run>> + Send {
    children.flat_map(move |event| {
        stream::iter(match event {
            Ok(Event::Apply(child) | Event::Delete(child)) => run_of(&child).into_iter().collect(),
            // Whose children went while nobody watched, the list of those that are there does not say.
            Ok(Event::InitDone) => runs.state().iter().map(|run| ObjectRef::from_obj(&**run)).collect(),
            Ok(Event::Init | Event::InitApply(_)) | Err(_) => Vec::new(),
        })
    })
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
        // Watches hand on no errors: what is left is the controller's own.
        other => tracing::error!(error = %other, "Controller lost an event"),
    }
}
