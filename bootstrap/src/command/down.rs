//! `kfe2e down`.

use std::time::Instant;

use crds::{ExitCode, run_event::Stage, run_result::StageResult};

use crate::{
    cluster::{self, Cluster, ClusterKind, Record},
    command_line::{ClusterArgs, DownArgs},
    failure::Failure,
    progress::Progress,
};

/// Removes a cluster and everything that it left. Without `--cluster`, every cluster of the name that is ours.
pub fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let mut clusters = Vec::new();
    for kind in kinds(&args.cluster) {
        let cluster = cluster::of(&args.cluster.settings(kind, 1, &[]))?;
        cluster.check_removal()?;
        clusters.push(cluster);
    }
    let (progress, drawing) = Progress::start(args.output);
    let begin = Instant::now();
    progress.started(Stage::Down);
    let outcome = destroy(&clusters, &progress);
    progress.finished(&StageResult {
        stage: Stage::Down,
        seconds: begin.elapsed().as_secs_f64(),
        figures: std::collections::BTreeMap::new(),
        error: outcome.as_ref().err().map(|failure| failure.message.clone()),
    });
    drop(progress);
    drawing.finish();
    outcome.map(|()| ExitCode::Succeeded)
}

/// The kinds to look among: the one that is named, else those with a record of the name, and the embedded one, which
/// needs none.
fn kinds(args: &ClusterArgs) -> Vec<ClusterKind> {
    if let Some(kind) = args.cluster {
        return vec![kind];
    }
    let recorded = [ClusterKind::Kind, ClusterKind::Microk8s].into_iter();
    let mut kinds: Vec<ClusterKind> =
        recorded.filter(|kind| Record::of(*kind, &args.name).exists()).collect();
    // Without root there can be no embedded cluster of this user; where nothing else is found, it says so.
    if kinds.is_empty() || nix::unistd::Uid::effective().is_root() {
        kinds.push(ClusterKind::Embedded);
    }
    kinds
}

/// Removes all; what goes wrong with one keeps none of the others.
fn destroy(clusters: &[Box<dyn Cluster>], progress: &Progress) -> Result<(), Failure> {
    let mut say = |line| progress.say(Stage::Down, line);
    let outcomes: Vec<_> = clusters.iter().map(|cluster| cluster.destroy(&mut say)).collect();
    outcomes.into_iter().collect::<anyhow::Result<()>>().map_err(Failure::from)
}
