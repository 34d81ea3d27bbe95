//! Removing a cluster: whatever exists of it, asked of the host and not of records.

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use crate::{
    Cancel, ClusterName, Error, Roots, cgroup, config::Layout, firewall, host, leftovers, lock::Lock,
    network, preflight::preflight_down, process,
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
/// [`Error::Leftovers`] names every step that failed and everything that is still there.
pub fn down(roots: &Roots, name: &str) -> Result<Report, Error> {
    preflight_down(roots, name)?;
    let name = ClusterName::new(name)?;
    let layout = Layout::new(roots, &name)?;
    let lock = lock_cluster(roots, &name, &Cancel::default(), || {})?;
    let report = sweep(roots, &layout)?;
    drop(lock);
    remove_empty_roots(roots)?;
    Ok(report)
}

/// Removes the folders of all clusters once there is no cluster. The caller holds no lock: locks are in one of them.
pub(crate) fn remove_empty_roots(roots: &Roots) -> Result<(), Error> {
    remove_if_empty(&roots.state)?;
    remove_if_empty(&roots.run)
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
    Lock::take(&path, LOCK_LIMIT, busy, &mut || cancel.check(&awaited))
}

/// Removes everything of a cluster and proves it. The caller holds its lock.
///
/// Processes first, since all else is theirs; folders last, since they are how the next attempt knows that
/// there is something to remove. A step that fails keeps none of the others from being tried.
pub(crate) fn sweep(roots: &Roots, layout: &Layout) -> Result<Report, Error> {
    let name = &layout.name;
    let mut failures = Failures::default();
    let mut report = Report {
        processes: failures.keep(process::end_all(name, &layout.netns(), PROCESS_LIMIT)),
        firewall: failures.keep(firewall::close(name)),
        link: failures.keep(network::remove_link(name)),
        mounts: failures.keep(network::unmount(layout)),
        cgroups: failures.keep(
            cgroup::hierarchies().and_then(|hierarchies| cgroup::remove(name, &hierarchies, CGROUP_LIMIT)),
        ),
        ..Report::default()
    };
    for folder in [&layout.run, &layout.state] {
        report.folders |= failures.keep(remove_own(layout, folder));
    }
    report.host_restored = failures.keep(restore_host(roots, name));
    failures.verdict(name, leftovers::of(roots, layout)).map(|()| report)
}

/// What went wrong in steps that do not wait for each other's success.
#[derive(Debug, Default)]
struct Failures(Vec<String>);

impl Failures {
    /// The step's result, or nothing and its failure kept.
    fn keep<T: Default>(&mut self, result: Result<T, Error>) -> T {
        result.unwrap_or_else(|failure| {
            match failure {
                Error::Leftovers { left, .. } => self.0.extend(left),
                other => self.0.push(other.to_string()),
            }
            T::default()
        })
    }

    /// Whether all steps succeeded and nothing is left.
    fn verdict(mut self, name: &ClusterName, left: Vec<String>) -> Result<(), Error> {
        // What failed in a step fails again when what it left is asked for.
        self.0.extend(left);
        let mut told = BTreeSet::new();
        self.0.retain(|reason| told.insert(reason.clone()));
        if self.0.is_empty() {
            return Ok(());
        }
        Err(Error::Leftovers { cluster: name.to_string(), left: self.0 })
    }
}

/// Puts the host's settings back if no other cluster is left.
fn restore_host(roots: &Roots, name: &ClusterName) -> Result<bool, Error> {
    let _lock = host::lock(roots)?;
    let others = leftovers::clusters(roots)?.into_iter().any(|other| other != name.as_str());
    if others { Ok(false) } else { host::restore(roots) }
}

/// Removes one of the cluster's folders, but never through a mount: what lies behind it may be somebody's.
fn remove_own(layout: &Layout, folder: &Path) -> Result<bool, Error> {
    match network::mounts(layout)?.iter().find(|mount| mount.starts_with(folder)) {
        Some(mount) => Err(Error::Host(format!(
            "the folder {} is not removed while {} is mounted in it",
            folder.display(),
            mount.display()
        ))),
        None => remove_folder(folder),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_tells_of_every_failure_and_of_what_is_left() {
        let name = ClusterName::new("a").unwrap();
        let mut failures = Failures::default();
        assert_eq!(failures.keep(Ok(3)), 3);
        assert!(Failures::default().verdict(&name, Vec::new()).is_ok());
        let alive = Error::Leftovers { cluster: "a".into(), left: vec!["process 7 (x) does not end".into()] };
        assert_eq!(failures.keep::<usize>(Err(alive)), 0);
        assert!(!failures.keep::<bool>(Err(Error::program("nft -f -", "no such file"))));
        let said = failures
            .verdict(&name, vec!["link kfe2e-a".into(), "link kfe2e-a".into()])
            .unwrap_err()
            .to_string();
        assert_eq!(
            said,
            "cluster `a` is not wholly gone: process 7 (x) does not end; `nft -f -` failed: no such file; \
             link kfe2e-a; mend that and run `kfe2e down --name a` again"
        );
    }
}
