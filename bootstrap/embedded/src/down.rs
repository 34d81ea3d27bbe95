//! Removing a cluster: whatever exists of it, asked of the host and not of records.

use std::{fs, io, path::Path, time::Duration};

use crate::{
    Cancel, ClusterName, Error, Roots, cgroup, config::Layout, firewall, host, leftovers, lock::Lock,
    network, process,
};

/// How long another `up` or `down` of the same name may take.
const LOCK_LIMIT: Duration = Duration::from_mins(15);
/// How long processes may take to end once they are told to at once.
const PROCESS_LIMIT: Duration = Duration::from_mins(1);
/// How long cgroups may stay busy after that.
const CGROUP_LIMIT: Duration = Duration::from_secs(30);

/// What a removal found and removed. All zero when there was nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Processes that were ended.
    pub processes: usize,
    /// Mounts in the host's view.
    pub mounts: usize,
    /// Firewall tables and rules.
    pub firewall: usize,
    /// Whether the link to the host was there.
    pub link: bool,
    /// Cgroups, one for each hierarchy.
    pub cgroups: usize,
    /// Whether any of its folders was there.
    pub folders: bool,
    /// Whether it was the last cluster, so that the host's settings were put back.
    pub host_restored: bool,
}

impl Report {
    /// Whether there was nothing to remove.
    pub fn is_empty(&self) -> bool {
        *self == Self { host_restored: self.host_restored, ..Self::default() }
    }
}

/// Removes a cluster, whole, half made or not there at all: twice is as good as once.
///
/// # Errors
/// [`Error::Leftovers`] names everything that is still there.
pub fn down(roots: &Roots, name: &str) -> Result<Report, Error> {
    let name = ClusterName::new(name)?;
    let layout = Layout::new(roots, &name)?;
    if !nix::unistd::Uid::effective().is_root() {
        return Err(Error::NotRoot);
    }
    let lock = lock_cluster(roots, &name, &Cancel::default(), || {})?;
    let report = sweep(roots, &layout)?;
    drop(lock);
    for root in [&roots.state, &roots.run] {
        remove_if_empty(root)?;
    }
    Ok(report)
}

/// The lock under which one cluster is made or removed.
pub(crate) fn lock_cluster(
    roots: &Roots,
    name: &ClusterName,
    cancel: &Cancel,
    busy: impl FnMut(),
) -> Result<Lock, Error> {
    let path = roots.run.join(format!("{name}.lock"));
    let awaited = format!("another command's end on cluster `{name}`");
    Lock::take(&path, LOCK_LIMIT, busy, &mut || {
        if cancel.is_cancelled() { Err(Error::Cancelled(awaited.clone())) } else { Ok(()) }
    })
}

/// Removes everything of a cluster and proves it. The caller holds its lock.
///
/// Processes first, since all else is theirs; folders last, since they are how the next attempt knows that
/// there is something to remove.
pub(crate) fn sweep(roots: &Roots, layout: &Layout) -> Result<Report, Error> {
    let name = &layout.name;
    let mut report =
        Report { processes: process::end_all(name, &layout.netns(), PROCESS_LIMIT)?, ..Report::default() };
    report.firewall = firewall::close(name)?;
    report.link = network::remove_link(name)?;
    report.mounts = network::unmount(layout)?;
    report.cgroups = cgroup::remove(name, &cgroup::hierarchies()?, CGROUP_LIMIT)?;
    for folder in [&layout.run, &layout.state] {
        report.folders |= remove_folder(folder)?;
    }
    report.host_restored = restore_host(roots, name)?;
    let left = leftovers::of(roots, layout)?;
    if left.is_empty() { Ok(report) } else { Err(Error::Leftovers { cluster: name.to_string(), left }) }
}

/// Puts the host's settings back if no other cluster is left.
fn restore_host(roots: &Roots, name: &ClusterName) -> Result<bool, Error> {
    let _lock = host::lock(roots)?;
    let others = leftovers::clusters(roots)?.into_iter().any(|other| other != name.as_str());
    if others { Ok(false) } else { host::restore(roots) }
}

fn remove_folder(folder: &Path) -> Result<bool, Error> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io("remove", folder)(e)),
    }
}

/// Removes a root that holds no cluster any more; one in use, or somebody's mount, stays.
fn remove_if_empty(root: &Path) -> Result<(), Error> {
    match fs::remove_dir(root) {
        Err(e)
            if !matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::ResourceBusy
            ) =>
        {
            Err(Error::io("remove", root)(e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
