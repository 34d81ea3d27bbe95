//! Stage up: what Kubeflow consists of, and the cluster.

use std::{sync::Arc, time::Duration};

use bootstrap_install::{Object, source};
use crds::{ExitCode, run_event::Stage, v1alpha1::E2ETest};
use kube::Client;
use tokio::task::spawn_blocking;

use super::{
    plan::{KubeflowSource, Plan},
    stages::{Figures, Stages, Stops},
};
use crate::{
    cluster::{self, Cluster, ClusterSettings, Created, Say},
    failure::Failure,
    progress::Progress,
};

/// How long rendering a kustomize folder may take; remote bases are fetched meanwhile.
const RENDER_WITHIN: Duration = Duration::from_mins(5);

/// What the stage brings about.
#[derive(Debug)]
pub struct Ready {
    /// The objects of Kubeflow.
    pub kubeflow: Vec<Object>,
    /// The run as it will be created.
    pub e2etest: E2ETest,
    /// The cluster.
    pub created: Created,
}

/// Renders Kubeflow, then makes the cluster: a folder that cannot be rendered costs no cluster. A signal or the run's
/// deadline ends the work, and what it had made of the cluster is removed again before this returns.
pub async fn up(stages: &mut Stages, cluster: &Arc<dyn Cluster>, plan: &Plan) -> Result<Ready, Failure> {
    let (stops, progress) = (stages.stops(), stages.progress.clone());
    let work = async {
        if let Some(because) = &plan.cluster_because {
            progress.say(Stage::Up, because.clone());
        }
        let kubeflow = render(cluster, plan, &stops, &progress).await?;
        let e2etest = plan.e2etest(&kubeflow, false)?;
        let created =
            interruptible(cluster, &stops, &progress, Stage::Up, |cluster, say| cluster.create(say)).await?;
        let figures = created.figures.clone();
        Ok((Ready { kubeflow, e2etest, created }, figures))
    };
    stages.run_to_end(Stage::Up, work).await
}

/// The cluster that the settings ask for, if it can be had: found without a side effect. `because` says why this kind was
/// taken when nobody named one.
pub async fn checked(settings: &ClusterSettings, because: Option<&str>) -> Result<Arc<dyn Cluster>, Failure> {
    let cluster = cluster::of(settings).map_err(|failure| failure.with_reason(because))?;
    let cluster: Arc<dyn Cluster> = Arc::from(cluster);
    let asked = Arc::clone(&cluster);
    let check = move || asked.check().map_err(anyhow::Error::from);
    joined(spawn_blocking(check).await).map_err(|failure| failure.with_reason(because))?;
    Ok(cluster)
}

/// The objects of Kubeflow.
async fn render(
    cluster: &Arc<dyn Cluster>,
    plan: &Plan,
    stops: &Stops,
    progress: &Progress,
) -> Result<Vec<Object>, Failure> {
    let KubeflowSource::Path(path) = &plan.kubeflow else {
        return Ok(Vec::new());
    };
    let kubectl = if source::is_kustomization(path) {
        interruptible(cluster, stops, progress, Stage::Up, |cluster, say| cluster.kubectl(say)).await?
    } else {
        "kubectl".into()
    };
    tokio::select! {
        objects = bootstrap_install::load(path, &kubectl, RENDER_WITHIN) => {
            objects.map_err(|error| Failure::usage(format!("--kubeflow: {error}")))
        }
        stop = stops.stopped() => Err(stop),
    }
}

/// A blocking step of the cluster that is told to end when the run is stopped, and awaited until it has.
pub async fn interruptible<T: Send + 'static>(
    cluster: &Arc<dyn Cluster>,
    stops: &Stops,
    progress: &Progress,
    stage: Stage,
    call: impl FnOnce(&dyn Cluster, Say<'_>) -> anyhow::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let (owned, lines) = (Arc::clone(cluster), progress.clone());
    let mut work = spawn_blocking(move || call(&*owned, &mut |line| lines.say(stage, line)));
    tokio::select! {
        outcome = &mut work => joined(outcome),
        stop = stops.stopped() => {
            cluster.interrupt();
            // It removes what it made before it ends. That it was ended is no news; anything else it says is. What was
            // done in spite of it is the caller's, whose next step ends at once.
            let said = match joined(work.await) {
                Ok(done) => return Ok(done),
                Err(failure) => Some(failure).filter(|failure| failure.code != ExitCode::Cancelled),
            };
            let more = said.map(|failure| format!("; {failure}")).unwrap_or_default();
            Err(Failure { message: format!("{}{more}", stop.message), ..stop })
        }
    }
}

/// Version of Kubernetes, as the API server says.
pub async fn version(client: &Client) -> Result<String, Failure> {
    let said = tokio::time::timeout(Duration::from_secs(30), client.apiserver_version()).await;
    let said =
        said.map_err(|_| Failure::infrastructure("the API server did not say its version within 30 s"))?;
    said.map(|info| info.git_version)
        .map_err(|error| Failure::infrastructure(format!("the API server's version: {error}")))
}

/// Tells the cluster who is about to claim it.
pub async fn claims(stages: &Stages, cluster: &Arc<dyn Cluster>, invocation: &str) -> Result<(), Failure> {
    let (stops, invocation) = (stages.stops(), invocation.to_owned());
    let claims = move |cluster: &dyn Cluster, say: Say<'_>| cluster.claims(&invocation, say);
    // Another command may be at work on the cluster for long.
    interruptible(cluster, &stops, &stages.progress, Stage::Up, claims).await
}

/// Removes the cluster. Returns what stays for somebody else's sake, which is said too.
pub async fn destroy(
    cluster: &Arc<dyn Cluster>,
    progress: &Progress,
) -> Result<(Vec<String>, Figures), Failure> {
    let (cluster, lines) = (Arc::clone(cluster), progress.clone());
    let remove = move || cluster.destroy(&mut |line| lines.say(Stage::Down, line));
    let left = joined(spawn_blocking(remove).await)?;
    for sentence in &left {
        progress.say(Stage::Down, sentence.clone());
    }
    Ok((left, Figures::new()))
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
