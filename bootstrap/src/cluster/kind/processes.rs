//! The programs that make a cluster, marked by a variable, so that a removal finds them whoever started them.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::bail;
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// The variable with the name of the cluster that a process works for. `kind` hands it on to what it starts.
pub(super) const MARKER: &str = "KFE2E_KIND_CLUSTER";

/// How often processes are looked for while they end.
const TICK: Duration = Duration::from_millis(20);

/// Ends every process that works for the cluster, and waits until none is left. Returns how many were ended.
pub(super) fn end_all(cluster: &str, limit: Duration) -> anyhow::Result<usize> {
    let deadline = Instant::now() + limit;
    let mut ended = BTreeSet::new();
    let mut calm = 0;
    loop {
        let found = find(cluster);
        // One may be born behind the scan's back: only a second empty look is proof.
        calm = if found.is_empty() { calm + 1 } else { 0 };
        if calm == 2 {
            return Ok(ended.len());
        }
        for pid in &found {
            match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    bail!("process {pid} works for cluster `{cluster}` and cannot be ended: {}", error.desc())
                }
            }
            ended.insert(*pid);
        }
        if Instant::now() > deadline {
            let pids: Vec<_> = found.iter().map(ToString::to_string).collect();
            let limit = limit.as_secs();
            bail!(
                "processes {} work for cluster `{cluster}` and did not end within {limit} s",
                pids.join(", ")
            );
        }
        if !found.is_empty() {
            thread::sleep(TICK);
        }
    }
}

/// The living processes that are marked with the cluster. One that has ended has no environment any more, even where
/// nobody has asked for its exit code yet.
fn find(cluster: &str) -> BTreeSet<i32> {
    let mark = format!("{MARKER}={cluster}");
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeSet::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != own)
        .filter(|pid| fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| holds(&environ, &mark)))
        .collect()
}

fn holds(environ: &[u8], mark: &str) -> bool {
    environ.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_are_compared_whole() {
        assert!(holds(b"X=1\0KFE2E_KIND_CLUSTER=a\0", "KFE2E_KIND_CLUSTER=a"));
        assert!(!holds(b"KFE2E_KIND_CLUSTER=ab\0", "KFE2E_KIND_CLUSTER=a"));
        assert!(!holds(b"", "KFE2E_KIND_CLUSTER=a"));
    }

    #[test]
    fn marked_processes_are_ended_with_what_they_started() {
        let name = "unit-test-kind-processes";
        let mut child = Command::new("sh").args(["-c", "sleep 60 & wait"]).env(MARKER, name).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while find(name).len() < 2 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert!(end_all(name, Duration::from_secs(5)).unwrap() >= 2);
        child.wait().unwrap();
        assert_eq!(find(name), BTreeSet::new());
    }
}
