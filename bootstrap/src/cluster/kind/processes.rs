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

use super::mark::Mark;
use crate::tool::Tool;

/// The variable with the mark of the attempt that a process works for. `kind` hands it on to what it starts.
const VARIABLE: &str = "KFE2E_KIND_MARK";

/// How often processes are looked for while they end.
const TICK: Duration = Duration::from_millis(20);

/// A program that carries the mark of the attempt that it works for, where there is one.
pub(super) fn marked<'a>(tool: Tool<'a>, mark: Option<&Mark>) -> Tool<'a> {
    match mark {
        Some(mark) => tool.env(VARIABLE, mark.as_str()),
        None => tool,
    }
}

/// Ends every process that works for the attempt, and waits until none is left. Returns how many were ended.
pub(super) fn end_all(mark: &Mark, limit: Duration) -> anyhow::Result<usize> {
    let deadline = Instant::now() + limit;
    let mut ended = BTreeSet::new();
    let mut calm = 0;
    loop {
        let found = find(mark);
        // One may be born behind the scan's back: only a second empty look is proof.
        calm = if found.is_empty() { calm + 1 } else { 0 };
        if calm == 2 {
            return Ok(ended.len());
        }
        for pid in &found {
            match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => {
                    bail!("process {pid}, which makes the cluster, cannot be ended: {}", error.desc())
                }
            }
            ended.insert(*pid);
        }
        if Instant::now() > deadline {
            let pids: Vec<_> = found.iter().map(ToString::to_string).collect();
            let limit = limit.as_secs();
            bail!("processes {}, which make the cluster, did not end within {limit} s", pids.join(", "));
        }
        if !found.is_empty() {
            thread::sleep(TICK);
        }
    }
}

/// The living processes that carry the mark. One that has ended has no environment any more, even where
/// nobody has asked for its exit code yet.
fn find(mark: &Mark) -> BTreeSet<i32> {
    let mark = format!("{VARIABLE}={}", mark.as_str());
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
    fn marks_are_compared_whole() {
        assert!(holds(b"X=1\0KFE2E_KIND_MARK=a\0", "KFE2E_KIND_MARK=a"));
        assert!(!holds(b"KFE2E_KIND_MARK=ab\0", "KFE2E_KIND_MARK=a"));
        assert!(!holds(b"", "KFE2E_KIND_MARK=a"));
    }

    #[test]
    fn marked_processes_are_ended_with_what_they_started() {
        let mark = Mark::fresh();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & wait"]).env(VARIABLE, mark.as_str());
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while find(&mark).len() < 2 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert!(end_all(&mark, Duration::from_secs(5)).unwrap() >= 2);
        child.wait().unwrap();
        assert_eq!(find(&mark), BTreeSet::new());
    }
}
