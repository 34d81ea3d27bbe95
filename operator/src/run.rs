//! From settings to a running operator: client, health, the wait for the CRD, the controller, and a clean end.

use std::{convert::Infallible, sync::Arc, time::Duration};

use crds::v1alpha1::E2ETest;
use kube::{Api, Client, Config, api::ListParams, client::ClientBuilder};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
};

use crate::{
    backoff::Backoff,
    clock::{Clock, heard_by},
    controller, health,
    metrics::Metrics,
    reconcile::Context,
    settings::Settings,
};

/// How long to wait for an answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long passes may still take when the operator is to end. One that is broken off leaves what a crash would leave,
/// which the next operator goes on from.
const GRACE: Duration = Duration::from_millis(500);
/// What `/readyz` shows while the kind is not served.
const NO_CRD: &str = "the API server does not serve E2ETests: apply manifests/crd";
/// What it shows until all runs are known.
const NOT_SYNCED: &str = "E2ETests are not synced yet";

/// Why the operator could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No cluster is configured.
    #[error("no cluster is configured: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The client could not be made.
    #[error("the client cannot be made: {0}")]
    Client(#[from] kube::Error),
    /// The runtime, the signals or the port.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What happened.
        source: std::io::Error,
    },
}

/// Runs until SIGTERM or SIGINT. One thread: it waits for the API server nearly all of its time.
///
/// # Errors
/// It could not start, or its port was lost.
pub fn run(settings: Settings) -> Result<(), RunError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Io { what: "the runtime cannot start", source })?
        .block_on(serve(settings))
}

/// Everything side by side, until a signal comes.
async fn serve(settings: Settings) -> Result<(), RunError> {
    let mut config = Config::infer().await?;
    // The client's own retries would hold one call for minutes; each pass retries as a whole.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    let clock = Arc::new(Clock::default());
    let client = ClientBuilder::try_from(config)?.with_layer(&heard_by(&clock)).build();
    let metrics = Arc::new(Metrics::default());
    let (context, woken, publisher) =
        Context::new(client.clone(), settings.core, Arc::clone(&metrics), clock);
    let (at_work, over) = oneshot::channel::<Infallible>();
    // That the other end is gone is what it is waited for.
    let over = async { drop(over.await) };
    let publishing = tokio::spawn(publisher.publish(client.clone(), over));
    let (missing, seen) = watch::channel(vec![NO_CRD, NOT_SYNCED]);
    let stop = stop_signal()?;
    let health = health::serve(settings.listen, seen, metrics, stopped(stop.clone()));
    tracing::info!(address = %settings.listen, version = env!("CARGO_PKG_VERSION"), "Operator started");
    let work = async {
        tokio::select! {
            () = wait_for_crd(&client) => {}
            () = stopped(stop.clone()) => return Ok(()),
        }
        missing.send_replace(vec![NOT_SYNCED]);
        controller::run(client, context, woken, missing, stopped(stop.clone())).await;
        Ok(())
    };
    let health = async {
        health.await.map_err(|source| RunError::Io { what: "health and metrics cannot be served", source })
    };
    let given_up = async {
        stopped(stop.clone()).await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        ended = async { tokio::try_join!(work, health) } => drop(ended?),
        () = given_up => tracing::warn!("Passes were broken off: the API server did not answer in time"),
    }
    drop(at_work);
    publishing
        .await
        .map_err(|error| RunError::Io { what: "events cannot be published", source: error.into() })?;
    tracing::info!("Operator stopped");
    Ok(())
}

/// Waits until the kind is served: the operator may be installed before its CRD.
async fn wait_for_crd(client: &Client) {
    let api = Api::<E2ETest>::all(client.clone());
    let one = ListParams::default().limit(1);
    let mut backoff = Backoff::new();
    loop {
        match tokio::time::timeout(ANSWER, api.list_metadata(&one)).await {
            Ok(Ok(_)) => return,
            Ok(Err(kube::Error::Api(status))) if status.code == 404 => tracing::info!("Waiting: {NO_CRD}"),
            Ok(Err(error)) => tracing::info!(%error, "Waiting for the API server to serve E2ETests"),
            Err(_) => tracing::info!("Waiting for the API server to answer"),
        }
        tokio::time::sleep(backoff.wait()).await;
    }
}

/// A channel that closes with the first SIGTERM or SIGINT.
fn stop_signal() -> Result<watch::Receiver<bool>, RunError> {
    let no_signals = |source| RunError::Io { what: "signals cannot be received", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("Asked to stop");
        sender.send_replace(true);
    });
    Ok(receiver)
}

/// Resolves once the operator is asked to stop.
async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the task of the signals is gone, which is the end as well.
    let _ = stop.wait_for(|stop| *stop).await;
}
