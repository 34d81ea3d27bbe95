//! The processes of a cluster, found from the kernel's own records.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{ClusterName, Error, command::MARKER};

/// The environment variable that says which part of a cluster a process is.
pub(crate) const COMPONENT: &str = "KFE2E_COMPONENT";
/// How often processes are looked for while they end.
const TICK: Duration = Duration::from_millis(20);

/// One process for all time: its number alone may be given to another later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// When it started, in the kernel's ticks since boot.
    start: u64,
}

impl Identity {
    /// The identity of a living process. A zombie lives no more: nothing of it is left but its number.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(&stat)
            .filter(|(state, _)| !matches!(state, 'Z' | 'X'))
            .map(|(_, start)| Self { pid, start })
    }

    /// Whether it still lives.
    pub(crate) fn alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Ends it at once, unless it is gone.
    fn end(self) -> Result<(), Errno> {
        if !self.alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

/// State and start time from `/proc/PID/stat`. The program's name may hold spaces and parentheses.
fn parse_stat(line: &str) -> Option<(char, u64)> {
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

/// A process that belongs to a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) identity: Identity,
    /// The component that it is, as it was started.
    pub(crate) component: Option<String>,
    /// The program's name, for messages.
    program: String,
}

impl Found {
    /// How a person would name it.
    pub(crate) fn describe(&self) -> String {
        format!("process {} ({})", self.identity.pid, self.program)
    }
}

/// What ties a process to a cluster.
#[derive(Debug)]
struct Ties<'a> {
    marker: String,
    cgroup: String,
    netns: Option<&'a str>,
}

impl Ties<'_> {
    /// By its environment, by its cgroup, or by the network namespace it is in: one of them is enough, since
    /// a container's process has only its cgroup and a process just started only its environment.
    fn hold(&self, environ: &[u8], cgroups: &str, netns: &str) -> bool {
        environ.split(|byte| *byte == 0).any(|pair| pair == self.marker.as_bytes())
            || cgroups
                .lines()
                .filter_map(|line| line.splitn(3, ':').nth(2))
                .any(|path| in_group(path, &self.cgroup))
            || self.netns == Some(netns)
    }
}

fn in_group(path: &str, group: &str) -> bool {
    path.split('/').any(|part| part == group)
}

/// Every living process of the cluster but the calling one.
pub(crate) fn find(cluster: &ClusterName, netns: &Path) -> Vec<Found> {
    let netns = namespace_inode(netns).map(|inode| format!("net:[{inode}]"));
    let ties = Ties { marker: format!("{MARKER}={cluster}"), cgroup: cluster.tag(), netns: netns.as_deref() };
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    all_pids().into_iter().filter(|pid| *pid != own).filter_map(|pid| inspect(pid, &ties)).collect()
}

/// The names of all clusters that have a marked process.
pub(crate) fn marked_clusters() -> BTreeSet<String> {
    let prefix = format!("{MARKER}=");
    all_pids()
        .into_iter()
        .filter(|pid| Identity::of(*pid).is_some())
        .filter_map(|pid| fs::read(format!("/proc/{pid}/environ")).ok())
        .filter_map(|environ| variable(&environ, &prefix))
        .collect()
}

fn inspect(pid: i32, ties: &Ties<'_>) -> Option<Found> {
    // A process may end between any two of these reads: then it is none of ours.
    let identity = Identity::of(pid)?;
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let netns = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap_or_default();
    ties.hold(&environ, &cgroups, &netns.to_string_lossy()).then(|| Found {
        identity,
        component: variable(&environ, &format!("{COMPONENT}=")),
        program: fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned(),
    })
}

fn variable(environ: &[u8], prefix: &str) -> Option<String> {
    environ
        .split(|byte| *byte == 0)
        .find_map(|pair| pair.strip_prefix(prefix.as_bytes()))
        .map(|value| String::from_utf8_lossy(value).into_owned())
}

/// The inode of a mounted namespace; a plain file, where the mount is already gone, has none.
fn namespace_inode(path: &Path) -> Option<u64> {
    let here = fs::metadata(path).ok()?;
    let own = fs::metadata("/proc/self/ns/net").ok()?;
    // All namespaces live on one device of the kernel's.
    (here.dev() == own.dev() && here.ino() != own.ino()).then(|| here.ino())
}

fn all_pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// Ends every process of the cluster and waits until none is left. Returns how many were ended.
pub(crate) fn end_all(cluster: &ClusterName, netns: &Path, limit: Duration) -> Result<usize, Error> {
    let deadline = Instant::now() + limit;
    let mut ended = BTreeSet::new();
    let mut calm = 0;
    loop {
        let found = find(cluster, netns);
        // A process may be born behind the scan's back: only a second empty look is proof.
        calm = if found.is_empty() { calm + 1 } else { 0 };
        if calm == 2 {
            return Ok(ended.len());
        }
        for process in &found {
            process.identity.end().map_err(|e| Error::Leftovers {
                cluster: cluster.to_string(),
                left: vec![format!("{} cannot be ended: {}", process.describe(), e.desc())],
            })?;
            ended.insert(process.identity);
        }
        if Instant::now() > deadline {
            let left = found.iter().map(|process| format!("{} does not end", process.describe())).collect();
            return Err(Error::Leftovers { cluster: cluster.to_string(), left });
        }
        if !found.is_empty() {
            thread::sleep(TICK);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn stat_lines_with_odd_program_names_are_read() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(&format!("12 (a) b) S {tail}")), Some(('S', 4711)));
        assert_eq!(parse_stat("12 (cut"), None);
    }

    #[test]
    fn each_tie_alone_is_enough_and_prefixes_are_none() {
        let ties =
            Ties { marker: "KFE2E_PROCESS_OF=a".into(), cgroup: "kfe2e-a".into(), netns: Some("net:[7]") };
        assert!(ties.hold(b"X=1\0KFE2E_PROCESS_OF=a\0", "", ""));
        assert!(ties.hold(b"", "3:memory:/kfe2e-a/kubepods/pod1\n", ""));
        assert!(ties.hold(b"", "0::/kfe2e-a\n", ""));
        assert!(ties.hold(b"", "", "net:[7]"));
        assert!(!ties.hold(b"KFE2E_PROCESS_OF=ab\0", "3:memory:/kfe2e-ab/x\n", "net:[77]"));
    }

    #[test]
    fn marked_processes_are_found_and_ended() {
        let name = ClusterName::new("unit-test-proc").unwrap();
        let mut child = Command::new("sleep").arg("60").env(MARKER, name.as_str()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while find(&name, Path::new("/no/such")).is_empty() && Instant::now() < deadline {
            thread::yield_now();
        }
        let found = find(&name, Path::new("/no/such"));
        assert_eq!(found.iter().map(|f| f.identity.pid).collect::<Vec<_>>(), [pid]);
        assert!(end_all(&name, Path::new("/no/such"), Duration::from_secs(5)).unwrap() >= 1);
        child.wait().unwrap();
    }
}
