//! Everything on the host that belongs to a cluster, found without its records.

use std::collections::BTreeSet;

use crate::{
    ClusterName, Error, Roots, cgroup, config::Layout, firewall, host, network, process, state::folders,
};

/// What is on the host of a cluster, one sentence each; nothing after a removal.
pub fn leftovers(roots: &Roots, name: &str) -> Result<Vec<String>, Error> {
    of(roots, &Layout::new(roots, &ClusterName::new(name)?)?)
}

pub(crate) fn of(roots: &Roots, layout: &Layout) -> Result<Vec<String>, Error> {
    let name = &layout.name;
    let mut left: Vec<String> =
        process::find(name, &layout.netns()).iter().map(process::Found::describe).collect();
    left.extend(network::mounts(layout)?.iter().map(|mount| format!("mount {}", mount.display())));
    if network::link_exists(name) {
        left.push(format!("link {}", name.link()));
    }
    left.extend(firewall::leftovers(name)?);
    let groups = cgroup::existing(name, &cgroup::hierarchies()?);
    left.extend(groups.iter().map(|group| format!("cgroup {}", group.display())));
    let folders = [&layout.state, &layout.run].into_iter().filter(|folder| folder.exists());
    left.extend(folders.map(|folder| format!("folder {}", folder.display())));
    if clusters(roots)?.iter().all(|other| other == name.as_str()) {
        left.extend(host::leftovers(roots)?);
    }
    Ok(left)
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
