//! Stage collect: the evidence, as far as the cluster still answers.

use std::{path::Path, sync::Arc, time::Duration};

use crds::run_event::Stage;
use kube::Client;
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Reached,
    stages::{Figures, Stages},
    up::joined,
};
use crate::{
    cluster::Cluster,
    collect::{logs, objects, results, results::Results},
    failure::Failure,
};

/// How long each kind of evidence may take; a run that is cleaning up must end.
const WITHIN: Duration = Duration::from_mins(2);

/// Collects what there is, the tests' own results first. What cannot be had is a problem that the result names, never a
/// reason to stop cleaning up.
pub async fn collect(
    stages: &mut Stages,
    cluster: &Arc<dyn Cluster>,
    reached: &Reached,
    out: &Path,
) -> Results {
    if !reached.made {
        return Results::default();
    }
    let work = async {
        let mut collected = Results::default();
        if let Some(client) = &reached.client {
            collected = of_tests(client, reached, out).await;
            let of = reached.namespaces.as_ref();
            let (logs, objects) = (out.join("logs"), out.join("objects"));
            collected.problems.extend(within("logs", logs::collect(client, of, &logs)).await);
            collected.problems.extend(within("objects", objects::collect(client, of, &objects)).await);
        }
        collected.problems.extend(within("logs of the cluster's parts", of_cluster(cluster, out)).await);
        Ok::<_, Failure>((collected, Figures::new()))
    };
    // The work has no error of its own: whatever it lacks is in its problems.
    stages.run_to_end(Stage::Collect, work).await.unwrap_or_default()
}

/// The problems of one kind of evidence; that it took too long is one.
async fn within(what: &str, work: impl Future<Output = Vec<String>>) -> Vec<String> {
    let late = |_| vec![format!("{what}: the cluster did not answer within {} s", WITHIN.as_secs())];
    timeout(WITHIN, work).await.unwrap_or_else(late)
}

async fn of_tests(client: &Client, reached: &Reached, out: &Path) -> Results {
    let Some(e2etest) = &reached.e2etest else { return Results::default() };
    let run = e2etest.metadata.uid.clone().unwrap_or_default();
    let work = results::collect(client, &e2etest.spec.target_namespace, &run, out);
    timeout(WITHIN, work).await.unwrap_or_else(|_| Results {
        problems: vec![format!("results: the cluster did not answer within {} s", WITHIN.as_secs())],
        ..Results::default()
    })
}

async fn of_cluster(cluster: &Arc<dyn Cluster>, out: &Path) -> Vec<String> {
    let (cluster, folder) = (Arc::clone(cluster), out.join("cluster"));
    let copied = joined(spawn_blocking(move || cluster.evidence(&folder)).await);
    copied.err().map(|failure| format!("logs of the cluster's parts: {failure}")).into_iter().collect()
}
