//! Everything on the host that belongs to a cluster, found without its records.

use std::{collections::BTreeSet, path::PathBuf};

use crate::{
    ClusterName, Error, Roots, cgroup, config::Layout, firewall, host, network, process, state::folders,
};

/// What is on the host of a cluster, one sentence each; nothing after a removal. What cannot be asked for may be
/// there: it is named with the reason.
pub fn leftovers(roots: &Roots, name: &str) -> Result<Vec<String>, Error> {
    Ok(of(roots, &Layout::new(roots, &ClusterName::new(name)?)?))
}

pub(crate) fn of(roots: &Roots, layout: &Layout) -> Vec<String> {
    let name = &layout.name;
    let mut left: Vec<String> =
        process::find(name, &layout.netns()).iter().map(process::Found::describe).collect();
    left.extend(paths("mount", network::mounts(layout)));
    if network::link_exists(name) {
        left.push(format!("link {}", name.link()));
    }
    left.extend(firewall::leftovers(name).unwrap_or_else(|e| vec![e.to_string()]));
    left.extend(paths("cgroup", cgroup::hierarchies().map(|all| cgroup::existing(name, &all))));
    let folders = [&layout.state, &layout.run].into_iter().filter(|folder| folder.exists()).cloned();
    left.extend(paths("folder", Ok(folders.collect())));
    left.extend(of_host(roots, name).unwrap_or_else(|e| vec![e.to_string()]));
    left
}

/// What is left of all clusters together, if there is no other.
fn of_host(roots: &Roots, name: &ClusterName) -> Result<Vec<String>, Error> {
    let alone = clusters(roots)?.iter().all(|other| other == name.as_str());
    if alone { host::leftovers(roots) } else { Ok(Vec::new()) }
}

fn paths(kind: &str, found: Result<Vec<PathBuf>, Error>) -> Vec<String> {
    match found {
        Ok(paths) => paths.iter().map(|path| format!("{kind} {}", path.display())).collect(),
        Err(e) => vec![e.to_string()],
    }
}

/// The names of all clusters of which anything is there: folders, cgroups or processes.
pub(crate) fn clusters(roots: &Roots) -> Result<BTreeSet<String>, Error> {
    let mut names: BTreeSet<String> = folders(&roots.state)?.into_iter().collect();
    names.extend(folders(&roots.run)?);
    names.extend(cgroup::clusters(&cgroup::hierarchies()?));
    names.extend(process::marked_clusters());
    names.retain(|name| ClusterName::new(name).is_ok());
    Ok(names)
}
