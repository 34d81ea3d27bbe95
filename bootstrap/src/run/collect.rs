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

/// How long a cluster that answers may take; a run that is cleaning up must end.
const WITHIN: Duration = Duration::from_mins(2);

/// Collects what there is. What cannot be had is a problem that the result names, never a reason to stop cleaning up.
pub async fn collect(
    stages: &mut Stages,
    cluster: &Arc<dyn Cluster>,
    reached: &Reached,
    out: &Path,
) -> Results {
    if stages.results().is_empty() {
        return Results::default();
    }
    let work = async {
        let mut collected = Results::default();
        if let Some(client) = &reached.client {
            match timeout(WITHIN, from_kubernetes(client, reached, out)).await {
                Ok(results) => collected = results,
                Err(_) => collected
                    .problems
                    .push(format!("evidence: the cluster did not answer within {} s", WITHIN.as_secs())),
            }
        }
        let (cluster, folder) = (Arc::clone(cluster), out.join("cluster"));
        if let Err(failure) = joined(spawn_blocking(move || cluster.evidence(&folder)).await) {
            collected.problems.push(format!("evidence of the cluster: {failure}"));
        }
        Ok::<_, Failure>((collected, Figures::new()))
    };
    // The work has no error of its own: whatever it lacks is in its problems.
    stages.run_to_end(Stage::Collect, work).await.unwrap_or_default()
}

async fn from_kubernetes(client: &Client, reached: &Reached, out: &Path) -> Results {
    let mut collected = Results::default();
    if let Some(e2etest) = &reached.e2etest {
        let run = e2etest.metadata.name.clone().unwrap_or_default();
        collected = results::collect(client, &e2etest.spec.target_namespace, &run, out).await;
    }
    collected.problems.extend(logs::collect(client, &out.join("logs")).await);
    collected.problems.extend(objects::collect(client, &out.join("objects")).await);
    collected
}
