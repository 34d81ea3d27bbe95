//! The cluster's cgroups: one folder per hierarchy, made before anything runs and removed after everything.
//!
//! Both versions are driven through plain files (kubelet's `cgroupfs` driver): the cluster is no systemd
//! unit, and what one folder holds is found and removed without asking anybody.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{ClusterName, Error, name::PREFIX};

/// The group of the daemons inside the cluster's: version 2 allows processes in leaves only.
const DAEMONS: &str = "daemons";
/// What kubelet asks of a version 2 hierarchy.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];
/// How often a busy group is tried again.
const TICK: Duration = Duration::from_millis(20);

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    mount: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One { cpuset: bool },
    Two,
}

/// The hierarchies of this host.
pub(crate) fn hierarchies() -> Result<Vec<Hierarchy>, Error> {
    let path = Path::new("/proc/self/mounts");
    let mounts = fs::read_to_string(path).map_err(Error::io("read", path))?;
    let found = parse(&mounts);
    if found.is_empty() {
        return Err(Error::Host("no cgroup hierarchy is mounted: mount one at /sys/fs/cgroup".to_owned()));
    }
    Ok(found)
}

fn parse(mounts: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(_), Some(mount), Some(kind), Some(options)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let version = match kind {
            "cgroup" => Version::One { cpuset: options.split(',').any(|option| option == "cpuset") },
            "cgroup2" => Version::Two,
            _ => continue,
        };
        let mount = PathBuf::from(mount);
        if !found.iter().any(|hierarchy| hierarchy.mount == mount) {
            found.push(Hierarchy { mount, version });
        }
    }
    found
}

/// Whether kubelet will run on version 1, which it has to be told.
pub(crate) fn is_v1(hierarchies: &[Hierarchy]) -> bool {
    hierarchies.iter().any(|hierarchy| matches!(hierarchy.version, Version::One { .. }))
}

/// The hierarchies that processes and pods are put into: on version 1 those with controllers and names,
/// where the one of version 2 beside them is runc's own affair.
fn used(hierarchies: &[Hierarchy]) -> impl Iterator<Item = &Hierarchy> {
    let v1 = is_v1(hierarchies);
    hierarchies.iter().filter(move |hierarchy| !v1 || hierarchy.version != Version::Two)
}

/// Makes the cluster's groups and returns those that its daemons join.
pub(crate) fn create(cluster: &ClusterName, hierarchies: &[Hierarchy]) -> Result<Vec<PathBuf>, Error> {
    used(hierarchies)
        .map(|hierarchy| {
            let group = hierarchy.mount.join(cluster.tag());
            let leaf = group.join(DAEMONS);
            match hierarchy.version {
                Version::One { cpuset } => {
                    for (parent, child) in [(&hierarchy.mount, &group), (&group, &leaf)] {
                        make(child)?;
                        if cpuset {
                            inherit_cpuset(parent, child)?;
                        }
                    }
                }
                Version::Two => {
                    delegate(&hierarchy.mount)?;
                    make(&group)?;
                    delegate(&group)?;
                    make(&leaf)?;
                }
            }
            Ok(leaf)
        })
        .collect()
}

fn make(group: &Path) -> Result<(), Error> {
    match fs::create_dir(group) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(Error::io("create the cgroup", group)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A group of version 1 has no processor and no memory until told which.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<(), Error> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let from = parent.join(file);
        let value = fs::read_to_string(&from).map_err(Error::io("read", from))?;
        let to = child.join(file);
        fs::write(&to, value.trim()).map_err(Error::io("write", to))?;
    }
    Ok(())
}

/// Hands the controllers on to the group's children (version 2). The root's stay handed on after the last
/// cluster: whatever was started meanwhile may rely on them, and taking them back would lift its limits unseen.
fn delegate(group: &Path) -> Result<(), Error> {
    let offered_by = group.join("cgroup.controllers");
    let offered = fs::read_to_string(&offered_by).map_err(Error::io("read", offered_by))?;
    let wanted = group.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&wanted).map_err(Error::io("read", &wanted))?;
    for controller in CONTROLLERS {
        let has = |list: &str| list.split_whitespace().any(|one| one == controller);
        if has(&offered) && !has(&enabled) {
            fs::write(&wanted, format!("+{controller}")).map_err(Error::io("write", &wanted))?;
        }
    }
    Ok(())
}

/// The cluster's groups that exist, in every hierarchy, in those too that were never asked for.
pub(crate) fn existing(cluster: &ClusterName, hierarchies: &[Hierarchy]) -> Vec<PathBuf> {
    hierarchies.iter().map(|h| h.mount.join(cluster.tag())).filter(|group| group.is_dir()).collect()
}

/// The names of all clusters that have a group.
pub(crate) fn clusters(hierarchies: &[Hierarchy]) -> Vec<String> {
    let folders = hierarchies.iter().filter_map(|hierarchy| fs::read_dir(&hierarchy.mount).ok());
    let names = folders.flatten().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned)).collect()
}

/// Removes the cluster's groups with all below them. A group stays busy for a moment after its last process.
pub(crate) fn remove(
    cluster: &ClusterName,
    hierarchies: &[Hierarchy],
    limit: Duration,
) -> Result<usize, Error> {
    let deadline = Instant::now() + limit;
    let groups = existing(cluster, hierarchies);
    for group in &groups {
        loop {
            match remove_tree(group) {
                Ok(()) => break,
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                Err(e) if e.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                    thread::sleep(TICK);
                }
                Err(e) => return Err(Error::io("remove the cgroup", group)(e)),
            }
        }
    }
    Ok(groups.len())
}

/// A group's files are the kernel's: only its folders are removed, the deepest first.
fn remove_tree(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
proc /proc proc rw 0 0
cgroup /sys/fs/cgroup/cpuset cgroup rw,relatime,cpuset 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0
";

    #[test]
    fn on_version_one_the_unified_hierarchy_is_swept_but_not_used() {
        let all = parse(HYBRID);
        assert_eq!(all.len(), 3);
        assert!(is_v1(&all));
        let used: Vec<_> = used(&all).map(|h| h.mount.to_string_lossy().into_owned()).collect();
        assert_eq!(used, ["/sys/fs/cgroup/cpuset", "/sys/fs/cgroup/memory"]);
        assert_eq!(all[0].version, Version::One { cpuset: true });
    }

    #[test]
    fn on_version_two_the_one_hierarchy_is_used() {
        let all = parse("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n");
        assert!(!is_v1(&all));
        assert_eq!(used(&all).count(), 1);
    }

    #[test]
    fn delegation_asks_only_for_what_is_offered_and_missing() {
        let group = tempfile::tempdir().unwrap();
        fs::write(group.path().join("cgroup.controllers"), "cpu memory rdma\n").unwrap();
        fs::write(group.path().join("cgroup.subtree_control"), "cpu\n").unwrap();
        delegate(group.path()).unwrap();
        assert_eq!(fs::read_to_string(group.path().join("cgroup.subtree_control")).unwrap(), "+memory");
    }
}
