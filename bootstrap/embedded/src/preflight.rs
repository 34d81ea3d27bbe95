//! Whether this machine can have an embedded cluster, decided before anything is done to it.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::unistd::Uid;

use crate::{ClusterConfig, ClusterName, Error, Roots, cgroup, config::Layout, existing, images};

/// Programs and the Debian package that brings each.
const CONTROL_PLANE_PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("umount", "mount"),
    ("sh", "dash"),
];
const NODE_PROGRAMS: [(&str, &str); 7] = [
    ("containerd", "containerd"),
    ("containerd-shim-runc-v2", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("mount", "mount"),
];
/// Where distributions put the CNI plugins.
const CNI_FOLDERS: [&str; 3] = ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"];
const CNI_PLUGINS: [&str; 4] = ["ptp", "host-local", "portmap", "loopback"];
const CNI_PACKAGE: &str = "containernetworking-plugins";
/// Where programs for root are even if the caller's search path does not say so.
const ROOT_FOLDERS: &str = ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The capability to lower one's score for being killed, and to raise limits.
const CAP_SYS_RESOURCE: u32 = 24;

/// Checks the request and the machine. Nothing is changed.
pub fn preflight(config: &ClusterConfig) -> Result<(), Error> {
    let name = ClusterName::new(&config.name)?;
    let layout = Layout::new(&config.roots, &name)?;
    if config.nodes > 1 {
        return Err(Error::Setting(format!("an embedded cluster has 0 or 1 nodes, not {}", config.nodes)));
    }
    if config.nodes == 0 && !config.images.is_empty() {
        return Err(Error::Setting("a control plane without a node cannot load images".to_owned()));
    }
    images::inspect(&config.images)?;
    if !Uid::effective().is_root() {
        return Err(Error::NotRoot);
    }
    let missing = missing(config.nodes, &|program| find_program(program).is_some(), cni_plugins().is_some());
    if !missing.is_empty() {
        return Err(missing_programs(&missing, find_program("apt-get").is_some()));
    }
    cgroup::hierarchies()?;
    // A name that is taken is said before the caller makes anything; `up` looks again, under its lock.
    existing::found(config, &layout).map(drop)
}

/// Checks what a removal cannot do without. Programs are not among it: each step of [`down`](crate::down()) that
/// lacks one says so, and the others are done.
pub fn preflight_down(roots: &Roots, name: &str) -> Result<(), Error> {
    Layout::new(roots, &ClusterName::new(name)?)?;
    if Uid::effective().is_root() { Ok(()) } else { Err(Error::NotRoot) }
}

/// What is missing, as (program, package).
fn missing(nodes: u8, has: &dyn Fn(&str) -> bool, has_cni: bool) -> Vec<(&'static str, &'static str)> {
    let node_programs: &[_] = if nodes > 0 { &NODE_PROGRAMS } else { &[] };
    let programs = CONTROL_PLANE_PROGRAMS.iter().chain(node_programs).copied();
    let cni = (nodes > 0 && !has_cni).then_some(("the CNI plugins", CNI_PACKAGE));
    programs.filter(|(program, _)| !has(program)).chain(cni).collect()
}

fn missing_programs(missing: &[(&str, &str)], apt: bool) -> Error {
    let packages: BTreeSet<&str> = missing.iter().map(|(_, package)| *package).collect();
    let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
    let install = if apt { format!("apt-get install --yes {packages}") } else { packages };
    Error::MissingPrograms {
        programs: missing.iter().map(|(program, _)| (*program).to_owned()).collect(),
        install,
    }
}

/// Where a program is.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    env::split_paths(&search_path()).map(|folder| folder.join(program)).find(|file| executable(file))
}

/// The caller's search path with the folders in which hosts keep what only root uses.
pub(crate) fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    path.push(ROOT_FOLDERS);
    path
}

/// The folder that has all the CNI plugins which pods need.
pub(crate) fn cni_plugins() -> Option<PathBuf> {
    CNI_FOLDERS
        .iter()
        .map(PathBuf::from)
        .find(|folder| CNI_PLUGINS.iter().all(|plugin| executable(&folder.join(plugin))))
}

fn executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Whether this process, and so its children, may lower their score for being killed.
pub(crate) fn may_lower_oom_score() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|status| has_capability(&status, CAP_SYS_RESOURCE))
}

fn has_capability(status: &str, capability: u32) -> bool {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set & (1 << capability) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_one_sentence_with_its_command() {
        let missing = missing(1, &|program| !["ctr", "containerd", "nft"].contains(&program), false);
        let said = missing_programs(&missing, true).to_string();
        assert_eq!(
            said,
            "this machine lacks containerd, ctr, nft, the CNI plugins: install them with \
             `apt-get install --yes containerd containernetworking-plugins nftables`"
        );
        assert!(
            missing_programs(&missing, false)
                .to_string()
                .ends_with("`containerd containernetworking-plugins nftables`")
        );
    }

    #[test]
    fn a_control_plane_alone_needs_no_container_runtime() {
        assert!(missing(0, &|program| !["containerd", "runc"].contains(&program), false).is_empty());
    }

    #[test]
    fn requests_that_no_machine_can_meet_are_refused_first() {
        let refused = |config: ClusterConfig| preflight(&config).unwrap_err().to_string();
        assert!(refused(ClusterConfig::new("A")).contains("cannot be a cluster's name"));
        assert!(refused(ClusterConfig { nodes: 2, ..ClusterConfig::new("a") }).contains("0 or 1 nodes"));
        let images = vec![PathBuf::from("/no/such")];
        assert!(
            refused(ClusterConfig { images: images.clone(), ..ClusterConfig::new("a") })
                .contains("OCI image layout")
        );
        assert!(
            refused(ClusterConfig { images, ..ClusterConfig::control_plane("a") }).contains("without a node")
        );
    }

    #[test]
    fn a_removal_asks_for_a_name_that_a_cluster_can_have() {
        let refused = preflight_down(&Roots::default(), "../a").unwrap_err();
        assert!(matches!(refused, Error::Name { .. }));
    }

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        assert!(has_capability("CapPrm:\t0\nCapEff:\t0000000001000000\n", CAP_SYS_RESOURCE));
        assert!(!has_capability("CapEff:\t000001fffeffffff\n", CAP_SYS_RESOURCE));
    }
}
