//! `kfe2e down`.

use std::{collections::BTreeMap, path::Path};

use bootstrap_embedded::Roots;
use crds::{ExitCode, run_event::Stage};

use crate::{
    cluster::{self, Cluster, ClusterKind, Record},
    command::OneStage,
    command_line::{ClusterArgs, DownArgs},
    failure::Failure,
    progress::Progress,
};

/// The kinds whose clusters are ours by a record.
const RECORDED: [ClusterKind; 2] = [ClusterKind::Kind, ClusterKind::Microk8s];

/// Removes a cluster and everything that it left. Without `--cluster`, every cluster of the name that is ours.
pub fn down(args: &DownArgs) -> Result<ExitCode, Failure> {
    let (mut clusters, mut refused) = (Vec::new(), Vec::new());
    let kinds = kinds(&args.cluster);
    if kinds.is_empty() {
        // A flag that no kind of cluster made here takes is no less wrong where there is none.
        cluster::of(&args.settings(ClusterKind::Embedded))?;
    }
    for kind in kinds {
        let cluster = cluster::of(&args.settings(kind))?;
        match cluster.check_made() {
            Ok(()) => clusters.push(cluster),
            Err(failure) => refused.push(failure),
        }
    }
    if clusters.is_empty() {
        all_of(refused.clone())?;
    }
    let unrecorded = unrecorded(&args.cluster)?;
    let command = OneStage::begin(Stage::Down, args.output);
    let progress = &command.progress;
    if let Some(line) = unrecorded {
        progress.say(Stage::Down, line);
    }
    let outcome = destroy(&clusters, refused, progress);
    command.end(BTreeMap::new(), outcome)
}

/// The kinds to look among: the one that is named, else those with a record of the name, and the embedded one, which
/// needs none.
fn kinds(args: &ClusterArgs) -> Vec<ClusterKind> {
    if let Some(kind) = args.cluster {
        return vec![kind];
    }
    let recorded = RECORDED.into_iter();
    let mut kinds: Vec<ClusterKind> =
        recorded.filter(|kind| Record::of(*kind, &args.name).exists()).collect();
    // Whoever is not root can have made no embedded cluster, and is told of root only where there is one.
    if is_embedded(&args.name) || nix::unistd::Uid::effective().is_root() {
        kinds.push(ClusterKind::Embedded);
    }
    kinds
}

/// Whether there are traces of an embedded cluster of this name.
fn is_embedded(name: &str) -> bool {
    let Roots { state, run } = Roots::default();
    [state, run].iter().any(|root| root.join(name).exists())
}

/// What to say where no cluster of the name is recorded: which ones are.
fn unrecorded(args: &ClusterArgs) -> Result<Option<String>, Failure> {
    let looked_at = |kind: &ClusterKind| args.cluster.is_none_or(|named| named == *kind);
    let mut recorded = Vec::new();
    for kind in RECORDED.into_iter().filter(looked_at) {
        recorded.extend(Record::names(kind)?.into_iter().map(|name| (kind, name)));
    }
    let without_record = args.cluster.is_some_and(|kind| !RECORDED.contains(&kind))
        || (args.cluster.is_none() && is_embedded(&args.name));
    Ok(if without_record { None } else { hint(&args.name, &recorded, &Record::root()) })
}

/// Names the clusters that are recorded, unless one of them has the name.
fn hint(name: &str, recorded: &[(ClusterKind, String)], root: &Path) -> Option<String> {
    if recorded.iter().any(|(_, other)| other == name) {
        return None;
    }
    let known: Vec<_> = recorded.iter().map(|(kind, other)| format!("`{other}` ({kind})")).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Some(format!("no cluster `{name}` is recorded in {}; recorded there: {known}", root.display()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_mistypes_a_name_is_told_the_names_that_are_there() {
        let of = |kind, name: &str| (kind, name.to_owned());
        let recorded = [of(ClusterKind::Kind, "a"), of(ClusterKind::Microk8s, "b")];
        let root = Path::new("/home/me/.local/state/kfe2e");
        assert_eq!(hint("a", &recorded, root), None);
        assert_eq!(
            hint("c", &recorded, root).unwrap(),
            "no cluster `c` is recorded in /home/me/.local/state/kfe2e; recorded there: `a` (kind), `b` (microk8s)"
        );
        assert!(hint("c", &[], root).unwrap().ends_with("; recorded there: none"));
    }
}
