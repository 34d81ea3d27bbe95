//! Stage up: the cluster, and what Kubeflow consists of.

use std::{sync::Arc, time::Duration};

use bootstrap_install::Object;
use crds::{ExitCode, run_event::Stage};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::task::spawn_blocking;

use super::{
    plan::{KubeflowSource, Plan},
    stages::{Figures, Stages},
};
use crate::{
    cluster::{Cluster, Created},
    failure::Failure,
    progress::Progress,
};

/// Why a run leaves a cluster alone that it found: it is somebody's.
pub const ALREADY_RUNNING: &str =
    "a cluster of this name is already running: remove it with `kfe2e down`, or give another --name";

/// How long rendering a kustomize folder may take; remote bases are fetched meanwhile.
const RENDER_WITHIN: Duration = Duration::from_mins(5);

/// The objects of Kubeflow; rendered before there is a cluster, so that a bad folder costs nothing.
pub async fn kubeflow(
    cluster: &Arc<dyn Cluster>,
    plan: &Plan,
    progress: &Progress,
) -> Result<Vec<Object>, Failure> {
    let KubeflowSource::Path(path) = &plan.kubeflow else {
        return Ok(Vec::new());
    };
    let (cluster, progress) = (Arc::clone(cluster), progress.clone());
    let find = move || cluster.kubectl(&mut |line| progress.say(Stage::Up, line));
    let kubectl = joined(spawn_blocking(find).await)?;
    let objects = bootstrap_install::load(path, &kubectl, RENDER_WITHIN).await;
    objects.map_err(|error| Failure::usage(format!("--kubeflow: {error}")))
}

/// Makes the cluster and returns its kubeconfig. A signal ends the making, not the process.
pub async fn create(stages: &mut Stages, cluster: &Arc<dyn Cluster>) -> Result<Created, Failure> {
    let (stops, progress, maker) = (stages.stops(), stages.progress.clone(), Arc::clone(cluster));
    let work = async move {
        let mut making = spawn_blocking(move || maker.create(&mut |line| progress.say(Stage::Up, line)));
        tokio::select! {
            made = &mut making => joined(made),
            stop = stops.stopped() => {
                cluster.interrupt();
                // What it had made is removed by the stage down; here it only has to have ended.
                let _ = making.await;
                Err(stop)
            }
        }
    };
    let work = async {
        let created = work.await?;
        if created.already_running {
            return Err(Failure::infrastructure(ALREADY_RUNNING));
        }
        let figures = created.figures.clone();
        Ok((created, figures))
    };
    stages.run_to_end(Stage::Up, work).await
}

/// A client of the cluster. Retries are ours, with a deadline and a reason that is shown.
pub async fn client(created: &Created) -> Result<Client, Failure> {
    let kubeconfig = Kubeconfig::read_from(&created.kubeconfig)
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", created.kubeconfig.display())))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| Failure::infrastructure(format!("{}: {error}", created.kubeconfig.display())))?;
    config.default_retry = false;
    // A proxy of the environment knows the way out, not the way to a cluster on this machine.
    config.proxy_url = None;
    Client::try_from(config).map_err(|error| Failure::infrastructure(error.to_string()))
}

/// Removes the cluster.
pub async fn destroy(cluster: &Arc<dyn Cluster>, progress: &Progress) -> Result<((), Figures), Failure> {
    let (cluster, progress) = (Arc::clone(cluster), progress.clone());
    let remove = move || cluster.destroy(&mut |line| progress.say(Stage::Down, line));
    joined(spawn_blocking(remove).await).map(|()| ((), Figures::new()))
}

/// The outcome of a blocking step.
pub fn joined<T>(outcome: Result<anyhow::Result<T>, tokio::task::JoinError>) -> Result<T, Failure> {
    match outcome {
        Ok(outcome) => outcome.map_err(Failure::from),
        Err(error) => {
            Err(Failure { code: ExitCode::Infrastructure, message: format!("a step broke off: {error}") })
        }
    }
}
