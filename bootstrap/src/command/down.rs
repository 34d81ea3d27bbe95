//! `kfe2e down`.

use std::time::Instant;

use bootstrap_embedded::Roots;
use crds::{ExitCode, run_event::Stage, run_result::StageResult};

use crate::{
    cluster::{self, Cluster, ClusterKind, Record},
    command_line::{ClusterArgs, DownArgs},
    failure::Failure,
    progress::Progress,
};

/// Removes a cluster and everything that it left. Without `--cluster`, every cluster of the name that is ours.
pub fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let (mut clusters, mut refused) = (Vec::new(), Vec::new());
    for kind in kinds(&args.cluster) {
        let cluster = cluster::of(&args.cluster.settings(kind, 1, &[]))?;
        match cluster.check_removal() {
            Ok(()) => clusters.push(cluster),
            Err(failure) => refused.push(failure),
        }
    }
    if clusters.is_empty() {
        all_of(refused.clone())?;
    }
    let (progress, drawing) = Progress::start(args.output);
    let begin = Instant::now();
    progress.started(Stage::Down);
    if clusters.is_empty() {
        progress.say(Stage::Down, format!("there is no cluster {} of ours", args.cluster.name));
    }
    let outcome = destroy(&clusters, refused, &progress);
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
    // Whoever is not root can have made no embedded cluster, and is told of root only where there is one.
    let Roots { state, run } = Roots::default();
    let traces = [state, run].iter().any(|root| root.join(&args.name).exists());
    if traces || nix::unistd::Uid::effective().is_root() {
        kinds.push(ClusterKind::Embedded);
    }
    kinds
}

/// Removes all; what goes wrong with one keeps none of the others, and all of it is said, with what was refused before.
fn destroy(
    clusters: &[Box<dyn Cluster>],
    mut failures: Vec<Failure>,
    progress: &Progress,
) -> Result<(), Failure> {
    for cluster in clusters {
        match cluster.destroy(&mut |line| progress.say(Stage::Down, line)) {
            Ok(left) => left.into_iter().for_each(|sentence| progress.say(Stage::Down, sentence)),
            Err(error) => failures.push(Failure::from(error)),
        }
    }
    all_of(failures)
}

/// All failures as one, with the first's exit code; none is a success.
fn all_of(failures: Vec<Failure>) -> Result<(), Failure> {
    let Some(code) = failures.first().map(|failure| failure.code) else { return Ok(()) };
    let messages: Vec<String> = failures.into_iter().map(|failure| failure.message).collect();
    Err(Failure { code, message: messages.join("; ") })
}
